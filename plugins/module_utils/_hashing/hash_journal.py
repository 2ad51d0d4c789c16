# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of hashed images: checkpoint and cache in one SQLite file."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .._errors import BoundsError, DhashError, from_os_error
from .._files import durable, file_stamps
from . import decoder_versions

WRITABLE = "Check that the folder is writable and has free space (dhash_state_dir)."
READABLE = "Check the disk, then run again. Without this file all images are hashed again."
MOVE_AWAY = "Move this file away, then run again. All images are then hashed again."
HASH = re.compile("[0-9A-F]{16}")
PIXELS = 144  # bytes: the horizontal and the vertical pixels of difference_hash.Pixels
PATHS_PER_STATEMENT = 500  # SQLite before 3.32 takes at most 999 values
MAX_BYTES = 16 << 30  # a row has 500 bytes, so 16 for each image of the largest library
MAX_TEXT = 1 << 16  # characters of a value
MAX_NOTE = 1 << 28  # characters of a note
REMEMBERED_KINDS = ("not_an_image", "truncated", "damaged", "too_large")
SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    path BLOB NOT NULL, algorithm TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, limits TEXT,
    dhash TEXT, vertical TEXT, low_detail INTEGER, decoder TEXT, kind TEXT, error TEXT,
    seconds REAL NOT NULL, hashed_at TEXT NOT NULL,
    ctime_ns INTEGER, inode INTEGER, decoders TEXT, luma BLOB,
    PRIMARY KEY (path, algorithm)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""
LATER_COLUMNS = {"ctime_ns": "INTEGER", "inode": "INTEGER", "decoders": "TEXT", "luma": "BLOB"}  # older journals lack these columns


_TEXTS = ("limits", "decoders", "dhash", "vertical", "decoder", "kind", "error", "hashed_at")
_IS_SHORT = " AND ".join(f"ifnull(length({name}), 0) <= {MAX_TEXT}" for name in _TEXTS)


class Entry(NamedTuple):
    """The result for one image: ``dhash`` and ``vertical`` (16 hexadecimal digits each), or ``kind`` and ``error``.

    ``seconds`` is the time for decoding, ``hashed_at`` the time of hashing in UTC. ``luma``: the 144 pixels of the two hashes; None
    in the entries of older versions.
    """

    dhash: str | None
    vertical: str | None
    low_detail: bool
    decoder: str | None
    kind: str | None
    error: str | None
    seconds: float
    hashed_at: str
    luma: bytes | None = None


class Found(NamedTuple):
    """The file at a path as it is now, and the entry that the journal has for exactly that file.

    ``stamp`` is None if there is no file (``is_missing``), or if this user cannot access the file. ``identity`` is the same for
    all names of one file.
    """

    stamp: file_stamps.Stamp | None
    entry: Entry | None
    is_missing: bool = False
    identity: file_stamps.Identity | None = None


class Journal:
    """The journal of one library for one algorithm; a context manager.

    ``limits``: the text of the limits in force (:func:`decoder_limits.text`). The entry of an image that was too large counts only
    under the same limits, and the entry of an error only with the same decoders. With ``ignore_ctime`` a file counts as unchanged
    if its size and mtime are the same. With ``rehash`` a hash without pixels, from an older version, does not count.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, algorithm: str, limits: str,
                 ignore_ctime: bool = False, rehash: bool = False) -> None:
        self._connection = connection
        self._path = path
        self._algorithm = algorithm
        self._limits = limits
        self._ignore_ctime = ignore_ctime
        self._rehash = rehash
        self._incomplete: dict[str, file_stamps.Stamp] = {}

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._connection.close()

    def look_up(self, path: str) -> Found:
        """The file at ``path`` and its entry. Raises ``DhashError``."""
        [found] = self.look_up_all([path])
        return found

    def look_up_all(self, paths: Iterable[str]) -> Iterator[Found]:
        """Yield the file at each of ``paths`` and its entry, with one ``stat`` per file. Raises ``DhashError``."""
        left = iter(paths)
        while batch := list(itertools.islice(left, PATHS_PER_STATEMENT)):
            files = list(map(_examine, batch))
            rows = self._rows(path for path, file in zip(batch, files) if file.stamp)
            for path, file in zip(batch, files):
                row = rows.get(os.fsencode(path)) if file.stamp else None
                yield Found(file.stamp, self._entry(path, file.stamp, row), False, file.identity) if file.stamp and row else file

    def known(self, path: str, stamp: file_stamps.Stamp) -> Entry | None:
        """The entry of the file at ``path`` if it had this stamp when it was hashed. Raises ``DhashError``."""
        return next((self._entry(path, stamp, row) for row in self._rows([path]).values()), None)

    def _rows(self, paths: Iterable[str]) -> dict[bytes, tuple[Any, ...]]:
        """The rows of the files at ``paths``, at most ``PATHS_PER_STATEMENT``, by path. Raises ``DhashError``."""
        keys = list(map(os.fsencode, paths))
        rows = self._select(
            "SELECT size, mtime_ns, ctime_ns, inode, limits, decoders, dhash, vertical, low_detail, decoder, kind, error, seconds,"
            f" hashed_at, CASE WHEN typeof(luma) = 'blob' AND length(luma) = {PIXELS} THEN luma END, path FROM images"
            f" WHERE algorithm = ? AND path IN ({', '.join('?' * len(keys))}) AND {_IS_SHORT}", self._algorithm, *keys)
        return {row[-1]: row for row in rows}

    def _entry(self, path: str, stamp: file_stamps.Stamp, row: tuple[Any, ...]) -> Entry | None:
        """The entry in ``row``; None if it does not count for the file at ``path``, which has this ``stamp`` now."""
        size, mtime_ns, ctime_ns, inode, limits, decoders, dhash, vertical, low_detail, decoder, kind, error, seconds, hashed_at, luma, _path = row
        recorded = file_stamps.Stamp(size, mtime_ns, ctime_ns, inode)
        entry = Entry(dhash, vertical, bool(low_detail), decoder, kind, error, seconds, hashed_at, luma)
        if not _is_usable(entry) or recorded[:2] != stamp[:2] or not (self._ignore_ctime or recorded.fits(stamp)) or \
                (entry.kind and decoders != _decoders_here()) or (entry.kind == "too_large" and limits != self._limits) or \
                (self._rehash and entry.dhash and not entry.luma):
            return None
        if recorded != self._trusted(stamp) and stamp.ctime_ns is not None:
            self._incomplete[path] = self._trusted(stamp)
        return entry

    def _trusted(self, stamp: file_stamps.Stamp) -> file_stamps.Stamp:
        return stamp.without_ctime() if self._ignore_ctime else stamp

    def knows(self, path: str) -> bool:
        """Whether a file at ``path`` was ever hashed, even with other content. Raises ``DhashError``."""
        return self._find("SELECT 1 FROM images WHERE path = ? AND algorithm = ?",
                          os.fsencode(path), self._algorithm) is not None

    def record(self, results: Iterable[tuple[str, file_stamps.Stamp, Entry]]) -> None:
        """Store ``(path, stamp, entry)`` of each result in one durable commit.

        Raises ``DhashError``.
        """
        with self._commit():
            self._connection.executemany(
                "INSERT OR REPLACE INTO images (path, algorithm, size, mtime_ns, ctime_ns, inode, limits, decoders, dhash,"
                " vertical, low_detail, decoder, kind, error, seconds, hashed_at, luma)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(os.fsencode(path), self._algorithm, *self._trusted(stamp), self._limits,
                  _decoders_here() if entry.kind else None, *entry) for path, stamp, entry in results])

    def complete(self) -> None:
        """Add ctime and inode to the entries that were looked up and lack them.

        Raises ``DhashError``.
        """
        if self._incomplete:
            with self._commit():
                self._connection.executemany(
                    "UPDATE images SET ctime_ns = ?, inode = ? WHERE path = ? AND algorithm = ?",
                    [(stamp.ctime_ns, stamp.inode, os.fsencode(path), self._algorithm)
                     for path, stamp in self._incomplete.items()])
            self._incomplete = {}

    def forget(self, paths: Iterable[str]) -> None:
        """Delete the entries of the files at ``paths``, in one commit. Raises ``DhashError``."""
        with self._commit():
            self._connection.executemany("DELETE FROM images WHERE path = ? AND algorithm = ?",
                                         [(os.fsencode(path), self._algorithm) for path in paths])

    def note(self, name: str) -> str | None:
        """The content last stored under ``name``; None if there is none. Raises ``DhashError``."""
        row = self._find(f"SELECT content FROM notes WHERE name = ? AND length(content) <= {MAX_NOTE}", name)
        return row[0] if row is not None and isinstance(row[0], str) else None

    def keep_note(self, name: str, content: str) -> None:
        """Store ``content`` under ``name``. Raises ``DhashError``."""
        with self._commit():
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, content))

    def version(self) -> tuple[int, ...] | None:
        """A value that changes if another process changes or replaces the journal. None if the file is gone. Raises ``DhashError``."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, *(self._find("PRAGMA data_version") or ())

    def _find(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self._select(query, *values)), None)

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise DhashError(f"could not read the journal: {error}", self._path, READABLE) from error

    @contextlib.contextmanager
    def _commit(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            raise DhashError(f"could not write the journal: {error}", self._path, WRITABLE) from error


def _examine(path: str) -> Found:
    """The file at ``path``, without its entry."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return Found(None, None, is_missing=True)
    except OSError:
        return Found(None, None)
    return Found(file_stamps.stamp_of(status), None, identity=file_stamps.identity_of(status))


def path_in(state: str) -> str:
    """The path of the journal in the state folder ``state``."""
    return os.path.join(state, "journal.sqlite")


def open_for_writing(state: str, algorithm: str, limits: str, ignore_ctime: bool = False,
                     rehash: bool = False) -> tuple[Journal, str | None]:
    """The journal in the state folder ``state``, and the new path of a damaged journal that was set aside, otherwise None.

    A missing journal is created. Raises ``DhashError`` if the journal can be neither opened nor created.
    """
    durable.make_folder(state)
    path = path_in(state)
    set_aside = None
    try:
        try:
            connection = _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            set_aside = f"{path}.damaged-{time.strftime(durable.STAMP, time.gmtime())}"
            os.rename(path, set_aside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}-journal")
            connection = _connect(path)
    except (sqlite3.Error, OSError) as error:
        raise DhashError(f"could not open the journal: {error}", path, WRITABLE) from error
    return Journal(connection, path, algorithm, limits, ignore_ctime, rehash), set_aside


def _require_file(path: str) -> None:
    """Raise ``DhashError`` for a file at ``path`` that SQLite must not open: a FIFO blocks it, and a check of its pages takes hours."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, "open the journal", path) from error
    if not stat.S_ISREG(status.st_mode):
        raise BoundsError("not a regular file", path, MOVE_AWAY)
    if status.st_size > MAX_BYTES:
        raise BoundsError(f"the journal has {status.st_size} bytes, and at most {MAX_BYTES} are read", path, MOVE_AWAY)


def _connect(path: str) -> sqlite3.Connection:
    _require_file(path)
    connection = sqlite3.connect(path, timeout=30)
    try:
        _require_plain_tables(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        _check(connection)
        for column in _lacking(connection):
            connection.execute(f"ALTER TABLE images ADD COLUMN {column} {LATER_COLUMNS[column]}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(state: str, algorithm: str, limits: str, ignore_ctime: bool = False, rehash: bool = False) -> Journal:
    """The journal in ``state``, opened without writing a byte; an empty one if there is none, or it cannot be opened read-only."""
    quoted = path_in(state).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        _require_file(path_in(state))
        connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True)
        _require_plain_tables(connection)
        connection.execute("SELECT count(*) FROM notes")
        _check(connection)
        lacking = "".join(f", NULL AS {column}" for column in _lacking(connection))
        if lacking:
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(f"CREATE TEMP VIEW images AS SELECT *{lacking} FROM main.images")
    except (sqlite3.Error, DhashError):
        connection = sqlite3.connect(":memory:")
        connection.executescript(SCHEMA)
    return Journal(connection, path_in(state), algorithm, limits, ignore_ctime, rehash)


def _lacking(connection: sqlite3.Connection) -> list[str]:
    """The columns that a journal of an older version lacks."""
    present = {row[1] for row in connection.execute("PRAGMA table_info(images)")}
    return [column for column in LATER_COLUMNS if column not in present]


def _is_usable(entry: Entry) -> bool:
    """Whether the values of an entry are of the kind that :meth:`Journal.record` stores; a row may be damaged, or written by another program."""
    if not isinstance(entry.seconds, float) or not isinstance(entry.hashed_at, str):
        return False
    if entry.kind is not None:
        return isinstance(entry.kind, str) and isinstance(entry.error, str)
    return _is_hash(entry.dhash) and _is_hash(entry.vertical)


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and HASH.fullmatch(text) is not None


def _decoders_here() -> str:
    """The decoders of this host and their versions, as text."""
    return json.dumps(decoder_versions.versions(), sort_keys=True)


def _check(connection: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as expected:
        expected.executescript(SCHEMA)
        for table in ("images", "notes"):
            _require_columns(_columns(connection, table), _columns(expected, table))
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")


def _require_plain_tables(connection: sqlite3.Connection) -> None:
    """Raise ``sqlite3.DatabaseError`` for a view or a trigger, whose statements would run with each of ours, and for a virtual table."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger') OR (type = 'table' AND rootpage = 0)").fetchone():
        raise sqlite3.DatabaseError("the journal has more than tables")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[int, bool]]:
    """For each column, its place in the primary key (0: none), and whether a row must have a value for it."""
    return {name: (key, bool(not_null) and default is None) for _number, name, _type, not_null, default, key
            in connection.execute(f"PRAGMA table_info({table})")}


def _require_columns(found: dict[str, tuple[int, bool]], expected: dict[str, tuple[int, bool]]) -> None:
    """Raise ``sqlite3.DatabaseError`` unless rows of the expected columns can be read and written."""
    keys = [{name: key for name, (key, _required) in columns.items() if key} for columns in (found, expected)]
    required = {name for name, (_key, is_required) in found.items() if is_required}
    if keys[0] != keys[1] or not expected.keys() - LATER_COLUMNS.keys() <= found.keys() or not required <= expected.keys():
        raise sqlite3.DatabaseError("the journal has the schema of another version")
