# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _clock
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError, LibraryError, LockedError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import locking
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_page, review_previews
from PIL import Image
from reviews import Host, bits, digests, make_previews_here, picture

NEAR = bits(*range(9))
HOSTILE = '"><img src=x onerror=alert(1)>.png'


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return make_previews_here(monkeypatch)


@pytest.fixture
def two(host: Host, looked_at: list[str]) -> Host:
    """A library of two pictures that people have to judge."""
    host.add("a.png", 0, 0, picture((80, 60))).add("b.png", NEAR, 1, picture((40, 30)))
    host.write()
    return host


# What is written.


def test_queue_is_written_in_exactly_the_requested_formats(two: Host) -> None:
    outcome = two.export(formats=("csv",))
    assert {path.name for path in two.review.iterdir()} == {"queue.csv", "images"}
    assert outcome.result["files"] == [str(two.review / "queue.csv")]
    outcome = two.export()
    assert {path.name for path in two.review.iterdir()} == {"queue.json", "queue.csv", "review.html", "images"}
    assert outcome.result["written"] == ["queue.json", "review.html"]


def test_the_result_is_counts_and_paths(two: Host) -> None:
    assert two.export().result == {
        "images": 2, "total_matches": 1, "exported_matches": 1, "refuted_matches": 0, "recorded_matches": 0, "decided_matches": 0, "clusters": 1,
        "previews": 2, "without_preview": 0, "review_dir": str(two.review), "set_aside": [],
        "files": [str(two.review / name) for name in ("queue.json", "queue.csv", "review.html")],
        "written": ["queue.json", "queue.csv", "review.html"]}


def test_the_json_is_laid_out_as_the_library_is(two: Host) -> None:
    two.export()
    text = (two.review / "queue.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_a_library_with_nothing_to_judge_has_an_empty_queue(host: Host) -> None:
    host.add("a.png", 0)
    host.write()
    outcome = host.export()
    assert host.queue()["matches"] == []
    assert outcome.result["total_matches"] == outcome.result["clusters"] == 0
    assert not host.export().changed


def test_the_page_is_made_of_the_very_queue_that_the_json_holds(two: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_page, "render", lambda pieces: iter(["".join(pieces).encode()]))
    two.export()
    assert (two.review / "review.html").read_bytes() + b"\n" == (two.review / "queue.json").read_bytes()


def test_the_real_page_comes_out(two: Host) -> None:
    two.export()
    assert (two.review / "review.html").read_bytes().startswith(b"<!DOCTYPE html>")


def test_names_that_no_encoding_has_are_written_as_escapes(host: Host, looked_at: list[str]) -> None:
    host.add("a\ud800.png", 0).add("b\u2028.png", NEAR)
    host.live.write_text(json.dumps(host.value), encoding="ascii")
    host.export()
    assert host.queue()["matches"][0]["image1"]["path"] == "a\ud800.png"
    (host.review / "queue.csv").read_text(encoding="utf-8")
    (host.review / "review.html").read_text(encoding="utf-8")


# CSV.


def rows(host: Host) -> list[list[str]]:
    content = (host.review / "queue.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_csv_is_as_the_standard_has_it(host: Host, looked_at: list[str]) -> None:
    host.add('a, "quoted"\nname.png', 0).add(HOSTILE, NEAR)
    host.write()
    host.export()
    content = (host.review / "queue.csv").read_bytes()
    assert content.endswith(b"\r\n")
    assert b'"a, ""quoted""\nname.png"' in content
    header, row = rows(host)
    assert len(header) == len(row)
    told = dict(zip(header, row))
    assert (told["image1.path"], told["image2.path"]) == ('a, "quoted"\nname.png', HOSTILE)
    assert (told["hammingDistance"], told["needsReview"], told["isDuplicate"]) == ("9", "true", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_cell_is_a_formula(host: Host, looked_at: list[str], start: str) -> None:
    name = f"{start}1+cmd|' calc'!A0"
    host.add(name, 0).add("harmless = 1+1.png", NEAR)
    host.write()
    host.export()
    told = dict(zip(*rows(host)))
    assert told["image1.path"] == told["image1.filename"] == f"'{name}"
    assert told["image2.path"] == "harmless = 1+1.png"


def test_many_rows_are_all_written() -> None:
    match = {"id": "0", "image1": dict.fromkeys(review_export.SIDES), "image2": dict.fromkeys(review_export.SIDES),
             **dict.fromkeys(review_export.COLUMNS[1:])}
    pieces = list(review_export.csv_lines({**match, "id": str(number)} for number in range(2500)))
    lines = b"".join(pieces).split(b"\r\n")
    assert [line.split(b",")[0] for line in lines[1:-1]] == [b"%d" % number for number in range(2500)]
    assert len(pieces) == 4


# Previews.


def test_previews_are_small_and_upright_and_give_original_sizes(host: Host, looked_at: list[str]) -> None:
    light = Image.new("RGB", (1200, 900), "white")
    light.paste("red", (0, 0, 1200, 450))  # the upper half, which is the left one as it is stored
    exif = Image.Exif()
    exif[0x0112] = 8
    stored = io.BytesIO()
    light.transpose(Image.Transpose.ROTATE_270).save(stored, "JPEG", exif=exif)
    host.add("turned.jpg", 0, 0, stored.getvalue()).add("small.png", NEAR, 0, picture((30, 50)))
    host.write()
    host.export()
    [match] = host.queue()["matches"]
    assert [(match[image]["width"], match[image]["height"], match[image]["format"]) for image in ("image1", "image2")] == \
        [(1200, 900, "JPEG"), (30, 50, "PNG")]
    turned, small = (Image.open(host.review / match[image]["preview"]) for image in ("image1", "image2"))
    assert (turned.format, turned.size, small.size) == ("JPEG", (640, 480), (30, 50))
    upper, lower = (turned.getpixel((320, row)) for row in (100, 400))
    assert isinstance(upper, tuple) and upper[1] < 60
    assert isinstance(lower, tuple) and lower[1] > 200
    assert not turned.getexif()


def test_image_that_cannot_be_shown_has_no_preview_and_no_effect(host: Host, looked_at: list[str], tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(picture())
    host.add("good.png", 0, 0, picture()).add("broken.png", NEAR, 0, picture()[:40]).add("page.png", NEAR ^ 1, 0, b"<html>")
    host.add("gone.png", NEAR ^ 2)
    (host.folder / "link.png").symlink_to(tmp_path / "outside.png")
    host.add("link.png", NEAR ^ 4)
    host.write()
    result = host.export().result
    assert (result["previews"], result["without_preview"]) == (1, 3)  # a file that is not there is not looked at
    shown = {match["image2"]["path"]: match["image2"] for match in host.queue()["matches"] if match["image1"]["path"] == "good.png"}
    assert {path: image["preview"] for path, image in shown.items()} == dict.fromkeys(shown)
    assert shown["link.png"]["width"] is None
    assert len(list((host.review / "images").iterdir())) == 1


def test_export_keeps_unchanged_previews_and_makes_only_new_ones(two: Host, looked_at: list[str]) -> None:
    two.export()
    before = digests(two.review / "images")
    two.add("c.png", NEAR ^ 1, 0, picture((20, 20)))
    two.write()
    two.export()
    assert looked_at == ["a.png", "b.png", "c.png"]
    assert before.items() < digests(two.review / "images").items()


def test_preview_of_a_changed_file_is_replaced(two: Host, looked_at: list[str]) -> None:
    two.export()
    old = two.review / two.queue()["matches"][0]["image1"]["preview"]
    (two.folder / "a.png").write_bytes(picture((70, 20), "blue"))
    two.know("a.png", 0, 0)
    two.export()
    assert looked_at == ["a.png", "b.png", "a.png"]
    assert two.queue()["matches"][0]["image1"]["width"] == 70
    assert not old.exists()
    assert len(list((two.review / "images").iterdir())) == 2


def test_two_alike_pictures_that_are_swapped_get_new_previews(two: Host, looked_at: list[str]) -> None:
    one, other = (two.folder / image["path"] for image in two.value["images"][:2])
    for file in (one, other):
        file.write_bytes(file.read_bytes().ljust(1000, b"\0"))
        os.utime(file, ns=(0, 10**18))
    two.export()
    before = [two.queue()["matches"][0][side]["preview"] for side in ("image1", "image2")]
    looked_at.clear()
    spare = two.folder / "spare"
    for source, target in ((one, spare), (other, one), (spare, other)):
        os.rename(source, target)
    images = two.value["images"]
    images[0]["dhash"], images[1]["dhash"] = images[1]["dhash"], images[0]["dhash"]
    two.write()
    two.export()
    assert sorted(looked_at) == ["a.png", "b.png"]
    assert not set(before) & {two.queue()["matches"][0][side]["preview"] for side in ("image1", "image2")}


def test_a_preview_that_was_lost_is_made_again(two: Host, looked_at: list[str]) -> None:
    two.export()
    lost = two.review / two.queue()["matches"][0]["image2"]["preview"]
    lost.unlink()
    assert two.check().changed
    assert two.export().changed
    assert lost.exists()


def test_unneeded_previews_are_removed_and_nothing_else(two: Host) -> None:
    two.export()
    mine = {"my holiday.jpg", "0123456789abcdef.jpg"}  # somebody's own, the second named as a preview is
    for name in mine:
        (two.review / "images" / name).write_bytes(b"mine")
    assert not two.check().changed
    two.value["images"][1]["dhash"] = "F" * 16
    two.write()
    assert two.check().changed
    assert two.export().changed
    assert {path.name for path in (two.review / "images").iterdir()} == mine
    two.export(include_images=False)
    assert {path.name for path in (two.review / "images").iterdir()} == mine


def test_library_folder_may_be_the_review_folder(two: Host) -> None:
    (two.folder / "images").mkdir()
    (two.folder / "images" / "0123456789abcdef.jpg").write_bytes(picture())
    before = digests(two.folder)
    two.export(review_dir=str(two.folder))
    two.export(review_dir=str(two.folder), include_images=False)
    assert before.items() <= digests(two.folder).items()


def test_images_are_not_opened_where_no_previews_are_asked_for(two: Host, looked_at: list[str]) -> None:
    two.export(include_images=False)
    assert looked_at == []
    assert not (two.review / "images").exists()
    assert two.queue()["matches"][0]["image1"]["bytes"] == (two.folder / "a.png").stat().st_size


@pytest.mark.parametrize(("kind", "times"), [("not_an_image", 1), ("truncated", 1), ("timeout", 2), ("unsupported", 2)])
def test_what_may_succeed_another_time_is_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch, kind: str, times: int) -> None:
    tried = []

    def make_previews(paths: Iterable[tuple[str, str]], *_args: object) -> Iterator[tuple[str, ImageError]]:
        for key, path in paths:
            tried.append(path)
            yield key, ImageError(kind, "no luck")

    monkeypatch.setattr(worker_pool, "make_previews", make_previews)
    host.add("a.png", 0, 0, picture()).add("b.png", NEAR, 0, picture())
    host.write()
    assert host.export().changed
    assert not host.check().changed
    assert not host.export().changed
    assert len(tried) == 2 * times


def test_killed_export_does_not_make_its_previews_again(two: Host, looked_at: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_pieces: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(review_previews, "CHECKPOINT", 1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(review_page, "render", die)
        two.export()
    assert two.export().changed
    assert looked_at == ["a.png", "b.png"]


@pytest.mark.slow
def test_killed_export_can_be_repeated_and_disowns_no_file(
        tmp_path: Path, killed_at: Callable[[int, Callable[[], object]], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    make_previews_here(monkeypatch)
    monkeypatch.setattr(_clock, "now", lambda: "2026-01-31T12:00:00.000Z")
    for number in itertools.count():
        host = Host(tmp_path / str(number))
        host.add("a.png", 0, 0, picture((80, 60))).add("b.png", NEAR, 1, picture((40, 30)))
        host.write()
        host.export()
        host.add("c.png", NEAR ^ 1, 0, picture((20, 20)))
        host.write()
        killed = killed_at(number, host.export)
        host.export()
        assert not host.check().changed
        assert {path.name for path in host.review.iterdir()} == {"queue.json", "queue.csv", "review.html", "images"}
        assert len(list((host.review / "images").iterdir())) == 3
        if not killed:
            break
    assert number > 10


def test_real_workers_make_the_same_previews(two: Host, looked_at: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    two.export()
    here = digests(two.review / "images")
    monkeypatch.undo()
    for preview in (two.review / "images").iterdir():
        preview.unlink()
    two.export()
    assert {name: digest for name, (digest, _time) in digests(two.review / "images").items()} == \
        {name: digest for name, (digest, _time) in here.items()}
    assert looked_at == ["a.png", "b.png"]


# Again, and in check mode.


def test_an_export_that_would_say_the_same_changes_nothing(two: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = (f"2026-01-31T12:00:{second:02}.000Z" for second in itertools.count())
    monkeypatch.setattr(_clock, "now", lambda: next(moments))
    first = two.export()
    before = digests(two.folder)
    assert first.changed
    assert not two.check().changed
    second = two.export()
    assert not second.changed
    assert second.result == {**first.result, "written": []}
    assert digests(two.folder) == before
    two.add("c.png", NEAR ^ 1)
    two.write()
    assert two.export().changed
    assert two.queue()["exportedAt"] > "2026-01-31T12:00:00.000Z"


def test_lost_export_file_is_written_again_identically(two: Host) -> None:
    two.export()
    before = digests(two.review)["queue.csv"][0]
    (two.review / "queue.csv").unlink()
    assert two.check().changed
    assert two.export().result["written"] == ["queue.csv"]
    assert digests(two.review)["queue.csv"][0] == before


@pytest.mark.parametrize("exported", [False, True])
def test_check_mode_of_an_export_predicts_it_and_writes_nothing(two: Host, looked_at: list[str], exported: bool) -> None:
    if exported:
        two.export()
        two.add("c.png", NEAR ^ 1)
        two.write()
    before = digests(two.folder.parent)
    foretold = two.check()
    assert digests(two.folder.parent) == before
    seen = list(looked_at)
    done = two.export()
    assert (foretold.changed, foretold.before) == (done.changed, done.before)
    assert foretold.result == {**done.result, "written": [], "set_aside": []}
    assert seen == (["a.png", "b.png"] if exported else [])


def test_check_mode_without_numpy_says_the_export_may_change(two: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    foretold = two.check()
    assert foretold.changed
    assert foretold.result["total_matches"] is None
    with pytest.raises(DhashError, match="numpy"):
        two.export()


def test_the_difference_is_told_in_counts(two: Host) -> None:
    first = two.export()
    assert review_export.difference(first)["before"] == ""
    two.add("c.png", NEAR ^ 1)
    two.write()
    second = review_export.difference(two.check())
    assert "total_matches: 1\n" in second["before"]
    assert "total_matches: 2\n" in second["after"]


# What is there already.


def test_edited_export_file_is_set_aside_and_not_overwritten(two: Host) -> None:
    two.export()
    edited = (two.review / "queue.json").read_bytes().replace(b"pending", b"skipped")
    (two.review / "queue.json").write_bytes(edited)
    assert two.check().changed
    result = two.export().result
    [kept] = result["set_aside"]
    assert os.path.basename(kept).startswith("queue.json.edited-")
    assert Path(kept).read_bytes() == edited
    assert two.queue()["matches"][0]["reviewStatus"] == "pending"
    assert not two.export().changed


def test_review_folder_of_another_library_is_refused_and_kept(two: Host) -> None:
    two.export()
    other = two.folder / "other.json"
    other.write_bytes(two.live.read_bytes())
    before = digests(two.folder)
    elsewhere = {"library": str(other), "state": str(two.folder.parent / "other-state")}
    for call in (two.check, two.export):
        with pytest.raises(RefusedError, match=f"the folder has the review of another library, {two.live}") as refused:
            call(**elsewhere)
        assert refused.value.path == str(two.review) and "dhash_review_dir" in str(refused.value.next_step)
    assert digests(two.folder) == before
    two.live.unlink()
    assert two.export(**elsewhere).changed  # a library that was moved takes its review along


def test_export_files_no_longer_requested_go_unless_edited(two: Host) -> None:
    two.export()
    two.export(formats=("json",))
    assert {path.name for path in two.review.iterdir()} == {"queue.json", "images"}
    two.export()
    (two.review / "queue.csv").write_bytes(b"notes")
    two.export(formats=("json",))
    assert {path.name for path in two.review.iterdir()} == {"queue.json", "queue.csv", "images"}


def test_another_folder_gets_an_export_of_its_own(two: Host) -> None:
    two.export()
    before = digests(two.review)
    assert two.export(review_dir=str(two.folder / "second")).changed
    assert digests(two.review) == before
    assert set(digests(two.folder / "second")) == set(before)


def test_two_exports_at_once_do_not_get_into_one_anothers_way(two: Host) -> None:
    two.export()
    with locking.lock(os.path.join(two.state, "review"), "review_export", "1", 0), pytest.raises(LockedError):
        two.export()


def test_export_waits_for_no_migration_and_blocks_no_rollback(two: Host) -> None:
    with locking.lock(str(two.live), "migration", "1", 0):
        assert two.export().changed


def test_a_library_that_is_refused_leaves_nothing_behind(host: Host) -> None:
    host.live.write_text("[]", encoding="utf-8")
    with pytest.raises(LibraryError):
        host.export()
    assert {path.name for path in host.folder.parent.rglob("*")} == {"srv", "library.json"}


def test_the_folder_and_its_files_are_closed_to_others(two: Host) -> None:
    two.export()
    assert two.review.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in two.review.rglob("*") if path.is_file()} == {0o640}
