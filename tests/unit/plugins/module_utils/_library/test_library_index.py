# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The index of a library says what the parsed library says, whatever its layout is and wherever its windows end."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._files import bounded_reads
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import difference_hash
from ansible_collections.mobius.dhash.plugins.module_utils._library import json_text, library_fields, library_file, library_index
from hypothesis import given, settings
from hypothesis import strategies as st

PATH = "/srv/library.json"
PIECES = [  # of texts that are nearly libraries
    '"images"', "[", "]", "{", "}", ":", ",", '"path"', '"filename"', '"a/é.jpg"', '"\\ud800"', '"dhash"', '"0123456789ABCDEF"', "1.50", "-0", "1e999",
    "null", "true", "NaN", " ", "\r\n", "9" * 5000, "\N{BYTE ORDER MARK}", '"', "\\", '{"path": "b", "filename": "b"}', '"x":1,']
ANY = st.none() | st.booleans() | st.integers() | st.text(max_size=4)


def refusal(read: Any, data: bytes) -> str | None:
    try:
        read(data, PATH)
    except LibraryError as error:
        return str(error)
    return None


@contextlib.contextmanager
def windows_of(size: int) -> Any:
    usual, library_index.WINDOW = library_index.WINDOW, size
    try:
        yield
    finally:
        library_index.WINDOW = usual


def require_same(data: bytes, window: int) -> None:
    """The index of ``data`` agrees with the parsed library, or both are refused in the same words."""
    with windows_of(window):
        assert refusal(library_index.of, data) == refusal(library_file.parse, data)
        if refusal(library_file.parse, data):
            return
        index = library_index.of(data, PATH)
    value = library_file.parse(data, PATH).value
    images = value.pop("images")
    assert index.rest == value
    assert list(map(index.image, range(len(index)))) == images
    assert [(index.paths[at], index.filename(at)) for at in range(len(index))] == [(image["path"], image["filename"]) for image in images]
    assert index.counts() == library_fields.counts({**value, "images": images})
    assert index.hashed() == [at for at, image in enumerate(images) if library_fields.is_hashed(image)]
    assert index.malformed() == [at for at, image in enumerate(images) if "dhash" in image and not difference_hash.is_hex(image["dhash"])]
    for at, image in enumerate(images):
        assert index.is_hashed(at) == library_fields.is_hashed(image)
        assert index.is_hash(at, 0x0123456789ABCDEF) == (image.get("dhash") == "0123456789ABCDEF")
    for member in index.members:
        assert json.loads(data[member.start:member.key_end]) == member.key
        with contextlib.suppress(ValueError):  # Python converts no integer of more than 4,300 digits
            json.loads(data[member.value:member.end])
        assert member.key == "images" or json_text.parse_json(data[member.value:member.end]) == value[member.key]


fields = st.dictionaries(st.sampled_from(["dhash", "dhash_generated_at", "dhash_low_detail", "z", "é"]),
                         ANY | st.sampled_from(["0123456789ABCDEF", True]) | st.lists(ANY, max_size=2), max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    names = st.sampled_from(["a.jpg", "", "日本/b.jpg", "x/", "\ud800"])
    images = [{**draw(fields), "path": draw(names), "filename": draw(names | st.just("b.jpg")), **draw(fields)}
              for _number in range(draw(st.integers(0, 3)))]
    others = st.dictionaries(st.text(max_size=2), ANY | st.lists(ANY, max_size=2), max_size=2)
    value = {**draw(others), "images": images, **draw(others)}
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 0, 2, "\t"]))).encode("utf-8", "backslashreplace")


@settings(deadline=None)
@given(texts(), st.integers(1, 40) | st.just(library_index.WINDOW))
def test_index_of_a_library_says_what_the_parsed_library_says(data: bytes, window: int) -> None:
    require_same(data, window)


@settings(deadline=None)
@given(texts(), st.data())
def test_index_refuses_in_the_same_words_what_is_refused(data: bytes, choices: st.DataObject) -> None:
    at = choices.draw(st.integers(0, len(data)))
    end = choices.draw(st.integers(at, len(data)))
    piece = choices.draw(st.sampled_from(PIECES).map(str.encode) | st.binary(max_size=2))
    require_same(data[:at] + piece + data[end:], choices.draw(st.integers(1, 40)))


@pytest.mark.parametrize("piece", PIECES)
def test_index_refuses_text_around_a_library_as_the_parser_does(piece: str) -> None:
    text = '{"images": [{"path": "a", "filename": "a"}]}'
    require_same(text.encode() + piece.encode(), 7)
    require_same(piece.encode() + text.encode(), 7)
    require_same(f'{{"images": [{{"path": {piece}, "filename": "a"}}]}}'.encode(), 7)
    require_same(f'{{"images": {piece}}}'.encode(), 7)


@pytest.mark.parametrize("depth", [bounded_reads.MAX_DEPTH - 3, bounded_reads.MAX_DEPTH - 2, bounded_reads.MAX_DEPTH - 1, 100_000])
@pytest.mark.parametrize("place", ['{"images": [{"path": "a", "filename": "[", "x": %s}]}', '{"x": %s, "images": []}'])
def test_index_refuses_what_is_nested_too_deep(depth: int, place: str) -> None:
    require_same((place % ("[" * depth + "]" * depth)).encode(), library_index.WINDOW)


def test_index_takes_a_fraction_of_the_parsed_librarys_memory() -> None:
    images = [{"path": f"{number}/{number}.jpg", "filename": f"{number}.jpg", "size": number, "tags": ["a", "b"],
               "dhash": f"{number:016X}", "dhash_generated_at": "2026-01-31T12:00:00.000Z"} for number in range(5000)]
    data = json.dumps({"images": images}, indent=2).encode()

    def held(read: Any) -> int:
        tracemalloc.start()
        kept = read(data, PATH)
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del kept
        return memory

    assert held(library_index.of) < held(library_file.parse) / 5
