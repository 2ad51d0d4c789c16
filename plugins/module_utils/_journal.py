# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has been hashed so far: checkpoint and cache in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import _durable
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError

WRITABLE = "Check that the folder is writable and has free space (dhash_state_dir)."
READABLE = "Check the disk, then run again; without the file all is hashed anew."
REMEMBERED_KINDS = ("not_an_image", "truncated", "too_large")
SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    path BLOB NOT NULL, algorithm TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, limits TEXT,
    dhash TEXT, vertical TEXT, low_detail INTEGER, decoder TEXT, kind TEXT, error TEXT,
    seconds REAL NOT NULL, hashed_at TEXT NOT NULL,
    PRIMARY KEY (path, algorithm)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


class Entry(NamedTuple):
    """What became of one image: 16 hexadecimal digits each in ``dhash`` and ``vertical``, or ``kind`` and ``error``."""

    dhash: str | None
    vertical: str | None
    low_detail: bool
    decoder: str | None
    kind: str | None
    error: str | None
    seconds: float
    hashed_at: str


class Journal:
    """The journal of one library for one algorithm; a context manager.

    ``limits``: a text that tells the limits in force; an image once found too large is known only under the same.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, algorithm: str, limits: str) -> None:
        self._connection = connection
        self._path = path
        self._algorithm = algorithm
        self._limits = limits

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._connection.close()

    def known(self, path: str, size: int, mtime_ns: int) -> Entry | None:
        """The entry of the file at ``path`` if it was hashed at this size and time of change. Raises ``DhashError``."""
        row = self._find(
            "SELECT dhash, vertical, low_detail, decoder, kind, error, seconds, hashed_at, limits FROM images"
            " WHERE path = ? AND algorithm = ? AND size = ? AND mtime_ns = ?",
            os.fsencode(path), self._algorithm, size, mtime_ns)
        if row is None or (row[4] == "too_large" and row[8] != self._limits):
            return None
        return Entry(*row[:2], bool(row[2]), *row[3:8])

    def knows(self, path: str) -> bool:
        """Whether the file at ``path`` was ever hashed, whatever it was then. Raises ``DhashError``."""
        return self._find("SELECT 1 FROM images WHERE path = ? AND algorithm = ?",
                          os.fsencode(path), self._algorithm) is not None

    def record(self, results: Iterable[tuple[str, int, int, Entry]]) -> None:
        """Keep ``(path, size, mtime_ns, entry)`` of each result in one commit that outlasts a loss of power.

        Raises ``DhashError``.
        """
        with self._commit():
            self._connection.executemany(
                "INSERT OR REPLACE INTO images (path, algorithm, size, mtime_ns, limits, dhash, vertical, low_detail,"
                " decoder, kind, error, seconds, hashed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(os.fsencode(path), self._algorithm, size, mtime_ns, self._limits, *entry)
                 for path, size, mtime_ns, entry in results])

    def note(self, name: str) -> str | None:
        """The content last kept under ``name``. Raises ``DhashError``."""
        row = self._find("SELECT content FROM notes WHERE name = ?", name)
        return row and row[0]

    def keep_note(self, name: str, content: str) -> None:
        """Keep ``content`` under ``name``. Raises ``DhashError``."""
        with self._commit():
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, content))

    def _find(self, query: str, *values: object) -> tuple | None:
        try:
            return self._connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise DhashError(f"could not read the journal: {error}", self._path, READABLE) from error

    @contextlib.contextmanager
    def _commit(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            raise DhashError(f"could not write the journal: {error}", self._path, WRITABLE) from error


def path_in(state: str) -> str:
    """Where the journal lies in the state folder ``state``."""
    return os.path.join(state, "journal.sqlite")


def open_for_writing(state: str, algorithm: str, limits: str) -> tuple[Journal, str | None]:
    """The journal in the state folder ``state``, made where there is none, and where a damaged one was set aside.

    Raises ``DhashError`` where it can be neither opened nor made.
    """
    _durable.make_folder(state)
    path = path_in(state)
    set_aside = None
    try:
        try:
            connection = _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            set_aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
            os.rename(path, set_aside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}-journal")
            connection = _connect(path)
    except (sqlite3.Error, OSError) as error:
        raise DhashError(f"could not open the journal: {error}", path, WRITABLE) from error
    return Journal(connection, path, algorithm, limits), set_aside


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(state: str, algorithm: str, limits: str) -> Journal:
    """The journal in ``state`` without writing a byte; an empty one where there is none or it cannot be read so."""
    quoted = path_in(state).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True)
        connection.execute("SELECT count(*) FROM notes")
        _check(connection)
    except sqlite3.Error:
        connection = sqlite3.connect(":memory:")
        connection.executescript(SCHEMA)
    return Journal(connection, path_in(state), algorithm, limits)


def _check(connection: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as expected:
        expected.executescript(SCHEMA)
        for table in ("images", "notes"):
            _require_columns(_columns(connection, table), _columns(expected, table))
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("quick_check failed")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[int, bool]]:
    """Of each column, its place in the primary key (0: none), and whether a row has to give it a value."""
    return {name: (key, bool(not_null) and default is None) for _number, name, _type, not_null, default, key
            in connection.execute(f"PRAGMA table_info({table})")}


def _require_columns(found: dict[str, tuple[int, bool]], expected: dict[str, tuple[int, bool]]) -> None:
    """Raise ``sqlite3.DatabaseError`` unless rows of the expected columns can be read and written."""
    keys = [{name: key for name, (key, _required) in columns.items() if key} for columns in (found, expected)]
    required = {name for name, (_key, is_required) in found.items() if is_required}
    if keys[0] != keys[1] or not expected.keys() <= found.keys() or not required <= expected.keys():
        raise sqlite3.DatabaseError("the journal has the schema of another version")
