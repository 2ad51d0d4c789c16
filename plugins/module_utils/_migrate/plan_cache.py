# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a library, with the stamps of the files of its images, as the index of Git has them.

A run stores it for the library that it leaves: that of a migration has nothing to do, and a dry run leaves the library as it is. As long as
the library, its journal, the settings and the decoders are those of the cache, and each file has its stamp, a plan is the one in the cache:
it neither parses the library nor reads the journal.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._files import column_files, file_stamps
from .._hashing import entry_columns, hash_journal
from .._library import json_text, library_file, library_index
from . import library_survey

FILE = "plan.cache"
OF_ENTRIES = "entries."  # begins the name of a column of the entries
RULES = 1  # count on if the same library, files and settings have another plan


class Images(NamedTuple):
    """The images of a library in columns: their ``paths``, positions in its file from ``starts`` to ``ends``, hashes (0 without one),
    the positions of the images without a hash among the images, and the stamps of their files."""

    paths: list[str]
    starts: array[int]
    ends: array[int]
    hashes: array[int]
    failures: array[int]
    sizes: array[int]
    mtimes: array[int]
    ctimes: array[int]
    inodes: array[int]

    def hashed(self) -> Sequence[int]:
        """The positions of the images with a hash."""
        failed = set(self.failures)
        return [position for position in range(len(self.paths)) if position not in failed] if failed else range(len(self.paths))

    def stamps(self) -> tuple[array[int], ...]:
        """The stamps of the files, in the columns of a survey."""
        return self.sizes, self.mtimes, self.ctimes, self.inodes

    def are_unchanged(self, folder: str, identities: file_stamps.Identities | None = None) -> bool:
        """Whether each file, below ``folder``, has its stamp; one ``stat`` for each. ``identities``, if given, gets those of the files."""
        for path, size, mtime, ctime, inode in zip(self.paths, *self.stamps()):
            try:
                status = os.stat(os.path.join(folder, path))
                if file_stamps.stamp_of(status) != (size, mtime, ctime, inode):
                    return False
            except (FileNotFoundError, NotADirectoryError, ValueError):
                if size != library_survey.NO_FILE:
                    return False
                status = None
            except OSError:
                return False
            if identities is not None:
                identities.append(status and file_stamps.identity_of(status))
        return True


class Progress(NamedTuple):
    """The number of images, of those to hash, and of those whose time is known, and the sum of these times in seconds."""

    images: int
    pending: int
    measured: int
    seconds: float


class Outcome(NamedTuple):
    """What a plan says of a library: whether it would change, the counts ``before``, those of all its results, and its progress."""

    would_change: bool
    before: dict[str, Any]
    counts: dict[str, Any]
    progress: Progress


class Plan(NamedTuple):
    """The fields of an :class:`Outcome`, the images, and the columns of their entries; none if the library would not change."""

    would_change: bool
    before: dict[str, Any]
    counts: dict[str, Any]
    progress: Progress
    images: Images
    entries: dict[str, array[int]]


def can_hold(source: library_survey.Source) -> bool:
    """Whether the plan of a library with these images can be stored: no image is hashed again by every run, and no message depends on more
    than the stamps."""
    return all(entry.kind in hash_journal.REMEMBERED_KINDS or (entry.kind == "missing" and source.index.paths[position].isascii())
               for position, entry in source.entries.failures().items()) and not any("\0" in path for path in source.index.paths)


def store(state: str, key: dict[str, Any], source: library_survey.Source, digest: str, outcome: Outcome,
          starts: array[int], ends: array[int]) -> None:
    """Store the plan of the library with the SHA-256 ``digest`` and with the images of ``source``, once all are hashed.

    ``key``: all that decides the plan, apart from the library and the files of its images, as a value of JSON. ``starts``, ``ends``: the
    positions of the images in its file. Call it when the run has written all that it writes into the journal. Raises ``DhashError``.
    """
    header = {"key": key, "rules": RULES, "sha256": digest, "outcome": outcome._asdict()}
    path = os.path.join(state, FILE)
    if column_files.read_header(path) == json.loads(json.dumps(header)):
        return
    entries, paths = source.entries, array("B")
    for path_of_image in source.index.paths:  # one by one: as one text they would take their memory three times
        paths.frombytes(path_of_image.encode("utf-8", "surrogatepass"))
        paths.append(0)
    images = Images([], starts, ends, array("Q", (entries.number(position) or 0 for position in range(len(entries)))),
                    array("Q", entries.failures()), *source.stamps_of_files)
    columns = {**images._asdict(), "paths": paths}
    if outcome.would_change:  # for the run that follows
        columns |= {f"{OF_ENTRIES}{name}": column for name, column in entries.columns().items()}
    column_files.write(path, state, header, columns)


def survey(state: str, key: dict[str, Any], path: str, index: library_index.Index, digest: str) -> library_survey.Source | None:
    """What :func:`library_survey.survey` would find, from the plan that a dry run has stored with ``key`` for the library ``index`` at ``path``.

    None if there is none, or if a file has changed since.
    """
    plan = read(state, key, digest)
    if plan is None or not plan.entries or plan.images.paths != index.paths:
        return None
    identities = file_stamps.Identities()
    if not plan.images.are_unchanged(os.path.dirname(path), identities):
        return None
    source = library_survey.Source(path, index, digest)
    try:
        source.restore(entry_columns.Entries.of_columns(plan.entries), identities, plan.images.stamps())
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return source


def read(state: str, key: dict[str, Any], digest: str) -> Plan | None:
    """The plan that was stored with ``key`` for the library with the SHA-256 ``digest``; None if there is none."""
    return _read(state, {"sha256": digest, "key": key})


def _read(state: str, wanted: dict[str, Any]) -> Plan | None:
    """The stored plan if its header has what is ``wanted``. The columns are read only then."""
    path = os.path.join(state, FILE)
    header = column_files.read_header(path)
    wanted = {**wanted, "rules": RULES}
    if header is None or {name: header.get(name) for name in wanted} != wanted:
        return None
    cached = column_files.read(path)
    if cached is None or cached[0] != header:
        return None
    entries = {name.removeprefix(OF_ENTRIES): column for name, column in cached[1].items() if name.startswith(OF_ENTRIES)}
    columns = {name: column for name, column in cached[1].items() if not name.startswith(OF_ENTRIES)}
    if list(Images._fields) != list(columns):
        return None
    try:
        text = columns.pop("paths").tobytes().decode("utf-8", "surrogatepass")
    except ValueError:
        return None
    paths = text.split("\0")[:-1]
    lengths = {len(column) for name, column in columns.items() if name != "failures"} | {len(paths)}
    if len(lengths) != 1:
        return None
    outcome = header["outcome"]
    return Plan(outcome["would_change"], outcome["before"], outcome["counts"], Progress(*outcome["progress"]), Images(paths, **columns), entries)


def draw(library: str, state: str, count: int) -> list[dict[str, Any]] | None:
    """The sample of :func:`library_survey.sample`: ``count`` hashed images of the library at the real path ``library``, as its file has them.

    None if the state folder ``state`` has no plan of it, or a migration would change it. Only these images are parsed. Raises
    ``LibraryError`` if the file cannot be read.
    """
    data = library_file.read_bytes(library, library_file.MAX_BYTES, "the library")
    digest = hashlib.sha256(data).hexdigest()
    plan = _read(state, {"sha256": digest})
    if plan is None or plan.would_change:
        return None
    images, drawn = plan.images, []
    for position in library_survey.sample(images.hashed(), digest, count):
        try:
            image = json_text.decode(data[images.starts[position]:images.ends[position]].decode(), 0)[0]
        except ValueError:
            return None
        if not isinstance(image, dict) or image.get("path") != images.paths[position] or not isinstance(image.get("dhash"), str):
            return None
        drawn.append(image)
    return drawn
