# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read, check and write ``library.json``; which of its fields are ours.

What is not ours comes out as it went in: key order, every number by its literal, every string. The layout is that of
JavaScript's ``JSON.stringify(library, null, 2)`` (ECMA-262, 25.5.2), the grammar that of RFC 8259.
"""

from __future__ import annotations

import codecs
import gc
import hashlib
import io
import json
import math
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import accumulate, chain, islice
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import _errors

OUR_IMAGE_FIELDS = ("dhash", "dhash_generated_at", "dhash_low_detail")
OUR_FIELDS = ("dhash_migration", "dhash_duplicates", "dhash_errors")
ADDED_BYTES = 200  # at most, about: what one image's hash, its time and its share of the duplicates add to the file

MAX_BYTES = 2 << 30
MAX_DEPTH = 128  # parsing and writing recurse: this leaves most of Python's default limit of 1,000 to the caller

_CHECK_OR_RESTORE = "Check that this is the right file, or restore a backup."
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAFE_INT_DIGITS = 640  # CPython's sys.int_info.str_digits_check_threshold: no setting makes int() refuse fewer
_NAMED_IN_AN_ERROR = 3


class Number:
    """A JSON number kept by its literal; equal to another with the same literal only."""

    __slots__ = ("literal",)

    def __init__(self, literal: str) -> None:
        self.literal = literal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.literal == other.literal

    def __hash__(self) -> int:
        return hash(self.literal)

    def __repr__(self) -> str:
        return f"Number({self.literal!r})"


class Library(NamedTuple):
    """``value``: the whole JSON object, of dict, list, str, int, float, ``Number``, bool and None."""

    value: dict[str, Any]
    ends_with_newline: bool


def read(path: str, max_bytes: int = MAX_BYTES) -> tuple[Library, str]:
    """The library in the file ``path``, and the SHA-256 (hexadecimal) of the very bytes that it was parsed from.

    Raises ``LibraryError`` where it cannot be read, is no regular file, has more than ``max_bytes``, or does not parse.
    """
    data = read_bytes(path, max_bytes, "the library")
    return parse(data, path), hashlib.sha256(data).hexdigest()


def read_bytes(path: str, max_bytes: int, what: str) -> bytes:
    """The content of the file ``path``, which is to be ``what``. Raises ``LibraryError`` as :func:`read` does."""
    try:
        with open(path, "rb", opener=_open_without_blocking) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _errors.LibraryError("is not a regular file", path, f"Give the path of {what}'s file.")
            if status.st_size > max_bytes:
                raise _errors.LibraryError(
                    f"has {status.st_size} bytes, more than the {max_bytes} that are read", path, _CHECK_OR_RESTORE
                )
            return file.read()
    except OSError as error:
        failure = _errors.from_os_error(error, f"read {what}", path)
        raise _errors.LibraryError(failure.cause, path, failure.next_step or _CHECK_OR_RESTORE) from error


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def parse(data: bytes, path: str) -> Library:
    """The library whose file content is ``data``; ``path`` is for the errors alone.

    A number stays int or float where Python prints it as it stands there, and is a ``Number`` elsewhere.
    Raises ``LibraryError`` where ``data`` is not UTF-8 JSON, repeats a key within an object, is nested more than
    ``MAX_DEPTH`` levels deep, or is not an object with ``images``, an array of objects each with a string ``path`` and
    a string ``filename``.
    """
    try:
        value = parse_json(data)
        _check_shape(value)
    except _errors.LibraryError as error:
        raise _errors.LibraryError(error.cause, path, error.next_step or _CHECK_OR_RESTORE) from error
    return Library(value, data.endswith(b"\n"))


def parse_json(data: bytes) -> Any:
    """The value that ``data`` holds, numbers as in a library. Raises ``LibraryError``, which names no path."""
    if not data or data.isspace():
        raise _errors.LibraryError("is empty")
    if data.startswith(_BYTE_ORDER_MARKS):
        raise _errors.LibraryError("begins with a byte order mark", next_step="Save it as UTF-8 without one.")
    if _is_too_deep(data):
        raise _errors.LibraryError(f"is nested more than {MAX_DEPTH} levels deep")
    # What is parsed has no cycles, and the collector would walk all of it again and again: a third of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _errors.LibraryError(
            f"is not UTF-8: {error.reason} at byte offset {error.start}",
            next_step="Save it as UTF-8, or restore a backup.",
        ) from error
    except json.JSONDecodeError as error:
        is_cut_off = error.msg.startswith("Unterminated string") or not error.doc[error.pos:].strip()
        raise _errors.LibraryError(
            f"is not JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}",
            next_step="It looks cut off: restore a backup." if is_cut_off else "Mend that place, or restore a backup.",
        ) from error
    finally:
        if collecting:
            gc.enable()


_BRACKETS = b"[]{}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")  # +1 and -1, as signed bytes
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(_BRACKETS + b'"'))
_ALL_BUT_THOSE_AND_ESCAPES = bytes(set(range(256)) - set(_BRACKETS + b'"\\/bfnrtu'))
_OUTSIDE_THEN_STRING = re.compile(rb'([^"]*)"?[^"]*"?')


def _is_too_deep(data: bytes) -> bool:
    """Whether brackets outside strings nest deeper than ``MAX_DEPTH``; exact up to the first fault in the JSON.

    Asked before parsing, because Python's own limit depends on its version and on the caller's stack.
    """
    # The letters of escapes stay until escaped quotes are gone: without its n, \n would escape what follows it.
    marks = data.translate(None, _ALL_BUT_THOSE_AND_ESCAPES).replace(rb"\\", b"").replace(rb"\"", b"")
    # Two quotes side by side change neither what is inside a string nor what is outside.
    marks = marks.translate(_STEPS, _ALL_BUT_BRACKETS_AND_QUOTES).replace(b'""', b"")
    steps = (array("b", match[1]) for match in _OUTSIDE_THEN_STRING.finditer(marks))
    return any(map(MAX_DEPTH.__lt__, accumulate(chain.from_iterable(steps))))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        repeated = Counter(key for key, _value in members).most_common(1)[0][0]
        filename = value.get("filename")
        owner = f' (its filename: "{_errors.printable(filename)}")' if isinstance(filename, str) else ""
        raise _errors.LibraryError(
            f'an object has the key "{_errors.printable(repeated)}" more than once{owner}',
            next_step="Remove all but one.",
        )
    return value


def _integer(literal: str) -> int | Number:
    return int(literal) if len(literal) < _SAFE_INT_DIGITS and literal != "-0" else Number(literal)


def _fraction(literal: str) -> float | Number:
    value = float(literal)
    return value if repr(value) == literal and "e" not in literal and not literal.endswith(".0") else Number(literal)


def _refuse_constant(literal: str) -> None:
    raise _errors.LibraryError(f"is not JSON: it holds {literal}", next_step="Put null or a number in its place.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_refuse_constant
)


def _check_shape(value: Any) -> None:
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else "a single value"
        raise _errors.LibraryError(f'holds {kind}, not an object with "images"')
    if "images" not in value:
        raise _errors.LibraryError('has no "images"')
    images = value["images"]
    if not isinstance(images, list):
        raise _errors.LibraryError('has "images" that are not an array')
    _refuse((i for i, image in enumerate(images) if not isinstance(image, dict)), "images that are not objects")
    for key in ("path", "filename"):
        _refuse(
            (i for i, image in enumerate(images) if not isinstance(image.get(key), str)),
            f'images without "{key}", or with one that is not a string',
        )


def _refuse(faulty: Iterable[int], fault: str) -> None:
    indexes = iter(faulty)
    named = ", ".join(f"images[{index}]" for index in islice(indexes, _NAMED_IN_AN_ERROR))
    if named:
        others = sum(1 for _index in indexes)
        more = f" and {others} more" if others else ""
        raise _errors.LibraryError(f"has {fault}: {named}{more}", next_step="Mend or remove them, or restore a backup.")


def serialize(library: Library) -> bytes:
    """The content of the library's file, UTF-8, with a trailing newline or none as it came in.

    Numbers of ours are written as JavaScript prints them. Raises ``ValueError`` for NaN and infinities, ``TypeError``
    for what JSON has no form for.
    """
    out = io.BytesIO()
    for piece in pieces(library.value):
        out.write(encode(piece))
    if library.ends_with_newline:
        out.write(b"\n")
    return out.getvalue()


def encode(text: str) -> bytes:
    """``text``, which is of a JSON text, in UTF-8."""
    # UTF-8 cannot encode lone surrogates alone, and only strings have them: \udxxx is JSON's escape as well.
    return text.encode("utf-8", "backslashreplace")


def pieces(value: dict[str, Any]) -> Iterator[str]:
    """The text of ``value``, an image at a time, so that nothing but the result is ever held whole.

    A member that is an iterator is written as the array of what it yields.
    """
    before_key = "{\n  "
    for key, member in value.items():
        yield f"{before_key}{encode_basestring(key)}: "
        before_key = ",\n  "
        if isinstance(member, (list, Iterator)):
            before_element = "[\n    "
            for element in member:
                yield before_element + _text(element, "\n    ")
                before_element = ",\n    "
            yield "[]" if before_element.startswith("[") else "\n  ]"
        else:
            yield _text(member, "\n  ")
    yield "\n}"


def _text(value: Any, newline: str) -> str:
    """``value`` as JSON; ``newline`` is a line feed and the indentation of the line that ``value`` stands on."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        inner = newline + "  "
        members = [f"{encode_basestring(key)}: {_text(member, inner)}" for key, member in value.items()]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}" if members else "{}"
    if isinstance(value, list):
        inner = newline + "  "
        elements = [_text(element, inner) for element in value]
        return f"[{inner}{f',{inner}'.join(elements)}{newline}]" if elements else "[]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Number):
        return value.literal
    raise TypeError(f"JSON has no form for {type(value).__name__}")


def _float_text(value: float) -> str:
    """``value`` as ECMA-262's Number::toString writes it: shortest digits, an exponent below 1e-6 and from 1e21 on."""
    if not math.isfinite(value):
        raise ValueError(f"JSON has no form for {value}")
    text = repr(value)
    if "e" not in text:
        return "0" if value == 0 else text.removesuffix(".0")
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(text), "f")
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent):+d}"


def is_hashed(image: dict[str, Any]) -> bool:
    """Whether ``image`` has a hash."""
    return isinstance(image.get("dhash"), str)


def algorithm(value: dict[str, Any]) -> str:
    """The algorithm of the hashes in the library ``value``, as its record tells; ``pillow`` where it tells none."""
    record = value.get("dhash_migration")
    name = record.get("algorithm") if isinstance(record, dict) else None
    return name if isinstance(name, str) else "pillow"


def counts(value: dict[str, Any]) -> dict[str, int]:
    """How many ``images``, ``hashed`` images, ``errors`` and ``duplicates`` the library ``value`` records."""
    errors, duplicates = (value.get(field) for field in ("dhash_errors", "dhash_duplicates"))
    return {
        "images": len(value["images"]),
        "hashed": sum(map(is_hashed, value["images"])),
        "errors": len(errors) if isinstance(errors, list) else 0,
        "duplicates": len(duplicates) if isinstance(duplicates, list) else 0,
    }


def without_our_fields(value: dict[str, Any]) -> dict[str, Any]:
    """The library ``value`` less ``OUR_FIELDS`` and ``OUR_IMAGE_FIELDS``, in order; ``value`` itself is not changed."""
    rest = {key: member for key, member in value.items() if key not in OUR_FIELDS}
    rest["images"] = [
        {key: field for key, field in image.items() if key not in OUR_IMAGE_FIELDS} for image in value["images"]
    ]
    return rest
