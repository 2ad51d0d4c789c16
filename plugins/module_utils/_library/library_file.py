# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and check ``library.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from .. import _errors
from .._files import bounded_reads
from . import json_text

MAX_BYTES = 2 << 30

_CHECK_OR_RESTORE = "Check that this is the right file, or restore a backup."
_NAMED_IN_AN_ERROR = 3


class Library(NamedTuple):
    """``value``: the whole JSON object, of dict, list, str, int, float, ``json_text.Number``, bool and None.

    ``data`` is the content of the file. :func:`library_edit.edited` needs both as they were read.
    """

    value: dict[str, Any]
    data: bytes


def read(path: str, max_bytes: int = MAX_BYTES) -> tuple[Library, str]:
    """The library in the file ``path``, and the SHA-256 (hexadecimal) of the very bytes that it was parsed from.

    Raises ``LibraryError`` if the file cannot be read, is not a regular file, has more than ``max_bytes``, or is not a valid library.
    """
    data = read_bytes(path, max_bytes, "the library")
    return parse(data, path), hashlib.sha256(data).hexdigest()


def read_bytes(path: str, max_bytes: int, what: str) -> bytes:
    """The content of the file ``path``; ``what`` names the file in messages. Raises ``LibraryError`` as :func:`read` does."""
    try:
        return bounded_reads.read(path, max_bytes, f"read {what}")
    except _errors.DhashError as error:
        raise _errors.LibraryError(error.cause, path, error.next_step or _CHECK_OR_RESTORE) from error


def parse(data: bytes, path: str) -> Library:
    """The library whose file content is ``data``; ``path`` is used only in errors.

    A number is an int or float if Python prints it as the file has it, and a ``json_text.Number`` otherwise.
    Raises ``LibraryError`` if ``data`` is not UTF-8 JSON, repeats a key within an object, is nested more than
    ``bounded_reads.MAX_DEPTH`` levels deep, has more than ``json_text.MAX_VALUES`` values, or is not an object with ``images``, an
    array of objects each with a string ``path`` and a string ``filename``.
    """
    try:
        value = json_text.parse_json(data)
        _check_shape(value)
    except _errors.LibraryError as error:
        raise _errors.LibraryError(error.cause, path, error.next_step or _CHECK_OR_RESTORE) from error
    return Library(value, data)


def _check_shape(value: Any) -> None:
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else "a single value"
        raise _errors.LibraryError(f'the file holds {kind}, not an object with "images"')
    if "images" not in value:
        raise _errors.LibraryError('the library has no "images"')
    images = value["images"]
    if not isinstance(images, list):
        raise _errors.LibraryError('"images" is not an array')
    _refuse((i for i, image in enumerate(images) if not isinstance(image, dict)), "images that are not objects")
    for key in ("path", "filename"):
        _refuse(
            (i for i, image in enumerate(images) if not isinstance(image.get(key), str)),
            f'images whose "{key}" is missing or not a string',
        )


def _refuse(faulty: Iterable[int], fault: str) -> None:
    indexes = iter(faulty)
    named = ", ".join(f"images[{index}]" for index in islice(indexes, _NAMED_IN_AN_ERROR))
    if named:
        others = sum(1 for _index in indexes)
        more = f" and {others} more" if others else ""
        raise _errors.LibraryError(f"the library has {fault}: {named}{more}", next_step="Correct or remove them, or restore a backup.")
