# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Caches: a header, and columns of numbers or bytes, for millions of images.

The first line is the SHA-256 of the rest of the line, and the header as JSON. The columns follow, one after the other, in the byte order
of the host. A file that is damaged, too long or of another format counts as none: a cache can always be made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, Union

from .._errors import DhashError
from . import bounded_reads, durable

Column = Union["array[int]", "array[float]"]

FORMAT = 1
MAX_HEADER = 1 << 20  # bytes
MAX_BYTES = 2 << 30
_CODES = {code: array(code).itemsize for code in "BQqd"}


def write(path: str, owner_of: str, header: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    """Replace the cache at ``path``, durably. The columns are arrays of the types B, Q, q and d. Raises ``DhashError``."""
    body = hashlib.sha256()
    for column in columns.values():
        body.update(column)
    described = {"format": FORMAT, "byte_order": sys.byteorder, "sha256": body.hexdigest(),
                 "columns": [[name, column.typecode, len(column)] for name, column in columns.items()], "header": header}
    line = json.dumps(described, separators=(",", ":")).encode()

    def chunks() -> Iterator[bytes]:
        yield hashlib.sha256(line).hexdigest().encode() + b" " + line + b"\n"
        for column in columns.values():
            for start in range(0, len(column), durable.CHUNK):
                yield column[start:start + durable.CHUNK].tobytes()

    durable.write(path, chunks(), owner_of=owner_of)


def read_header(path: str) -> dict[str, Any] | None:
    """The header of the cache at ``path``; None if there is none that this version has written. The columns are not read."""
    with contextlib.suppress(DhashError, OSError, ValueError), bounded_reads.open_file(path) as file:
        return _header(file.readline(MAX_HEADER))["header"]  # type: ignore[no-any-return]
    return None


def read(path: str, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The header and the columns of the cache at ``path``; None if there is none that this version has written."""
    with contextlib.suppress(DhashError, OSError, ValueError, MemoryError), bounded_reads.open_file(path) as file:
        bounded_reads.require_size(file, path, max_bytes)
        described = _header(file.readline(MAX_HEADER))
        body = hashlib.sha256()
        columns = {}
        for name, code, length in described["columns"]:
            content = file.read(length * _CODES[code])
            body.update(content)
            columns[name] = array(code, content)
            if len(columns[name]) != length:
                raise ValueError("the cache is cut off")
        if file.read(1) or body.hexdigest() != described["sha256"]:
            raise ValueError("the cache is damaged")
        return described["header"], columns
    return None


def _header(line: bytes) -> dict[str, Any]:
    """What the first line of a cache describes. Raises ValueError if this version has not written it."""
    digest, _space, content = line.removesuffix(b"\n").partition(b" ")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("the first line is damaged")
    described = bounded_reads.parse_json(content)
    if (not isinstance(described, dict) or (described.get("format"), described.get("byte_order")) != (FORMAT, sys.byteorder)
            or not isinstance(described.get("header"), dict) or not isinstance(described.get("columns"), list)
            or not all(isinstance(column, list) and len(column) == 3 and column[1] in _CODES and isinstance(column[2], int)
                       and 0 <= column[2] <= MAX_BYTES for column in described["columns"])):
        raise ValueError("the cache has another format")
    return described
