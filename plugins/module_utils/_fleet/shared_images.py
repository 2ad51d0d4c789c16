# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that several hosts have, found by their hashes alone: no picture leaves its host.

The search is the same as for duplicates in one library: exact, and the pixels refute pairs of which only the hashes are similar. The memory
holds a few numbers per image, and the paths of images that several hosts have.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment] # _require_numpy_here checks this before the search

from .._errors import HandoverError, MissingRequirementError
from .._files import bounded_reads, durable, row_files, spreadsheet
from .._hashing import difference_hash, hash_journal
from .._library import json_text, library_fields
from .._migrate import matchable_images
from . import handover

NAMES = ("duplicates.json", "duplicates.csv")
HEAD = ("hosts", "leftOut", "threshold", "images", "pairs", "refutedPairs", "hostPairs")  # of the JSON, before the groups
BATCH = 16384  # pairs that are compared at a time
COLUMNS = ("group", "host", "path", "dhash", "bytes", "distance")


class Hashed(NamedTuple):
    """An image of a host; ``vertical`` (hash), ``size`` (bytes) and ``luma`` (144 pixels) are None if they are not known."""

    path: str
    dhash: str
    vertical: str | None
    size: int | None
    luma: bytes | None


class Images(NamedTuple):
    """The images of all hosts: ``hashes``, ``verticals`` (n,) uint64; ``known``: (n,) bool, whether that vertical hash is known;
    ``owner``: (n,) int64, the number of the host; ``luma``: the pixels of each image."""

    hashes: np.ndarray
    verticals: np.ndarray
    known: np.ndarray
    owner: np.ndarray
    luma: Sequence[bytes | None]


class Matches(NamedTuple):
    """The result of a search. For each image (hosts in order, images in the order of their files), ``group`` (int64) is the position
    of the first image of its group, or -1, and ``distance`` (uint8) the distance to the nearest image of another host, in bits.

    ``pairs``: (hosts, hosts) int64, the number of pairs of images of two hosts; the lower host is the first index. ``refuted``: the
    number of pairs that are refuted.
    """

    group: np.ndarray
    distance: np.ndarray
    pairs: np.ndarray
    refuted: int


def export(library: str, state: str, run: str, lock_timeout: float) -> dict[str, Any]:
    """Write the hashes of the library at the real path ``library`` to a file; its path and counts.

    Raises ``DhashError``.
    """
    result, value = _read_migrated(library)
    images = matchable_images.survey(library, value, state)
    with handover.lock(state, "hash_export", run, lock_timeout):
        path = handover.path_in(state, handover.HASHES)
        count = row_files.write(path, handover.HASHES, {"algorithm": result["algorithm"]},
                                ([image.path, image.dhash, image.vertical, image.size, row_files.packed(image.luma)] for image in images))
    return {**result, "exported": count, "hashes": path}


def check_export(library: str) -> dict[str, Any]:
    """The counts of :func:`export`; writes nothing. Raises ``DhashError``."""
    return _read_migrated(library)[0]


def _read_migrated(library: str) -> tuple[dict[str, Any], dict[str, Any]]:
    value = matchable_images.read_migrated(library, "compare", "Run the migrate playbook on this host first.")
    counts = library_fields.counts(value)
    return {"images": counts["images"], "hashed": counts["hashed"], "algorithm": library_fields.algorithm(value)}, value


def find(files: Mapping[str, str], threshold: int, confirm: bool, folder: str, check: bool) -> dict[str, Any]:
    """Compare the hosts' hashes (``files``: host -> file) and write the report into ``folder``, unless it is already there.

    A host whose file is damaged, or whose hashes are of another algorithm than the first one's, is left out and named
    in ``left_out``. With ``check`` nothing is written. Raises ``DhashError``.
    """
    _require_numpy_here()
    algorithms: dict[str, Any] = {}
    left_out: dict[str, dict[str, str]] = {}
    for host, file in files.items():
        try:
            algorithm = row_files.require_sound(file, handover.HASHES, _to_hashed).get("algorithm")
            first = next(iter(algorithms.values()), algorithm)
            if algorithm != first:
                raise HandoverError(row_files.OTHER_ALGORITHM,
                                    f"the hashes are of algorithm {algorithm}, those of {next(iter(algorithms))} of {first}",
                                    next_step="Only hashes of one algorithm can be compared.")
            algorithms[host] = algorithm
        except HandoverError as error:
            left_out[host] = {"reason": error.reason, "message": error.cause}  # without the path, which is that of a temporary copy
    hosts = list(algorithms)
    images = _read_all([files[host] for host in hosts])
    matches = match(images, len(hosts), threshold, confirm)
    result = {"hosts": len(hosts), "images": len(images.hashes), "threshold": threshold,
              "pairs": int(matches.pairs.sum()), "refuted": matches.refuted,
              "groups": len(np.unique(matches.group[matches.group >= 0])), "grouped_images": int((matches.group >= 0).sum()),
              "host_pairs": _host_pairs(hosts, matches), "left_out": left_out}
    renderings = _renderings(result, hosts, [files[host] for host in hosts], matches)
    written, set_aside = [], []
    for name, render in renderings.items():
        path = os.path.join(folder, name)
        if _is_there(path, render):
            continue
        written.append(path)
        if not check:
            durable.make_folder(folder, 0o750)
            set_aside.extend(_set_aside(path))
            durable.write(path, render(), mode=0o640)
    return {**result, "files": [os.path.join(folder, name) for name in NAMES], "written": written, "set_aside": set_aside}


def match(images: Images, hosts: int, threshold: int, confirm: bool) -> Matches:
    """Group the images of different hosts that lie within ``threshold`` bits, directly or through other images.

    The numbers of the hosts are below ``hosts``. With ``confirm`` pairs that are not confirmed are left out. Two images of one host
    are not a pair, but a third image can connect them to one group.
    """
    from .._hashing import confirmation, hamming_search

    hashes, verticals, known, owner, luma = images
    pictures = confirmation.Pictures(verticals, known, luma)
    # Images of one host that cannot be told apart are searched once.
    keys = np.rec.fromarrays([owner, hashes, pictures.kinds(confirm)])
    _kinds, first, inverse, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)  # numpy 2.0 gives it the shape of the keys
    one_hash, one_owner = hashes[first], owner[first]
    pairs, refuted = np.zeros((hosts, hosts), np.int64), 0
    nearest = np.full(len(first), 255, np.uint8)
    groups = _Groups(len(first))
    split = hamming_search.cheapest_split(len(first), threshold)
    radii = np.full(len(first), threshold, np.uint8)
    for one, other, distance in hamming_search.gathered(hamming_search.pairs_within(one_hash, radii, split, once=True), BATCH):
        across = one_owner[one] != one_owner[other]
        one, other, distance = one[across], other[across], distance[across]
        wrong = pictures.hundredths(first[one], first[other], distance) < confirmation.CONFIRMED if confirm else np.zeros(len(one), bool)
        refuted += int((sizes[one[wrong]] * sizes[other[wrong]]).sum())
        one, other, distance = one[~wrong], other[~wrong], distance[~wrong]
        lower, higher = (bound(one_owner[one], one_owner[other]) for bound in (np.minimum, np.maximum))
        np.add.at(pairs, (lower, higher), sizes[one] * sizes[other])
        np.minimum.at(nearest, one, distance)
        np.minimum.at(nearest, other, distance)
        groups.join(one, other)
    root = groups.roots(np.arange(len(first)))
    begin = np.full(len(first), len(hashes), np.int64)
    np.minimum.at(begin, root, first)
    group = np.where(nearest[inverse] <= 64, begin[root][inverse], -1)
    return Matches(group, nearest[inverse], pairs, refuted)


class _Groups:
    """Disjoint sets: a forest in which no element points to a later one."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def roots(self, elements: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._parent[elements]
        while (self._parent[found] != found).any():
            found = self._parent[found]
        self._parent[elements] = found
        return found

    def join(self, one: np.ndarray, other: np.ndarray) -> None:
        while len(one):
            one, other = self.roots(one), self.roots(other)
            apart = one != other
            one, other = one[apart], other[apart]
            # If a root could point to several elements, the earliest wins; the others are joined in the next round.
            np.minimum.at(self._parent, np.maximum(one, other), np.minimum(one, other))


def _require_numpy_here() -> None:
    try:
        difference_hash.require_numpy()
    except MissingRequirementError as error:
        raise MissingRequirementError(
            "numpy is needed to compare hashes and is not installed in the Python that Ansible uses on the controller",
            next_step="Install numpy there (python -m pip install numpy), or set ansible_python_interpreter of localhost"
            " to a Python with numpy.") from error


def _read_all(files: Sequence[str]) -> Images:
    luma: list[bytes | None] = []

    def rows() -> Iterator[tuple[int, int, bool, int]]:
        for number, file in enumerate(files):
            for image in row_files.read(file, handover.HASHES, _to_hashed):
                luma.append(image.luma)
                yield (difference_hash.from_hex(image.dhash), difference_hash.from_hex(image.vertical or "0"),
                       image.vertical is not None, number)

    table = np.fromiter(rows(), [("hash", np.uint64), ("vertical", np.uint64), ("known", bool), ("owner", np.int64)])
    hashes, verticals, known, owner = (np.ascontiguousarray(table[name]) for name in ("hash", "vertical", "known", "owner"))
    return Images(hashes, verticals, known, owner, luma)


def _host_pairs(hosts: Sequence[str], matches: Matches) -> list[dict[str, Any]]:
    return [{"hosts": [hosts[one], hosts[other]], "pairs": int(matches.pairs[one, other])}
            for one, other in zip(*np.nonzero(matches.pairs))]


def _renderings(result: dict[str, Any], hosts: Sequence[str], files: Sequence[str],
                matches: Matches) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Functions that generate the content of each file of the report. The same hashes always give the same report, without a time."""
    groups = _groups(hosts, files, matches)

    def as_json() -> Iterator[bytes]:
        shown = ({"group": number, "images": [dict(zip(COLUMNS[1:], row)) for row in rows]}
                 for number, rows in enumerate(groups, start=1))
        head = dict(zip(HEAD, (list(hosts), result["left_out"], result["threshold"], result["images"], result["pairs"],
                               result["refuted"], result["host_pairs"])))
        yield from map(json_text.encode, json_text.pieces({**head, "groups": iter(shown)}))
        yield b"\n"

    def as_csv() -> Iterator[bytes]:
        yield from spreadsheet.lines(COLUMNS, ([number, *row] for number, rows in enumerate(groups, start=1) for row in rows))

    return dict(zip(NAMES, (as_json, as_csv)))


def _groups(hosts: Sequence[str], files: Sequence[str], matches: Matches) -> list[list[tuple[Any, ...]]]:
    """The rows of each group, without its number. The files are read again for the paths of these images."""
    groups: dict[int, list[tuple[Any, ...]]] = {}
    position = 0
    for host, file in zip(hosts, files):
        for image in row_files.read(file, handover.HASHES, _to_hashed):
            group = int(matches.group[position])
            if group >= 0:
                row = (host, image.path, image.dhash, image.size, int(matches.distance[position]))
                groups.setdefault(group, []).append(row)
            position += 1
    return [groups[group] for group in sorted(groups)]


def _is_there(path: str, render: Callable[[], Iterator[bytes]]) -> bool:
    digest = hashlib.sha256()
    for chunk in render():
        digest.update(chunk)
    return durable.exists(path) and durable.sha256_of_file(path) == digest.hexdigest()


def _set_aside(path: str) -> list[str]:
    """Rename a file that is not a report of this module; its new path."""
    if not durable.exists(path) or _is_report(path):
        return []
    kept = durable.free_name(f"{path}.set-aside-")
    durable.move(path, kept)
    return [kept]


def _is_report(path: str) -> bool:
    content = bounded_reads.read(path, durable.MAX_BYTES)
    if path.endswith(".csv"):
        return content.startswith(b"".join(spreadsheet.lines(COLUMNS, [])))
    try:
        report = bounded_reads.parse_json(content)
    except ValueError:
        return False
    return isinstance(report, dict) and report.keys() == {*HEAD, "groups"}


def _to_hashed(row: list[Any]) -> Hashed:
    path, dhash, vertical, size = row[:4]
    luma = row_files.unpacked(row[4] if len(row) == 5 else None, hash_journal.PIXELS)  # rows of older versions have none
    if len(row) > 5:
        raise ValueError("the row is too long")
    if not difference_hash.is_hex(dhash) or not (vertical is None or difference_hash.is_hex(vertical)):
        raise ValueError("a hash is invalid")
    return Hashed(row_files.text(path), dhash, vertical, None if size is None else row_files.whole(size), luma)
