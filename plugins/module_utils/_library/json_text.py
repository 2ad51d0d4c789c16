# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and write JSON so that everything that is not changed is written as it was read: key order, number literals, strings.

The grammar is that of RFC 8259, and the usual layout that of JavaScript's ``JSON.stringify(value, null, 2)`` (ECMA-262, 25.5.2).
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from .. import _errors
from .._files import bounded_reads

# Each value takes 60 bytes of memory or more. A library of 1,000,000 images with 20 fields each has 21 million.
MAX_VALUES = 1 << 27
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ALL_BUT_WHAT_PRECEDES_VALUES = bytes(set(range(256)) - set(b",[{"))


class Excerpt(NamedTuple):
    """An array or object as a JSON text has it."""

    text: str

    def at(self, line: str) -> str:
        """The text, moved to ``line`` as in :func:`text`. Moved back, it is again what it was."""
        own = self.text[self.text.rfind("\n"):-1]  # a JSON string has no line feed, so every line feed belongs to the layout
        if not line or not own or own.strip() or self.text.count(own) != self.text.count("\n"):
            return self.text
        return self.text.replace(own, line[line.index("\n"):])


class Layout(NamedTuple):
    """How members and elements are written: one level of indentation, and ``comma`` and ``colon`` with the space around them.

    ``excerpts``: the arrays and objects that are written as they were read, by their ``id``.
    """

    indent: str
    comma: str
    colon: str
    excerpts: Mapping[int, Excerpt]


USUAL = Layout("  ", ",", ": ", {})
_MINIFIED = Layout("", ",", ":", {})


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


def parse_json(data: bytes, max_values: int = MAX_VALUES) -> Any:
    """The value of the JSON text ``data``; numbers as in :func:`library_file.parse`. Raises ``LibraryError`` without a path."""
    if not data or data.isspace():
        raise _errors.LibraryError("the file is empty")
    if data.startswith(_BYTE_ORDER_MARKS):
        raise _errors.LibraryError("the file begins with a byte order mark",
                                   next_step="Save the file as UTF-8 without a byte order mark.")
    if bounded_reads.is_too_deep(data):
        raise _errors.LibraryError(f"the JSON is nested more than {bounded_reads.MAX_DEPTH} levels deep")
    if has_more_values(data, max_values):
        raise _errors.LibraryError(f"the JSON has more than {max_values} values")
    try:
        with without_collector():
            return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _errors.LibraryError(
            f"the file is not UTF-8: {error.reason} at byte offset {error.start}",
            next_step="Save the file as UTF-8, or restore a backup.",
        ) from error
    except json.JSONDecodeError as error:
        is_cut_off = error.msg.startswith("Unterminated string") or not error.doc[error.pos:].strip()
        raise _errors.LibraryError(
            f"the file is not JSON: {error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}",
            next_step="The file looks cut off: restore a backup." if is_cut_off else "Correct the file, or restore a backup.",
        ) from error


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Without the garbage collector, for work on millions of JSON values: they have no cycles, and it would take a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def has_more_values(data: bytes, max_values: int = MAX_VALUES) -> bool:
    """Whether the JSON text ``data`` may have more than ``max_values``: a comma or an opening bracket precedes each but the first."""
    return len(data.translate(None, _ALL_BUT_WHAT_PRECEDES_VALUES)) > max_values


def object_of(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of ``members``. Raises ``LibraryError`` if a key is there twice."""
    value = dict(members)
    if len(value) != len(members):
        repeated = Counter(key for key, _value in members).most_common(1)[0][0]
        filename = value.get("filename")
        owner = f' (filename: "{_errors.printable(filename)}")' if isinstance(filename, str) else ""
        raise _errors.LibraryError(
            f'an object has the key "{_errors.printable(repeated)}" more than once{owner}',
            next_step="Keep only one of them.",
        )
    return value


def _integer(literal: str) -> int | Number:
    return int(literal) if len(literal) < bounded_reads.MAX_DIGITS and literal != "-0" else Number(literal)


def _fraction(literal: str) -> float | Number:
    value = float(literal)
    return value if repr(value) == literal and "e" not in literal and not literal.endswith(".0") else Number(literal)


def refuse_constant(literal: str) -> None:
    """Raise ``LibraryError``: Python would read NaN and infinities."""
    raise _errors.LibraryError(f"the file is not JSON: {literal} is not a JSON value", next_step=f"Replace {literal} by null or a number.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=object_of, parse_int=_integer, parse_float=_fraction, parse_constant=refuse_constant
)
decode = _DECODER.raw_decode  # the value at a position of a text, and where it ends


def encode(piece: str) -> bytes:
    """``piece``, a part of a JSON text, in UTF-8."""
    # UTF-8 cannot encode lone surrogates alone, and only strings have them: \udxxx is JSON's escape as well.
    return piece.encode("utf-8", "backslashreplace")


def pieces(value: dict[str, Any]) -> Iterator[str]:
    """Yield the JSON text of ``value`` in pieces, at most one image at a time, to keep memory low.

    A member that is an iterator is written as an array of its elements.
    """
    before_key = "{\n  "
    for key, member in value.items():
        yield f"{before_key}{encode_basestring(key)}: "
        before_key = ",\n  "
        if isinstance(member, (list, Iterator)):
            before_element = "[\n    "
            for element in member:
                yield before_element + text(element, "\n    ", USUAL)
                before_element = ",\n    "
            yield "[]" if before_element.startswith("[") else "\n  ]"
        else:
            yield text(member, "\n  ", USUAL)
    yield "\n}"


def text(value: Any, line: str, layout: Layout) -> str:
    """``value`` as JSON. ``line``: a line break and the indentation of the line that ``value`` stands on; empty for a single line."""
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, (dict, list)):
        if id(value) in layout.excerpts:
            return layout.excerpts[id(value)].at(line)
        inner = line and line + layout.indent
        between = layout.comma + inner
        if isinstance(value, dict):
            members = [f"{encode_basestring(key)}{layout.colon}{text(member, inner, layout)}" for key, member in value.items()]
            return f"{{{inner}{between.join(members)}{line}}}" if members else "{}"
        return "".join(elements(value, line, layout)) if value else "[]"
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


def elements(value: list[Any], line: str, layout: Layout) -> Iterator[str]:
    """Yield the :func:`text` of an array that is not empty, one element at a time."""
    inner = line and line + layout.indent
    before = f"[{inner}"
    for element in value:
        yield before + text(element, inner, layout)
        before = layout.comma + inner
    yield f"{line}]"


def is_same(one: Any, other: Any) -> bool:
    """Whether two values have the same JSON text."""
    if one is other:
        return True
    if isinstance(one, list) and isinstance(other, list):  # of millions of elements: not as texts as a whole
        return len(one) == len(other) and all(map(is_same, one, other))
    return text(one, "", _MINIFIED) == text(other, "", _MINIFIED)


def _float_text(value: float) -> str:
    """``value`` as ECMA-262's Number::toString writes it: shortest digits, an exponent below 1e-6 and from 1e21 on."""
    if not math.isfinite(value):
        raise ValueError(f"JSON has no form for {value}")
    shortest = repr(value)
    if "e" not in shortest:
        return "0" if value == 0 else shortest.removesuffix(".0")
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f")
    mantissa, exponent = shortest.split("e")
    return f"{mantissa}e{int(exponent):+d}"
