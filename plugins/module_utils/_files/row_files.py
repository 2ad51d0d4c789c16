# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that hosts hand over to each other through the controller: JSON lines, compressed with gzip.

The first line says what the file is, the last line how many rows are between them. The files come from other hosts: an invalid
file is refused, and a reader holds one line in memory. They are not SQLite files because a database from another host can
contain more than data (triggers, views, a schema that keeps the reader busy).
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from .._errors import HandoverError, from_os_error
from . import bounded_reads, durable

REASONS = MISSING, UNREADABLE, DAMAGED, OTHER_KIND, OTHER_VERSION, OTHER_ALGORITHM = (  # why a file is not taken
    "missing", "unreadable", "damaged", "other_kind", "other_version", "other_algorithm")
VERSION = 1
MAX_LINE = 1 << 16  # bytes: a path has 4096 at most on Linux, and six for each of them in JSON
MAX_ROWS = 1 << 24  # an image each, of 300 bytes of memory
MAX_BYTES = 16 << 30  # unpacked: 1,000 bytes for each row
NEXT_STEP = "Run again to create the file again."
GZIP = 31  # zlib's wbits for a gzip header without a time and a name

Row = TypeVar("Row")


def write(path: str, kind: str, header: dict[str, Any], rows: Iterable[list[Any]]) -> int:
    """Write ``rows`` as a file of that kind; returns how many there were. Raises ``DhashError``."""
    count = 0

    def packed() -> Iterator[bytes]:
        nonlocal count
        pack = zlib.compressobj(6, zlib.DEFLATED, GZIP)
        yield pack.compress(_line({"kind": kind, "version": VERSION, **header}))
        for row in rows:
            count += 1
            yield pack.compress(_line(row))
        yield pack.compress(_line({"rows": count}))
        yield pack.flush()

    durable.write(path, packed())
    return count


def header_of(path: str, kind: str) -> dict[str, Any]:
    """The header, which is the first line of the file. Raises ``HandoverError`` if the file is not of that kind."""
    with contextlib.closing(_lines(path)) as lines:
        header = next(lines, None)
    # Earlier files have a space in the kind.
    if not isinstance(header, dict) or str(header.get("kind")).replace(" ", "_") != kind:
        raise HandoverError(OTHER_KIND, f"not a file of {kind.replace('_', ' ')}", path, NEXT_STEP)
    if header.get("version") != VERSION:
        raise HandoverError(OTHER_VERSION, f"this file of {kind.replace('_', ' ')} was written by another version of the collection", path,
                            "Use the same version of the collection for all hosts.")
    return header


def read(path: str, kind: str, parse: Callable[[list[Any]], Row]) -> Iterator[Row]:
    """Yield the result of ``parse`` for each row; ``parse`` raises ValueError for an invalid row.

    Raises ``HandoverError`` for a damaged file, possibly only at its end: see :func:`require_sound`.
    """
    header_of(path, kind)
    with contextlib.closing(_lines(path)) as lines:
        next(lines, None)  # the header
        count, end = 0, None
        for value in lines:
            if end is not None or not isinstance(value, (dict, list)):
                raise _damaged(path, f"line {count + 2} is not valid")
            if isinstance(value, dict):
                end = value
                continue
            count += 1
            if count > MAX_ROWS:
                raise _damaged(path, f"more than {MAX_ROWS} rows")
            try:
                row = parse(value)
            except (ValueError, TypeError, OverflowError) as error:
                raise _damaged(path, f"line {count + 1} is not valid ({error})") from error
            yield row
        if end != {"rows": count}:
            raise _damaged(path, "the end is missing")


def require_sound(path: str, kind: str, parse: Callable[[list[Any]], Any]) -> dict[str, Any]:
    """Read the file to its end before any row is used, and return its header. Raises ``HandoverError`` for a damaged file."""
    for _row in read(path, kind, parse):
        pass
    return header_of(path, kind)


def whole(value: Any, least: int = 0) -> int:
    """``value`` if it is an integer from ``least`` on that SQLite can hold (64 bits). Raises ValueError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 63:
        raise ValueError("a number is out of range")
    return value


def text(value: Any, longest: int = MAX_LINE) -> str:
    """``value`` if it is a text of 1 to ``longest`` characters. Raises ValueError otherwise."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError("a text is missing or too long")
    return value


def packed(content: bytes | None) -> str | None:
    """``content`` as a text, for :func:`write`."""
    return None if content is None else base64.b64encode(content).decode()


def unpacked(value: Any, length: int) -> bytes | None:
    """The ``length`` bytes that :func:`packed` made a text of. Raises ValueError if ``value`` is neither that nor None."""
    if value is None:
        return None
    content = base64.b64decode(text(value, MAX_LINE), validate=True)
    if len(content) != length:
        raise ValueError("the pixels are not complete")
    return content


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _lines(path: str) -> Generator[Any, None, None]:
    """The JSON value of each line."""
    try:
        if not os.path.isfile(path):
            raise HandoverError(MISSING, "no such file, or not a regular file", path, "Check the path.")
        left = MAX_BYTES
        with bounded_reads.open_file(path) as packed_file, gzip.open(packed_file, "rb") as file:
            while line := file.readline(MAX_LINE + 1):
                left -= len(line)
                if left < 0:
                    raise _damaged(path, f"more than {MAX_BYTES} bytes when unpacked")
                if not line.endswith(b"\n"):
                    raise _damaged(path, "a line is too long or cut off")
                if bounded_reads.is_too_deep(line):
                    raise _damaged(path, "a line is nested too deep")
                yield json.loads(line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        found = from_os_error(error, "read the file", path)
        raise HandoverError(UNREADABLE, found.cause, found.path, found.next_step) from error
    except ValueError as error:
        raise _damaged(path, "a line is not JSON") from error


def _damaged(path: str, cause: str) -> HandoverError:
    return HandoverError(DAMAGED, f"the file is damaged and was ignored: {cause}", path, NEXT_STEP)
