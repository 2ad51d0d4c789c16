# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read files and JSON that come from elsewhere, within limits: they neither block a run, nor fill its memory, nor exhaust its stack."""

from __future__ import annotations

import json
import os
import re
import stat
from array import array
from itertools import accumulate, chain
from typing import Any, BinaryIO

from .._errors import BoundsError, from_os_error

MAX_DEPTH = 128  # parsing and writing recurse: this leaves most of Python's default limit of 1,000 to the caller
MAX_DIGITS = 640  # CPython's sys.int_info.str_digits_check_threshold: no setting makes int() refuse fewer, and its time is quadratic
SHORT = 1 << 16  # bytes: a row of a file, of which there are millions
NEXT_STEP = "Check that this is the right file."
_BRACKETS = b"[]{}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")  # +1 and -1, as signed bytes
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(_BRACKETS + b'"'))
_ALL_BUT_THOSE_AND_ESCAPES = bytes(set(range(256)) - set(_BRACKETS + b'"\\/bfnrtu'))
_OUTSIDE_THEN_STRING = re.compile(rb'([^"]*)"?[^"]*"?')


def open_file(path: str) -> BinaryIO:
    """The regular file at ``path``, open for reading. Raises ``BoundsError`` for a FIFO or a device, which may have no end, and ``OSError``."""
    file = open(path, "rb", opener=_open_without_blocking)  # noqa: SIM115 # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BoundsError("not a regular file", path, NEXT_STEP)
    return file


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def require_size(file: BinaryIO, path: str, max_bytes: int) -> None:
    """Raise ``BoundsError`` if ``file`` has more than ``max_bytes`` now."""
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise BoundsError(f"the file has {size} bytes, and at most {max_bytes} are read", path, NEXT_STEP)


def read(path: str, max_bytes: int, doing: str = "read the file") -> bytes:
    """The content of the file at ``path``, at most ``max_bytes``, also of a file that grows. Raises ``DhashError``; ``doing`` is for messages."""
    try:
        with open_file(path) as file:
            require_size(file, path, max_bytes)
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise from_os_error(error, doing, path) from error
    if len(content) > max_bytes:
        raise too_long(path, max_bytes)
    return content


def too_long(path: str, max_bytes: int) -> BoundsError:
    """The error for a file that has more bytes than it had when it was opened."""
    return BoundsError(f"the file has more than {max_bytes} bytes", path, NEXT_STEP)


def parse_json(content: str | bytes) -> Any:
    """The value of the JSON text ``content`` (UTF-8). Raises ValueError also for more than ``MAX_DEPTH`` levels, and for endless integers."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if is_too_deep(data):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    return json.loads(data.decode("utf-8"), parse_int=_integer)


def read_json(path: str, max_bytes: int) -> Any:
    """The value of the JSON text in the file at ``path``, of at most ``max_bytes``. Raises ``DhashError``, ValueError as :func:`parse_json`."""
    return parse_json(read(path, max_bytes))


def _integer(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return int(literal)


def is_too_deep(data: bytes, outer: int = 0) -> bool:
    """Whether brackets outside strings nest deeper than ``MAX_DEPTH``, with ``outer`` around ``data``; exact up to the first fault in the JSON.

    Checked before parsing, because Python's own limit depends on its version and on the caller's stack.
    """
    if len(data) <= SHORT and data.count(b"[") + data.count(b"{") <= MAX_DEPTH - outer:
        return False
    # The letters of escapes stay until escaped quotes are removed: without its n, \n would escape the next character.
    marks = data.translate(None, _ALL_BUT_THOSE_AND_ESCAPES).replace(rb"\\", b"").replace(rb"\"", b"")
    # Two quotes side by side change neither what is inside a string nor what is outside.
    marks = marks.translate(_STEPS, _ALL_BUT_BRACKETS_AND_QUOTES).replace(b'""', b"")
    steps = (array("b", match[1]) for match in _OUTSIDE_THEN_STRING.finditer(marks))
    return any(map((MAX_DEPTH - outer).__lt__, accumulate(chain.from_iterable(steps))))
