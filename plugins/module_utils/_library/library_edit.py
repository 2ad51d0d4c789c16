# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edit the text of a library: every byte that need not change stays, and what is new has the layout of its surroundings."""

from __future__ import annotations

import hashlib
import io
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from . import json_text, library_file, library_index

CHUNK = 1 << 20  # bytes that are written at a time

# Only positions are needed, and Python converts no integer of more than 4,300 digits.
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_LINE = re.compile(r"\r?\n[ \t]*")
_SPACES = b" \t\n\r"
_BYTES_OF_COLON = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_BYTES_OF_SCALAR = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[-+.0-9A-Za-z]+')

_NO_REPLACEMENT = (1 << 64, 1 << 64, 0)

Change = Callable[[dict[str, Any]], dict[str, Any]]  # an image from the image that it was; it shares what stays the same


class _Span(NamedTuple):
    """An array or object from the position ``begin`` of its bracket to ``end``, and the positions of what it consists of."""

    begin: int
    starts: Sequence[int]
    ends: Sequence[int]
    end: int


class _Object(NamedTuple):
    """An object, its members, and how new members are written: between ``separator`` on the left and, if it is not empty, a new ``line``."""

    span: _Span
    members: list[library_index.Member]
    separator: str
    line: str
    colon: str


def edited(library: library_file.Library, value: dict[str, Any]) -> bytes:
    """The content of the file of ``library`` with ``value`` as its content; all bytes of ``library.data`` if nothing differs.

    Top-level members, images, and the members of images are replaced, added or removed one by one. ``value`` shares with
    ``library.value`` the images and other values that stay the same. If it has as many images, each replaces the image at its index.
    What is shared and has moved is written as it was read, apart from its indentation.

    Raises ``ValueError`` for NaN and infinities, ``TypeError`` for a type that JSON does not have.
    """
    out = io.BytesIO()
    for piece in _Edit(library, value).pieces():
        out.write(json_text.encode(piece))
    return out.getvalue()


def first_images(index: library_index.Index, count: int) -> bytes:
    """The content of the file of the library with its first ``count`` images only."""
    if count >= len(index):
        return index.data
    end = index.ends[count - 1] if count else index.starts[0]
    return index.data[:end] + index.data[index.ends[-1]:]


def with_fields(index: library_index.Index, fields: dict[str, Any], images: Iterable[tuple[int, Change]]) -> Script:
    """The edit of a library that sets the top-level ``fields``, and changes ``images``: the position of each, in order, and its change.

    A change adds the same members to each image that has no managed field. The rest is as in :func:`edited`.
    """
    # Of the images, only whether there are any decides how the rest is written.
    [outer] = (member for member in index.members if member.key == "images")
    frame = index.data[:outer.value] + b"[]" + index.data[outer.end:]
    old = {member.key: index.rest.get(member.key, []) for member in index.members}
    edit = _Edit(library_file.Library(old, frame), {**old, **fields})
    pieces, place = edit.pieces(), frame[outer.start:outer.value + 2].decode()
    script = Script(index.data)
    script.insert(0, iter(lambda: next(pieces), place))
    script.replace(0, outer.value, json_text.encode(place[:-2]))
    appender = _Appender(index.data)
    for position, change in images:
        start, end = index.starts[position], index.ends[position]
        appended = None if index.has_managed_fields(position) else appender.append(change({}), start, end)
        if appended is not None:
            script.replace(*appended)
            continue
        present = index.image(position)
        appender.expect(present)
        text = index.data[start:end].decode()
        kept, inserted, rest = _difference(text, edit.image_pieces(text, present, change(present)))
        script.replace(start + len(text[:kept].encode()), end - len(rest.encode()), json_text.encode(inserted))
    script.replace(outer.end, len(index.data), b"")
    script.insert(len(index.data), pieces)
    return script


class _Appender:
    """Adds members behind the last member of an image, without a scan of the others: the last key is expected to be that of an earlier image.

    Where the expected key stands in quotes, followed by a colon and a value that ends with the last member, and behind a comma, it is the
    key of the last member: a quote behind a comma opens a string, and the value of a member further inside ends earlier.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._key = b""

    def expect(self, image: dict[str, Any]) -> None:
        """Expect further images to end with the same key as ``image``."""
        self._key = json_text.encode(encode_basestring(next(reversed(image))))

    def append(self, members: dict[str, Any], start: int, end: int) -> tuple[int, int, bytes] | None:
        """The replacement that appends ``members``, which the image between ``start`` and ``end`` lacks. None if it has to be scanned."""
        if not self._key or not all(isinstance(value, (str, bool)) for value in members.values()):
            return None
        last = start + len(self._data[start:end - 1].rstrip(_SPACES))
        at = self._data.rfind(self._key, start, last)
        colon = _BYTES_OF_COLON.match(self._data, at + len(self._key), last) if at >= 0 else None
        if colon is None or not self._is_one_value(colon.end(), last):
            return None
        head = self._data[start:at]
        comma = head.rstrip(_SPACES)
        if not comma.endswith(b","):
            return None
        separator = head[len(comma[:-1].rstrip(_SPACES)):].decode()
        return last, last, json_text.encode("".join(
            f"{separator}{encode_basestring(key)}{colon[0].decode()}{json_text.text(value, '', json_text.USUAL)}" for key, value in members.items()))

    def _is_one_value(self, start: int, end: int) -> bool:
        if _BYTES_OF_SCALAR.fullmatch(self._data, start, end):
            return True
        try:
            text = self._data[start:end].decode()
            return _scan(text, 0)[1] == len(text)
        except ValueError:
            return False


def _difference(text: str, pieces: Iterable[str]) -> tuple[int, str, str]:
    """How much of ``text`` the text of ``pieces`` begins with, what follows in it, and the end that both have."""
    kept = 0
    left = list(pieces)
    while left and text.startswith(left[0], kept):
        kept += len(left.pop(0))
    rest = left.pop() if left and text.endswith(left[-1]) and kept + len(left[-1]) <= len(text) else ""
    return kept, "".join(left), rest


class Script:
    """An edit of a file with the content ``data``: what is replaced by what, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts, self._ends, self._stops = array("Q"), array("Q"), array("Q")
        self._inserted = bytearray()

    def replace(self, start: int, end: int, new: bytes) -> None:
        """Replace ``data[start:end]``, behind all that was replaced before, by ``new``."""
        self._inserted += new
        self._starts.append(start)
        self._ends.append(end)
        self._stops.append(len(self._inserted))

    def insert(self, place: int, pieces: Iterable[str]) -> None:
        """Insert the text of ``pieces``, of which there may be many, behind all that was replaced before."""
        held: list[str] = []
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= CHUNK:
                self.replace(place, place, json_text.encode("".join(held)))
                held, size = [], 0
        self.replace(place, place, json_text.encode("".join(held)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the new content in pieces of about ``CHUNK`` bytes."""
        data, inserted = memoryview(self._data), memoryview(self._inserted)
        held: list[memoryview] = []
        size = at = begin = 0
        for start, end, stop in zip(self._starts, self._ends, self._stops):
            held += data[at:start], inserted[begin:stop]
            size += start - at + stop - begin
            at, begin = end, stop
            if size >= CHUNK:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join([*held, data[at:]])

    def moved(self, positions: Iterable[int]) -> array[int]:
        """Where ``positions`` of the old content, in order and outside of what is replaced, are in the new content."""
        moved = array("Q")
        replaced = zip(self._starts, self._ends, self._stops)
        start, end, stop = next(replaced, _NO_REPLACEMENT)
        shift = inserted = 0
        for position in positions:
            while end <= position:
                shift += stop - inserted - (end - start)
                inserted = stop
                start, end, stop = next(replaced, _NO_REPLACEMENT)
            moved.append(position + shift)
        return moved

    def digest(self) -> str:
        """The SHA-256 (hexadecimal) of the new content."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def makes(self, content: bytes) -> bool:
        """Whether the new content is ``content``."""
        expected = memoryview(content)
        at = 0
        for chunk in self.chunks():
            if expected[at:at + len(chunk)] != chunk:
                return False
            at += len(chunk)
        return at == len(content)


class _Editor:
    """Edits of the values in ``text``, the text of a library or of one of its images."""

    def __init__(self, text: str, layout: json_text.Layout = json_text.USUAL) -> None:
        self._text = text
        self._layout = layout

    def edit_image(self, position: int, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        """Yield the text of the image at ``position`` after the edit."""
        image = self._scan_object(position, self._end_of_value)
        comma, colon = _punctuation(image)
        layout = self._layout._replace(comma=comma, colon=colon)
        return self._edit_members(image, old, new, lambda key, value, member: self._write(
            value, old.get(key), member, image.line, layout))

    # Positions.

    def _after(self, pattern: re.Pattern[str], position: int) -> int:
        match = pattern.match(self._text, position)
        return match.end() if match else position

    def _end_of_value(self, position: int) -> int:
        return _scan(self._text, position)[1]

    def _scan_array(self, begin: int) -> _Span:
        starts, ends = array("Q"), array("Q")
        position = self._after(_SPACE, begin + 1)
        while self._text[position] != "]":
            starts.append(position)
            ends.append(self._end_of_value(position))
            position = self._after(_COMMA, ends[-1])
        return _Span(begin, starts, ends, position + 1)

    def _scan_object(self, begin: int, end_of_value: Callable[[int], int]) -> _Object:
        members = []
        position = self._after(_SPACE, begin + 1)
        while self._text[position] != "}":
            key, key_end = _scan(self._text, position)
            value = self._after(_COLON, key_end)
            members.append(library_index.Member(key, position, key_end, value, end_of_value(value)))
            position = self._after(_COMMA, members[-1].end)
        span = _Span(begin, [member.start for member in members], [member.end for member in members], position + 1)
        colon = self._text[members[-1].key_end:members[-1].value] if members else ":"
        separator = self._separator(span, colon)
        return _Object(span, members, separator, _line(separator), colon)

    def _separator(self, span: _Span, colon: str) -> str:
        """What stands between the last two members or elements; if there is only one, the comma and what stands in front of it."""
        if len(span.starts) > 1:
            return self._text[span.ends[-2]:span.starts[-1]]
        space = self._text[span.begin + 1:span.starts[0]] if span.starts else ""
        return f",{space or (' ' if colon.endswith(' ') else '')}"

    def _write(self, new: Any, old: Any, member: library_index.Member | None, line: str, layout: json_text.Layout) -> Iterable[str]:
        """The pieces of ``new`` as a JSON text: that of ``member``, whose value is ``old``, if it has one and is the same."""
        if member and json_text.is_same(old, new):
            return [self._text[member.value:member.end]]
        if isinstance(new, list) and new and id(new) not in layout.excerpts:  # which may have millions of elements
            return json_text.elements(new, line, layout)
        return [json_text.text(new, line, layout)]

    def _edit_members(self, found: _Object, old: dict[str, Any], new: dict[str, Any],
                      edit_value: Callable[[str, Any, library_index.Member | None], Iterable[str]]) -> Iterator[str]:
        """Yield the object ``found`` with the members of ``new``; ``edit_value`` gives the texts of their values."""
        index_of = {member.key: index for index, member in enumerate(found.members)}

        def items() -> Iterator[tuple[int | None, Iterable[str] | None]]:
            for key, value in new.items():
                index = index_of.get(key)
                if index is None:
                    yield None, chain([f"{encode_basestring(key)}{found.colon}"], edit_value(key, value, None))
                elif old[key] is value:
                    yield index, None
                else:
                    member = found.members[index]
                    yield index, chain([self._text[member.start:member.value]], edit_value(key, value, member))

        return self._edit_sequence(found.span, found.separator, items())

    def _edit_sequence(self, span: _Span, separator: str, items: Iterable[tuple[int | None, Iterable[str] | None]]) -> Iterator[str]:
        """Yield an array or object that consists of ``items``: each an index into ``span``, or None if it is new, and its new text, if any."""
        text, starts, ends = self._text, span.starts, span.ends
        before = text[span.begin:starts[0]]
        for index, pieces in items:
            if before:
                yield before
                before = ""
            else:
                yield text[ends[index - 1]:starts[index]] if index else separator
            if pieces is not None:
                yield from pieces
            elif index is not None:
                yield text[starts[index]:ends[index]]
        yield text[ends[-1]:span.end]


class _Edit(_Editor):
    """An edit of a library into ``value``."""

    def __init__(self, library: library_file.Library, value: dict[str, Any]) -> None:
        super().__init__(library.data.decode())
        self._old, self._new = library.value, value
        self._arrays: dict[int, _Span] = {}  # at the top level, by position
        self._top = self._scan_object(self._after(_SPACE, 0), self._end_of_top_level_value)
        indent = self._top.line.lstrip("\r\n")
        self._layout = json_text.Layout(indent, *_punctuation(self._top), self._excerpts())

    def pieces(self) -> Iterator[str]:
        """Yield the text after the edit."""
        yield self._text[:self._top.span.begin]
        yield from self._edit_members(self._top, self._old, self._new, self._edit_top_level_value)
        yield self._text[self._top.span.end:]

    def image_pieces(self, text: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        """Yield the text of an image that has this ``text``, after the edit."""
        return _Editor(text, self._layout).edit_image(0, old, new)

    def _end_of_top_level_value(self, position: int) -> int:
        if self._text[position] != "[":
            return self._end_of_value(position)
        self._arrays[position] = self._scan_array(position)
        return self._arrays[position].end

    def _edit_top_level_value(self, key: str, new: Any, member: library_index.Member | None) -> Iterable[str]:
        if key == "images" and member:
            return self._edit_images(self._arrays[member.value], new)
        return self._write(new, member and self._old[key], member, self._top.line, self._layout)

    def _edit_images(self, span: _Span, new: list[dict[str, Any]]) -> Iterable[str]:
        old = self._old["images"]
        if not new and not old:
            return [self._text[span.begin:span.end]]
        if not new or not old:
            return [json_text.text(new, self._top.line, self._layout)]
        if len(new) == len(old):
            return self._edit_sequence(span, "", (
                (index, None if image is present else self.edit_image(span.starts[index], present, image))
                for index, (present, image) in enumerate(zip(old, new))))
        separator = self._separator(span, self._top.colon)
        layout = self._layout._replace(comma="," if _line(separator) else separator)
        index_of = {id(image): index for index, image in enumerate(old)}
        return self._edit_sequence(span, separator, (
            (index_of.get(id(image)), None if id(image) in index_of else [json_text.text(image, _line(separator), layout)])
            for image in new))

    # What is shared and has moved.

    def _excerpts(self) -> dict[int, json_text.Excerpt]:
        """The text of each array and object of the old library that the edit writes in another place, by ``id``."""
        written = set(self._written())
        images = self._old["images"]
        moved = {id(image) for image in images if id(image) in written}
        rest = [(member.value, self._old[member.key]) for member in self._top.members if member.key != "images"]
        moved |= written & {identity for _position, value in rest for identity in _identities(value)}
        found: dict[int, json_text.Excerpt] = {}
        if moved:
            [span] = (self._arrays[member.value] for member in self._top.members if member.key == "images")
            for image, start, end in zip(images, span.starts, span.ends):
                if id(image) in moved:
                    found[id(image)] = json_text.Excerpt(self._text[start:end])
            for position, value in rest:
                self._find(position, value, moved, found)
        return found

    def _written(self) -> Iterator[int]:
        """The identities of the arrays and objects that the edit may write."""
        for key, value in self._new.items():
            if key != "images" and value is not self._old.get(key):
                yield from _identities(value)
        if len(self._new["images"]) != len(self._old["images"]):
            present = set(map(id, self._old["images"]))
            for image in self._new["images"]:
                if id(image) not in present:
                    yield from _identities(image)

    def _find(self, position: int, value: Any, moved: set[int], found: dict[int, json_text.Excerpt]) -> None:
        """Add the text of ``value``, and of arrays and objects within, to ``found`` if their identities are among ``moved``."""
        if moved.isdisjoint(_identities(value)):
            return
        if id(value) in moved:
            found[id(value)] = json_text.Excerpt(self._text[position:self._end_of_value(position)])
        if isinstance(value, dict):
            members = self._scan_object(position, self._end_of_value).members
            inner = zip((member.value for member in members), value.values())
        else:
            inner = zip(self._scan_array(position).starts, value)
        for start, element in inner:
            self._find(start, element, moved, found)


def _punctuation(found: _Object) -> tuple[str, str]:
    """The comma and the colon of values that are written as members of ``found``."""
    return "," if found.line else found.separator, found.colon


def _line(separator: str) -> str:
    """The last line break of ``separator`` and the indentation behind it; empty if there is none."""
    lines = _LINE.findall(separator)
    return lines[-1] if lines else ""


def _identities(value: Any) -> Iterator[int]:
    """The identities of ``value`` and of the arrays and objects within, if it is one."""
    if isinstance(value, (dict, list)):
        yield id(value)
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _identities(inner)
