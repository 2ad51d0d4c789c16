# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import row_files
from ansible_collections.mobius.dhash.plugins.module_utils._fleet import handover, shared_images
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_similarity
from conftest import SmallLibrary
from hypothesis import given
from hypothesis import strategies as st

# Few bits, so that near and equal hashes are common.
HASHES = st.integers(0, 255) | st.integers(0, 2**64 - 1)
IMAGES = st.lists(st.tuples(st.integers(0, 3), HASHES, st.none() | HASHES), max_size=40)
Image = tuple[int, int, Optional[int]]  # host, hash, vertical hash
Row = tuple[str, int, Optional[int], Optional[int]]  # path, hash, vertical hash, bytes
PICTURE, OTHER = (np.random.default_rng(seed).integers(0, 256, image_similarity.PIXELS, np.uint8).tobytes() for seed in (1, 2))


def bits(one: int, other: int) -> int:
    return bin(one ^ other).count("1")


def by_brute_force(images: list[Image], threshold: int, confirm: bool) -> tuple[list[list[int]], int, list[int], list[int]]:
    """Pairs by hosts, how many were refuted, the group of each image, and its distance."""
    parent = list(range(len(images)))
    pairs, refuted, distance = np.zeros((4, 4), int), 0, [255] * len(images)

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for other, (other_host, other_hash, other_vertical) in enumerate(images):
        for one, (host, dhash, vertical) in enumerate(images[:other]):
            if host == other_host or bits(dhash, other_hash) > threshold:
                continue
            if vertical is not None and other_vertical is not None and bits(vertical, other_vertical) > (16 if confirm else 64):
                refuted += 1
                continue
            pairs[min(host, other_host), max(host, other_host)] += 1
            for index in (one, other):
                distance[index] = min(distance[index], bits(dhash, other_hash))
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    groups = [root(index) if distance[index] < 255 else -1 for index in range(len(images))]
    return pairs.tolist(), refuted, groups, distance


def as_arrays(images: list[Image], luma: list[bytes | None] | None = None) -> shared_images.Images:
    return shared_images.Images(
        np.array([dhash for _host, dhash, _vertical in images], np.uint64),
        np.array([vertical or 0 for _host, _hash, vertical in images], np.uint64),
        np.array([vertical is not None for _host, _hash, vertical in images], bool),
        np.array([host for host, _hash, _vertical in images], np.int64),
        luma or [None] * len(images))


@given(IMAGES, st.integers(0, 64), st.booleans())
def test_pairs_and_groups_equal_those_of_brute_force(images: list[Image], threshold: int, confirm: bool) -> None:
    held = shared_images.match(as_arrays(images), 4, threshold, confirm)
    pairs, refuted, groups, distance = by_brute_force(images, threshold, confirm)
    assert (held.pairs.tolist(), held.refuted, held.distance.tolist()) == (pairs, refuted, distance)
    # A group is named by an image of it, whatever the order in which its images were joined.
    names: dict[int, int] = {}
    assert [names.setdefault(group, mine) for group, mine in zip(held.group.tolist(), groups)] == groups
    assert len(set(names.values())) == len(names)


def test_a_group_is_named_by_its_first_image() -> None:
    images: list[Image] = [(0, 0, None), (1, 0xFF00, None), (0, 0xFF00, None), (1, 0, None)]
    assert shared_images.match(as_arrays(images), 2, 2, False).group.tolist() == [0, 1, 1, 0]


def test_many_equal_images_are_folded() -> None:
    count = 200_000
    hashes = np.zeros(count, np.uint64)
    owner = np.arange(count) % 2
    held = shared_images.match(shared_images.Images(hashes, hashes, np.ones(count, bool), owner, [None] * count), 2, 10, True)
    assert held.pairs.tolist() == [[0, (count // 2) ** 2], [0, 0]]


def test_pixels_refute_images_with_equal_hashes() -> None:
    images = as_arrays([(0, 0, 0), (1, 0, 0), (1, 0, 0)], [PICTURE, OTHER, PICTURE])
    held = shared_images.match(images, 2, 10, True)
    assert (held.pairs.tolist(), held.refuted, held.group.tolist()) == ([[0, 1], [0, 0]], 1, [0, -1, 0])
    assert shared_images.match(images, 2, 10, False).pairs.tolist() == [[0, 2], [0, 0]]


class Fleet:
    """The files of hosts on the controller, and the folder of the report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}

    def add(self, host: str, *rows: Row, algorithm: str = "pillow") -> None:
        """A host with images: path, hash, vertical hash or None, bytes."""
        self.files[host] = str(self.folder / f"{host}.jsonl.gz")
        row_files.write(self.files[host], handover.HASHES, {"algorithm": algorithm},
                        [[path, f"{dhash:016X}", vertical if vertical is None else f"{vertical:016X}", size] for path, dhash, vertical, size in rows])

    def find(self, threshold: int = 10, confirm: bool = True, check: bool = False) -> dict[str, Any]:
        return shared_images.find(self.files, threshold, confirm, str(self.folder / "report"), check)

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.folder / "report/duplicates.json").read_text(encoding="utf-8"))
        return report

    def rows(self) -> list[list[str]]:
        text = (self.folder / "report/duplicates.csv").read_bytes().decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text)))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    fleet.add("a", ("1.jpg", 0, 0, 100), ("2.jpg", 1, 0, 110), ("alone.jpg", 2**64 - 1, 0, 120))
    fleet.add("b", ("x/1.jpg", 3, 0, 200), ("other.jpg", 0xFFFF0000, 0, 210))
    fleet.add("c", ("again.jpg", 0, None, None))
    return fleet


def test_report_names_host_path_and_distance_of_shared_images(fleet: Fleet) -> None:
    found = fleet.find()
    assert fleet.report()["groups"] == [{"group": 1, "images": [
        {"host": "a", "path": "1.jpg", "dhash": "0" * 16, "bytes": 100, "distance": 0},
        {"host": "a", "path": "2.jpg", "dhash": "0" * 15 + "1", "bytes": 110, "distance": 1},
        {"host": "b", "path": "x/1.jpg", "dhash": "0" * 15 + "3", "bytes": 200, "distance": 1},
        {"host": "c", "path": "again.jpg", "dhash": "0" * 16, "bytes": None, "distance": 0}]}]
    assert fleet.rows()[0] == ["group", "host", "path", "dhash", "bytes", "distance"]
    assert fleet.rows()[3] == ["1", "b", "x/1.jpg", "0" * 15 + "3", "200", "1"]
    assert (found["hosts"], found["images"], found["groups"], found["grouped_images"], found["pairs"]) == (3, 6, 1, 4, 5)
    assert found["host_pairs"] == [{"hosts": ["a", "b"], "pairs": 2}, {"hosts": ["a", "c"], "pairs": 2}, {"hosts": ["b", "c"], "pairs": 1}]


def test_refuted_images_are_left_out_of_the_report_by_default(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.add("a", ("1.jpg", 0, 0, 100))
    fleet.add("b", ("2.jpg", 0, 2**17 - 1, 100), ("3.jpg", 0, 2**16 - 1, 100))
    assert (fleet.find()["pairs"], fleet.find()["refuted"]) == (1, 1)
    assert (fleet.find(confirm=False)["pairs"], fleet.find(confirm=False)["refuted"]) == (2, 0)


def test_report_is_not_rewritten_if_unchanged_or_in_check_mode(
        fleet: Fleet, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(fleet.folder)
    assert len(fleet.find(check=True)["written"]) == 2
    assert tree(fleet.folder) == before
    assert fleet.find()["written"] == fleet.find(check=True)["files"]
    before = tree(fleet.folder)
    assert fleet.find()["written"] == []
    assert tree(fleet.folder) == before


@pytest.mark.parametrize(("name", "content"), [
    ("duplicates.json", '{"images": []}'), ("duplicates.json", "[]"), ("duplicates.json", "somebody's"), ("duplicates.csv", "name,address")])
def test_a_file_of_somebody_else_is_renamed_and_named(fleet: Fleet, name: str, content: str) -> None:
    (fleet.folder / "report").mkdir()
    (fleet.folder / "report" / name).write_text(content, encoding="utf-8")
    assert fleet.find(check=True)["set_aside"] == []
    [kept] = fleet.find()["set_aside"]
    assert kept.startswith(f"{fleet.folder}/report/{name}.set-aside-")
    with open(kept, encoding="utf-8") as file:
        assert file.read() == content
    assert fleet.report()["groups"] and len(fleet.rows()) == 5


def test_an_earlier_report_is_replaced(fleet: Fleet) -> None:
    fleet.find()
    found = fleet.find(threshold=0)
    assert len(found["written"]) == 2 and found["set_aside"] == []
    assert fleet.report()["threshold"] == 0


def test_names_that_a_spreadsheet_would_calculate_are_text(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.add("a", ("=cmd|' /C calc'!A0", 0, 0, 100))
    fleet.add("b", ("\ud83d.jpg", 0, 0, 100))
    fleet.find()
    assert fleet.rows()[1][2] == "'=cmd|' /C calc'!A0"
    assert fleet.rows()[2][2] == "\\ud83d.jpg"
    assert fleet.report()["groups"][0]["images"][1]["path"] == "\ud83d.jpg"


def test_host_with_a_damaged_or_other_file_is_named_and_skipped(fleet: Fleet) -> None:
    with open(fleet.files["b"], "r+b") as file:
        file.truncate(60)
    fleet.add("d", ("1.jpg", 0, 0, 100), algorithm="ffmpeg")
    found = fleet.find()
    assert {host: why["reason"] for host, why in found["left_out"].items()} == {"b": "damaged", "d": "other_algorithm"}
    assert {image["host"] for group in fleet.report()["groups"] for image in group["images"]} == {"a", "c"}
    assert fleet.report()["leftOut"] == found["left_out"]


@pytest.mark.parametrize("row", [["a", "0" * 15, None, 1], ["a", "0" * 16, "x", 1], ["a", "0" * 16, None, -1], [None, "0" * 16, None, 1], ["a"]])
def test_a_row_that_this_collection_does_not_write_is_refused(fleet: Fleet, row: list[Any]) -> None:
    row_files.write(fleet.files["b"], handover.HASHES, {"algorithm": "pillow"}, [row])
    assert fleet.find()["left_out"]["b"]["reason"] == "damaged"


def test_a_controller_without_numpy_is_told_what_to_install(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingRequirementError, match=r"uses on the controller.*pip install numpy.*ansible_python_interpreter"):
        fleet.find()


def test_no_host_and_one_host_hold_nothing_together(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    assert (fleet.find()["groups"], fleet.find()["images"]) == (0, 0)
    fleet.add("a", ("1.jpg", 0, 0, 100), ("2.jpg", 0, 0, 100))
    assert (fleet.find()["groups"], fleet.find()["images"]) == (0, 2)


def test_export_has_hashes_paths_and_sizes_but_no_flat_images(library: SmallLibrary, decoded_here: list[str]) -> None:
    library.add("a.png", seed=1)
    library.add("flat.png", content=None)
    library.add("b.png", seed=2)
    library.add("gone.png")
    library.write()
    from PIL import Image
    Image.new("RGB", (32, 32), "teal").save(library.folder / "flat.png")
    with pytest.raises(DhashError, match=r"no hashes yet.*migrate"):
        shared_images.export(str(library.path), str(library.state), "a run", 0)
    library.run()
    library.deploy()
    result = shared_images.export(str(library.path), str(library.state), "a run", 0)
    images = list(row_files.read(result["hashes"], handover.HASHES, shared_images._to_hashed))
    live = {image["path"]: image for image in library.reload()["images"]}
    assert [(image.path, image.dhash, image.size) for image in images] == [
        (name, live[name]["dhash"], (library.folder / name).stat().st_size) for name in ("a.png", "b.png")]
    assert all(image.vertical for image in images)
    assert (result["images"], result["hashed"], result["exported"]) == (4, 3, 2)
