# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_edit, library_fields, library_file, library_index
from ansible_collections.mobius.dhash.plugins.module_utils._library.library_removals import Account, Removal, put_back, take_out
from hypothesis import given, settings
from hypothesis import strategies as st

PATH = "/srv/library.json"
ACCOUNT = Account("2026-01-31T12:00:00.000Z", "queue.json", 1, 1)
OURS = {"dhash": "0123456789ABCDEF", "dhash_generated_at": "2026-01-31T12:00:00.000Z"}
RECORDS = {"dhash_migration": {"dhash_threshold": 10, "decoders": {"pillow": 1}, "average_time_per_image": 0.5},
           "dhash_duplicates": [{"duplicate": "b.jpg", "confidence": 1.0}], "dhash_errors": []}


def parse(data: bytes) -> library_file.Library:
    return library_file.parse(data, PATH)


def laid_out(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def migrated(value: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**value, "images": [{**image, **OURS, **fields} for image in value["images"]], **RECORDS}


def after(library: library_file.Library, value: dict[str, Any]) -> library_file.Library:
    return parse(library_edit.edited(library, value))


def without_dhash(library: library_file.Library) -> bytes:
    return library_edit.edited(library, library_fields.without_our_fields(library.value))


# Libraries in any layout, and a slow oracle: the places of the managed fields in a text, found character by character.

space = st.text(st.sampled_from(" \t\n\r"), max_size=3)
literals = (st.sampled_from(["1.0", "1e21", "-0", "0.10", "1E+2", "9" * 50, "true", "null", '"\\u00e9\\/"', '"\\ud800"', '"{[,"', '"é"'])
            | st.integers().map(str))
keys = st.text(max_size=3).filter(lambda key: key not in ("path", "filename", "images"))


@st.composite
def texts(draw: st.DrawFn, managed: bool = True) -> bytes:
    """The text of a library; its layout differs from member to member."""

    def sequence(brackets: str, parts: list[str]) -> str:
        inner = ",".join(f"{draw(space)}{part}{draw(space)}" for part in parts)
        return f"{brackets[0]}{inner or draw(space)}{brackets[1]}"

    def member(key: str, value: str) -> str:
        return f"{json.dumps(key, ensure_ascii=draw(st.booleans()) or not key.isprintable())}{draw(space)}:{draw(space)}{value}"

    def value(depth: int = 2) -> str:
        kind = draw(st.integers(0, 3)) if depth else 0
        if kind == 2:
            return sequence("[]", [value(depth - 1) for _number in range(draw(st.integers(0, 2)))])
        if kind == 3:
            return sequence("{}", [member(key, value(depth - 1)) for key in draw(st.lists(keys, unique=True, max_size=2))])
        return str(draw(literals))

    def members(required: dict[str, str], ours: tuple[str, ...]) -> list[str]:
        others = draw(st.lists(keys.filter(lambda key: key not in ours), unique=True, max_size=2))
        present = draw(st.lists(st.sampled_from(ours), unique=True)) if managed else []
        parts = [member(key, text) for key, text in required.items()] + [member(key, value()) for key in [*others, *present]]
        return draw(st.permutations(parts))

    images = [sequence("{}", members({"path": f'"{number}"', "filename": '"x"'}, library_fields.OUR_IMAGE_FIELDS))
              for number in range(draw(st.integers(0, 3)))]
    text = sequence("{}", members({"images": sequence("[]", images)}, library_fields.OUR_FIELDS))
    return f"{draw(space)}{text}{draw(space)}".encode()


def strings_and_rest(text: str) -> Iterator[str]:
    """The strings, the punctuation, and the other literals of a JSON text, without the space between them."""
    position = 0
    while position < len(text):
        if text[position] == '"':
            end = position + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            yield text[position:end + 1]
            position = end + 1
        elif text[position] in "{}[],:":
            yield text[position]
            position += 1
        elif text[position] in " \t\n\r":
            position += 1
        else:
            end = position
            while end < len(text) and text[end] not in ' \t\n\r{}[],:"':
                end += 1
            yield text[position:end]
            position = end


def tokens_of_others(data: bytes) -> list[str]:
    """The tokens of a library without the managed fields, and without commas."""
    tokens = list(strings_and_rest(data.decode()))
    kept: list[str] = []
    path: list[str] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        is_key = index + 1 < len(tokens) and tokens[index + 1] == ":"
        if is_key and ((path == ["{"] and json.loads(token) in library_fields.OUR_FIELDS)
                       or (path == ["{", "images[", "{"] and json.loads(token) in library_fields.OUR_IMAGE_FIELDS)):
            index += 2
            depth = 0
            while True:
                depth += (tokens[index] in ("{", "[")) - (tokens[index] in ("}", "]"))
                index += 1
                if depth == 0:
                    break
            continue
        if token in ("{", "["):
            is_images = path == ["{"] and token == "[" and kept[-1:] == [":"] and json.loads(kept[-2]) == "images"
            path.append("images[" if is_images else token)
        elif token in ("}", "]"):
            path.pop()
        if token != ",":
            kept.append(token)
        index += 1
    return kept


@settings(deadline=None)
@given(texts(), st.booleans())
def test_edit_writes_new_fields_and_keeps_every_foreign_token(data: bytes, low_detail: bool) -> None:
    library = parse(data)
    value = migrated(library.value, **({"dhash_low_detail": True} if low_detail else {}))
    text = library_edit.edited(library, value)
    new = parse(text).value
    assert list(new) == list(value)
    assert [list(image.items()) for image in new["images"]] == [list(image.items()) for image in value["images"]]
    assert {key: new[key] for key in RECORDS} == RECORDS
    assert tokens_of_others(text) == tokens_of_others(data)


@settings(deadline=None)
@given(texts())
def test_edit_that_changes_nothing_keeps_all_bytes(data: bytes) -> None:
    library = parse(data)
    assert library_edit.edited(library, library.value) == data
    assert library_edit.edited(library, parse(data).value) == data


@settings(deadline=None)
@given(texts(managed=False))
def test_removed_fields_leave_the_original_bytes(data: bytes) -> None:
    library = parse(data)
    assert without_dhash(after(library, migrated(library.value))) == data


@settings(deadline=None)
@given(texts())
def test_removed_fields_leave_every_other_token(data: bytes) -> None:
    rest = without_dhash(parse(data))
    assert tokens_of_others(rest) == tokens_of_others(data)
    assert not parse(rest).value.keys() & set(library_fields.OUR_FIELDS)
    assert without_dhash(after(parse(rest), migrated(parse(rest).value))) == rest


@settings(deadline=None)
@given(texts(), st.integers(0, 3))
def test_first_images_keep_their_bytes(data: bytes, count: int) -> None:
    library = parse(data)
    trimmed = parse(library_edit.first_images(library_index.of(data, PATH), count))
    assert trimmed.value == {**library.value, "images": library.value["images"][:count]}
    assert data.startswith(trimmed.data[:trimmed.data.index(b"images")])


@settings(deadline=None)
@given(texts(), st.data())
def test_fields_that_are_set_image_by_image_make_the_same_bytes(data: bytes, choices: st.DataObject) -> None:
    library = parse(data)
    value = {**library.value, **(RECORDS if choices.draw(st.booleans()) else {})}
    edits: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
        library_fields.without_hash, lambda image: {**image, **OURS}, lambda image: {**image, "dhash_low_detail": True, "z": ["é", {}]}]
    chosen = sorted(choices.draw(st.sets(st.integers(0, 2), max_size=len(library.value["images"]))) & set(range(len(library.value["images"]))))
    images = list(library.value["images"])
    changes = {position: choices.draw(st.sampled_from(edits)) for position in chosen}
    for position, change in changes.items():
        images[position] = change(images[position])
    script = library_edit.with_fields(library_index.of(data, PATH), {key: value[key] for key in RECORDS if key in value}, changes.items())
    content = b"".join(script.chunks())
    assert content == library_edit.edited(library, {**value, "images": images})
    assert script.digest() == hashlib.sha256(content).hexdigest()
    assert script.makes(content) and not script.makes(content + b" ") and not script.makes(content[:-1])


LAST_MEMBERS = [
    '"title": "b"', '"title" : 1.50', '"title":{"title": [1, "é"]}', '"title": {"title": "c"}', '"title": ["title", {"title": null}]', '"title": []',
    '"a": {"title": "b"}', '"a": "\\"title\\": 1"', '"a": "\\"title"', '"a\\"title": 1', '"a": "title"', '"titl\\u0065": 1',
    '"a": {"x": 1, "title": "b"}', '"a": [{"b": 1, "title": [1]}]', '"a": ",\\"title\\":\\"b"', '"é": "é"',
    '"title": ""', '"title": "\\\\"', '"title": true', '"title": "}"', '"title"\n:\n-1e5', '"other": "b"']


@pytest.mark.parametrize("space", [" ", "\n  ", "\r\n\t", ""])
def test_appended_members_stand_where_a_scan_would_put_them(space: str) -> None:
    texts = [f'{{"path": "{number}",{space}"filename": "{number}",{space}{member}{space}}}' for number, member in enumerate(
        f'{other},{space}{member}' if '"other"' not in member else member
        for other in ['"before": {"title": 1}', '"before":[",\\"title\\": 2"]'] for first in LAST_MEMBERS for member in (first, *LAST_MEMBERS[:2]))]
    texts += ['{"title":1,"path": "p", "filename": "f"}', '{ "path": "p", "filename": "title" }']
    data = f'{{"images": [{", ".join(texts)}]}}'.encode()
    library = parse(data)
    images = [{**image, **OURS} for image in library.value["images"]]
    script = library_edit.with_fields(library_index.of(data, PATH), {}, ((position, lambda image: {**image, **OURS}) for position in range(len(images))))
    assert b"".join(script.chunks()) == library_edit.edited(library, {**library.value, "images": images})


def test_appending_to_images_that_are_alike_scans_only_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"images": [{"path": str(number), "filename": str(number), "exif": {"iso": number}} for number in range(50)]}, indent=1).encode()
    index = library_index.of(data, PATH)
    scanned: list[int] = []
    image = index.image

    def recorded(position: int) -> dict[str, Any]:
        scanned.append(position)
        return image(position)
    monkeypatch.setattr(index, "image", recorded)
    library_edit.with_fields(index, RECORDS, ((position, lambda image: {**image, **OURS}) for position in range(50)))
    assert scanned == [0]


simple = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                      lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=4)


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    fields = st.dictionaries(st.sampled_from(["a", "dhash", "exif", "dhash_low_detail", "z"]), simple, max_size=3)
    images = [{**draw(fields), "path": str(number), "filename": "x", **draw(fields)} for number in range(draw(st.integers(0, 3)))]
    members = st.dictionaries(st.sampled_from(["a", "dhash_errors", "dhash_migration", "more"]), simple, max_size=3)
    return {**draw(members), "images": images, **draw(members)}


@settings(deadline=None)
@given(values(), values())
def test_usual_layout_maps_to_the_usual_layout_of_any_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert library_edit.edited(parse(laid_out(old)), new) == laid_out(new)


# The layouts that libraries have.

NESTED = {"title": "Été / 日本", "camera": {"make": "x", "lens": [35, 50]}, "none": []}
IMAGES = [{"path": f"media/{name}.jpg", "filename": f"{name}.jpg", "size": 4032, "tags": ["a", "b"], "exif": NESTED} for name in "abcd"]
CONTENT = {"version": 3, "images": IMAGES, "settings": NESTED}
USUAL = json.dumps(CONTENT, indent=2, ensure_ascii=False)
LAYOUTS = {
    "usual": USUAL,
    "minified": json.dumps(CONTENT, separators=(",", ":"), ensure_ascii=False),
    "python": json.dumps(CONTENT),
    "4 spaces": json.dumps(CONTENT, indent=4),
    "1 space": json.dumps(CONTENT, indent=1),
    "tabs": json.dumps(CONTENT, indent="\t"),
    "no indentation": json.dumps(CONTENT, indent=0),
    "CRLF": USUAL.replace("\n", "\r\n") + "\r\n",
    "tabs and CRLF": json.dumps(CONTENT, indent="\t").replace("\n", "\r\n"),
    "escapes": json.dumps(CONTENT, indent=2).replace("/", "\\/"),
    "1.0": USUAL.replace("4032", "1.0"),
    "1e21": USUAL.replace("4032", "1e21"),
    "large numbers": USUAL.replace("4032", "9" * 5000),
    "trailing spaces": USUAL.replace("\n", "  \n") + " \n\t\n",
    "leading spaces": f"\n  {USUAL}",
    "comma first": re.sub(r",\n( *)", r"\n\1, ", USUAL),
    "spaces around colons": USUAL.replace('": ', '"  :\t'),
    "images first": json.dumps({"images": IMAGES, "version": 3}, indent=2),
    "images last": json.dumps({"version": 3, "images": IMAGES}, indent=2),
    "images alone": json.dumps({"images": IMAGES}),
    "no images": '{"images": [ ]}\n',
    "an image per line": '{"images": [\n' + ",\n".join(map(json.dumps, IMAGES)) + "\n]}\n",
    "an image per line, indented": '{\n  "version": 3,\n  "images": [\n    ' + ",\n    ".join(map(json.dumps, IMAGES)) + "\n  ]\n}\n",
    "blank lines": USUAL.replace(",\n", ",\n\n"),
}


@pytest.fixture(params=LAYOUTS)
def library(request: pytest.FixtureRequest) -> library_file.Library:
    return parse(LAYOUTS[request.param].encode())


def test_remove_dhash_restores_the_original_bytes_in_any_layout(library: library_file.Library) -> None:
    hashed = after(library, migrated(library.value))
    assert hashed.value == migrated(library.value)
    again = after(hashed, migrated(hashed.value, dhash="F" * 16))
    assert without_dhash(again) == without_dhash(hashed) == library.data


@pytest.mark.parametrize("layout", [{"indent": 4}, {"separators": (",", ":")}, {"indent": "\t"}, {}])
def test_fields_moved_into_the_middle_are_changed_there(layout: dict[str, Any]) -> None:
    records = {**RECORDS, "dhash_duplicates": []}
    images = [{"path": image["path"], **OURS, **image} for image in IMAGES]
    start = parse(json.dumps({"version": 3, **records, "images": images, "settings": NESTED}, **layout).encode())
    new = after(start, {**start.value, "images": [{**image, "dhash": "F" * 16} for image in start.value["images"]]})
    assert new.data == start.data.replace(OURS["dhash"].encode(), b"F" * 16)
    assert without_dhash(new) == json.dumps(CONTENT, **layout).encode()


def test_import_and_its_reversal_restore_the_bytes_in_any_layout(library: library_file.Library) -> None:
    count = len(library.value["images"])
    start = after(library, migrated(library.value))
    for gone in ("bc", "d", "ac"):
        stages = [start]
        for name in gone:
            removal = Removal("id", f"media/{name}.jpg", OURS["dhash"], "media/a.jpg", OURS["dhash"], "")
            stages.append(after(stages[-1], take_out(stages[-1].value, [removal], ACCOUNT)))
        if count:
            assert len(stages[-1].value["images"]) == count - len(gone)
        live = stages[-1]
        for stage in reversed(stages[:-1]):
            value = put_back(live.value)
            assert value is not None
            live = after(live, value)
            assert live.value == stage.value
            assert live.data == stage.data


@pytest.mark.parametrize(("text", "expected"), [
    ('{"images":[{"path":"a","filename":"a"}]}', '{"images":[{"path":"a","filename":"a","dhash":"F"}],"dhash_errors":[{"kind":"x"}]}'),
    ('{"images": [{"path": "a", "filename": "a"}]}',
     '{"images": [{"path": "a", "filename": "a", "dhash": "F"}], "dhash_errors": [{"kind": "x"}]}'),
    ('{\r\n\t"images": [\r\n\t\t{\r\n\t\t\t"path": "a",\r\n\t\t\t"filename": "a"\r\n\t\t}\r\n\t]\r\n}\r\n',
     '{\r\n\t"images": [\r\n\t\t{\r\n\t\t\t"path": "a",\r\n\t\t\t"filename": "a",\r\n\t\t\t"dhash": "F"\r\n\t\t}\r\n\t],\r\n'
     '\t"dhash_errors": [\r\n\t\t{\r\n\t\t\t"kind": "x"\r\n\t\t}\r\n\t]\r\n}\r\n'),
    ('{\n  "images": [\n    {"path": "a", "filename": "a"}\n  ]\n}',
     '{\n  "images": [\n    {"path": "a", "filename": "a", "dhash": "F"}\n  ],\n  "dhash_errors": [\n    {\n      "kind": "x"\n    }\n  ]\n}'),
])
def test_new_fields_have_the_layout_of_their_surroundings(text: str, expected: str) -> None:
    library = parse(text.encode())
    [image] = library.value["images"]
    value = {**library.value, "images": [{**image, "dhash": "F"}], "dhash_errors": [{"kind": "x"}]}
    assert library_edit.edited(library, value).decode() == expected


def test_image_that_moves_keeps_its_literals_and_escapes() -> None:
    data = ('{"images": [\n  {"path": "a", "filename": "a", "dhash": "A", "size": 1.0, "note": "\\u00e9"},\n'
            '  {"path": "b", "filename": "b", "dhash": "B"}\n]}')
    library = parse(data.encode())
    taken = after(library, take_out(library.value, [Removal("id", "a", "A", "b", "B", "")], ACCOUNT))
    assert b'"entry": {"path": "a", "filename": "a", "dhash": "A", "size": 1.0, "note": "\\u00e9"}' in taken.data
    value = put_back(taken.value)
    assert value is not None
    assert library_edit.edited(taken, value).startswith(data[:70].encode())


def test_lone_surrogate_in_a_new_field_is_written_as_an_escape() -> None:
    library = parse(b'{"images":[]}')
    assert library_edit.edited(library, {**library.value, "dhash_errors": ["\udcff"]}) == b'{"images":[],"dhash_errors":["\\udcff"]}'
