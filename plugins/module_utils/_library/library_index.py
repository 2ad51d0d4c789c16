# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a library without keeping its images: of each, only where it is in the file, its names, and what its managed fields say.

A parsed image takes about 1 KB of memory, its line in the index a tenth of that. One image is parsed at a time, by
``json.JSONDecoder.raw_decode``, from a part of the file that is decoded for it.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from .. import _errors
from .._files import bounded_reads
from . import json_text, library_fields, library_file

WINDOW = 1 << 20  # bytes that are decoded at a time
_HASHED, _VALID, _DATED, _LOW_DETAIL, _MARKED, _OURS, _MALFORMED = (1 << bit for bit in range(7))
_HASH = re.compile("[0-9A-F]{16}")
_SPACE = re.compile(r"[ \t\n\r]*")
_OPENING = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*(\}?)")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_FIRST = re.compile(r"\[[ \t\n\r]*(\]?)")
_NEXT_MEMBER = re.compile(r"[ \t\n\r]*(?:,[ \t\n\r]*(?=\")|(\}))")
_NEXT_IMAGE = re.compile(r"[ \t\n\r]*(?:,[ \t\n\r]*(?=\{)|(\]))")

# Numbers are not needed, but must not become strings, and Python converts no integer of more than 4,300 digits.
_SHALLOW = json.JSONDecoder(object_pairs_hook=json_text.object_of, parse_int=len, parse_float=len,
                            parse_constant=json_text.refuse_constant).raw_decode

Read = TypeVar("Read")
Decode = Callable[[str, int], "tuple[Any, int]"]


class Member(NamedTuple):
    """A member of an object: its key, and the positions of the key, of the ends of the key and of the value, and of the value."""

    key: str
    start: int
    key_end: int
    value: int
    end: int


class Index:
    """A library: ``data``, the content of its file, and the positions in it.

    ``rest``: the values of the top-level members but ``images``, as in :func:`library_file.parse`. ``members``: the positions of all
    top-level members, in order. ``starts``, ``ends``: the positions of the images. ``paths``: their paths.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rest: dict[str, Any] = {}
        self.members: list[Member] = []
        self.begin = self.end = 0  # of the object
        self.starts, self.ends = array("Q"), array("Q")
        self.paths: list[str] = []
        self._other_filenames: dict[int, str] = {}  # where it is not the last part of the path
        self._hashes = array("Q")
        self._flags = bytearray()

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, image: dict[str, Any], start: int, end: int) -> None:
        """Add the next image. Raises ``ValueError`` without a string ``path`` and a string ``filename``."""
        path, filename, dhash = image.get("path"), image.get("filename"), image.get("dhash")
        if not isinstance(path, str) or not isinstance(filename, str):
            raise ValueError("an image has no path or no filename")
        if posixpath.basename(path) != filename:
            self._other_filenames[len(self.paths)] = filename
        flags, number = 0, 0
        if any(field in image for field in library_fields.OUR_IMAGE_FIELDS):
            is_valid = isinstance(dhash, str) and _HASH.fullmatch(dhash) is not None
            number = int(dhash, 16) if is_valid and dhash else 0
            flags = (_OURS | _HASHED * isinstance(dhash, str) | _VALID * is_valid
                     | _DATED * isinstance(image.get("dhash_generated_at"), str) | _LOW_DETAIL * (image.get("dhash_low_detail") is True)
                     | _MARKED * ("dhash_low_detail" in image) | _MALFORMED * ("dhash" in image and not is_valid))
        self.paths.append(path)
        self.starts.append(start)
        self.ends.append(end)
        self._hashes.append(number)
        self._flags.append(flags)

    def filename(self, position: int) -> str:
        """The ``filename`` of the image at ``position``."""
        other = self._other_filenames.get(position)
        return posixpath.basename(self.paths[position]) if other is None else other

    def image(self, position: int) -> dict[str, Any]:
        """The image at ``position``, parsed again; numbers as in :func:`library_file.parse`."""
        image: dict[str, Any] = json_text.decode(self.data[self.starts[position]:self.ends[position]].decode(), 0)[0]
        return image

    def has_fields(self, position: int, dhash: int | None, low_detail: bool) -> bool:
        """Whether the managed fields of the image at ``position`` are those of an image with this hash; with None, that there are none."""
        flags = self._flags[position]
        if dhash is None:
            return not flags
        return (flags & (_DATED | _LOW_DETAIL | _MARKED) == (_DATED | _LOW_DETAIL | _MARKED if low_detail else _DATED)
                and self.is_hash(position, dhash))

    def is_hash(self, position: int, dhash: int | None) -> bool:
        """Whether the image at ``position`` has the hash with the number ``dhash``; with None, that it has none."""
        if dhash is None:
            return not self._flags[position] & (_HASHED | _MALFORMED)
        return bool(self._flags[position] & _VALID) and self._hashes[position] == dhash

    def has_managed_fields(self, position: int) -> bool:
        """Whether the image at ``position`` has a managed field, of whatever value."""
        return bool(self._flags[position])

    def is_hashed(self, position: int) -> bool:
        """Whether the image at ``position`` has a hash."""
        return bool(self._flags[position] & _HASHED)

    def hashed(self) -> list[int]:
        """The positions of the images with a hash."""
        return [position for position, flags in enumerate(self._flags) if flags & _HASHED]

    def malformed(self) -> list[int]:
        """The positions of the images whose ``dhash`` is not 16 upper-case hexadecimal digits."""
        return [position for position, flags in enumerate(self._flags) if flags & _MALFORMED]

    def counts(self) -> dict[str, int]:
        """As :func:`library_fields.counts`."""
        return library_fields.counts_of(len(self), sum(1 for flags in self._flags if flags & _HASHED), self.rest)


def read(path: str, max_bytes: int = library_file.MAX_BYTES) -> tuple[Index, str]:
    """The index of the library in the file ``path``, and the SHA-256 (hexadecimal) of the very bytes that it was made from.

    Raises ``LibraryError`` as :func:`library_file.read` does.
    """
    data = library_file.read_bytes(path, max_bytes, "the library")
    return of(data, path), hashlib.sha256(data).hexdigest()


def is_readable(path: str) -> bool:
    """Whether the file ``path`` is a readable, valid library."""
    try:
        read(path)
    except _errors.LibraryError:
        return False
    return True


def of(data: bytes, path: str) -> Index:
    """The index of the library whose file content is ``data``; ``path`` is used only in errors.

    Raises ``LibraryError`` as :func:`library_file.parse` does.
    """
    try:
        if json_text.has_more_values(data):
            raise ValueError("it has too many values")
        with json_text.without_collector():
            return _Reader(data).index()
    except (ValueError, RecursionError, _errors.LibraryError) as error:
        library_file.parse(data, path)  # raises, with the place and the cause
        raise _errors.LibraryError(f"the file is not JSON: {error}", path) from error


class _Reader:
    """Reads UTF-8 JSON value by value, with only a part of the text decoded. Raises ``ValueError`` for what is no library."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._byte = self._at = self._end = self._size = 0  # in the data, in the decoded text; where the text ends; what was asked for
        self._load(0, WINDOW)

    def index(self) -> Index:
        """The index of the whole text."""
        index = Index(self._data)
        match = self._match(_OPENING)
        index.begin = self._data.index(b"{")
        while not match[1]:
            start = self._byte
            key = self._value(_SHALLOW, 1)
            key_end = self._byte
            if not isinstance(key, str) or key in index.rest or any(key == member.key for member in index.members):
                raise ValueError("a key is wrong, or there twice")
            self._match(_COLON)
            value = self._byte
            if key == "images":
                self._read_images(index)
            else:
                index.rest[key] = self._value(json_text.decode, 1)
            index.members.append(Member(key, start, key_end, value, self._byte))
            match = self._match(_NEXT_MEMBER)
        index.end = self._byte
        self._match(_SPACE)
        if self._byte != len(self._data) or all(member.key != "images" for member in index.members):
            raise ValueError("it does not end, or has no images")
        return index

    def _read_images(self, index: Index) -> None:
        closing: str | None = self._match(_FIRST)[1]
        while not closing:
            start = self._byte
            (image, end, closing), after = self._step(_image_and_rest), self._at
            end = self._byte - (after - end)  # what follows an image is ASCII
            self._require_depth(start, end, 2)
            index.add(image, start, end)

    def _value(self, decode: Decode, outer: int) -> Any:
        """The value here, within ``outer`` arrays and objects."""
        start = self._byte
        value = self._step(decode)
        self._require_depth(start, self._byte, outer)
        return value

    def _require_depth(self, start: int, end: int, outer: int) -> None:
        if (self._data.count(b"[", start, end) + self._data.count(b"{", start, end) > bounded_reads.MAX_DEPTH - outer
                and bounded_reads.is_too_deep(self._data[start:end], outer)):
            raise ValueError("it is nested too deep")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        def match(text: str, position: int) -> tuple[re.Match[str], int]:
            found = pattern.match(text, position)
            if found is None:
                raise ValueError(f"no {pattern.pattern}")
            return found, found.end()
        return self._step(match)

    def _step(self, read: Callable[[str, int], tuple[Read, int]]) -> Read:
        """What ``read`` finds here, with more of the text decoded if that could change it."""
        while True:
            is_last = self._end == len(self._data)
            try:
                value, position = read(self._text, self._at)
                if position < len(self._text) or is_last:
                    break
            except ValueError:
                if is_last:
                    raise
            self._load(self._byte, WINDOW if self._at else 2 * self._size)
        if self._is_ascii:
            self._byte += position - self._at
        else:
            self._byte += len(self._text[self._at:position].encode())
        self._at = position
        return value

    def _load(self, start: int, size: int) -> None:
        end = min(start + size, len(self._data))
        while start < end < len(self._data) and self._data[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        self._text = self._data[start:end].decode()
        self._is_ascii = self._text.isascii()
        self._byte, self._at, self._end, self._size = start, 0, end, size


def _image_and_rest(text: str, position: int) -> tuple[tuple[dict[str, Any], int, str | None], int]:
    """An image, where it ends, and the bracket behind it if it is the last one."""
    image, end = _SHALLOW(text, position)
    match = _NEXT_IMAGE.match(text, end)
    if not isinstance(image, dict) or match is None:
        raise ValueError("an image is not an object, or nothing follows it")
    return (image, end, match[1]), match.end()
