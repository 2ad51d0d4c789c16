# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._files import bounded_reads
from ansible_collections.mobius.dhash.plugins.module_utils._library import json_text, library_fields, library_file
from hypothesis import given, settings
from hypothesis import strategies as st

PATH = "/srv/library.json"
IMAGE = {"path": "photos/a.jpg", "filename": "a.jpg"}

Example = TypeVar("Example")

any_text = st.text(st.characters())  # lone surrogates too
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# The grammar of RFC 8259, section 6.
number_literals = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def json_values(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    def arrays_and_objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)

    return st.recursive(leaves, arrays_and_objects, max_leaves=8)


def libraries(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str] = st.text()) -> st.SearchStrategy[dict[str, Any]]:
    values = json_values(leaves, keys)
    images = st.builds(
        lambda before, after: {**before, **IMAGE, **after},
        st.dictionaries(keys, values, max_size=2),
        st.dictionaries(keys.filter(lambda key: key not in IMAGE), values, max_size=2),
    )
    members = st.dictionaries(keys.filter(lambda key: key != "images"), values, max_size=2)
    return st.builds(
        lambda before, images, after: {**before, "images": images, **after},
        members,
        st.lists(images, max_size=3),
        members,
    )


scalars = st.none() | st.booleans() | numbers | st.text()
ordinary_libraries = libraries(scalars)


def laid_out(value: dict[str, Any], newline: str = "") -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + newline).encode()


def parse(text: str) -> library_file.Library:
    return library_file.parse(text.encode(), PATH)


def printed(value: dict[str, Any]) -> bytes:
    """``value`` as the collection prints what it adds, in the usual layout."""
    return b"".join(map(json_text.encode, json_text.pieces(value)))


def with_value(literal: str) -> str:
    """A library's file, as printed, that has ``literal`` for a value."""
    return f'{{\n  "images": [],\n  "value": {literal}\n}}'


def refusal(data: bytes) -> str:
    with pytest.raises(LibraryError) as caught:
        library_file.parse(data, PATH)
    assert caught.value.path == PATH
    assert caught.value.next_step
    return caught.value.cause


def node(expression: str, texts: list[str]) -> list[Any]:
    """``expression`` of each JSON text ``t``, in one run of Node.js."""
    program = f'console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).map(t => {expression})))'
    run = subprocess.run(["node", "-e", program], input=json.dumps(texts).encode(), stdout=subprocess.PIPE, check=True)
    results: list[Any] = json.loads(run.stdout)
    return results


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="compares with Node.js")


def examples(strategy: st.SearchStrategy[Example], count: int) -> list[Example]:
    """``count`` examples at once, for an oracle that is slow to start."""
    found = []

    @settings(max_examples=count, database=None, deadline=None)
    @given(strategy)
    def collect(example: Example) -> None:
        found.append(example)

    collect()
    return found


# What comes in goes out.


@settings(deadline=None)
@given(ordinary_libraries)
def test_a_laid_out_library_comes_out_byte_for_byte(value: dict[str, Any]) -> None:
    assert printed(library_file.parse(laid_out(value), PATH).value) == laid_out(value)


@settings(deadline=None)
@given(libraries(scalars | any_text, st.text()))
def test_what_was_written_reads_back_equal(value: dict[str, Any]) -> None:
    library = parse(json.dumps(value))
    assert library_file.parse(printed(library.value), PATH).value == library.value


@needs_node
def test_the_layout_is_that_of_json_stringify() -> None:
    def prints_the_same_in_javascript(number: float) -> bool:
        return "e" not in repr(number) and not repr(number).endswith(".0")

    integers = st.integers(-(2**53) + 1, 2**53 - 1)
    fractions = st.floats(allow_nan=False, allow_infinity=False).filter(prints_the_same_in_javascript)
    # JavaScript moves keys that look like array indexes to the front; the collection keeps their order.
    keys = st.text().filter(lambda key: not re.fullmatch("[0-9]+", key))
    leaves = st.none() | st.booleans() | integers | fractions | any_text
    texts = [json.dumps(value) for value in examples(libraries(leaves, keys), 100)]
    written = [printed(parse(text).value).decode() for text in texts]
    assert written == node("JSON.stringify(JSON.parse(t), null, 2)", texts)


def test_every_character_is_escaped_as_json_stringify_escapes_it() -> None:
    text = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028\u2029\ud800é日🎉'
    expected = (
        r'"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f'
        r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f"
        r"\"\\/" + "\x7f\u2028\u2029" + r"\ud800" + 'é日🎉"'
    )
    assert printed(parse(with_value(json.dumps(text))).value).decode() == with_value(expected)


@pytest.mark.parametrize("escapes", [r"\ud800", r"\udfff", r"\ude00\ud83d", r"\ud83dx\ude00", r"\ud83d\ud83d"])
def test_lone_surrogates_stay_escaped(escapes: str) -> None:
    data = with_value(f'"{escapes}"')
    assert printed(parse(data).value).decode() == data


def test_a_pair_of_escaped_surrogates_becomes_its_character() -> None:
    assert printed(parse(with_value(r'"\ud83d\uDE00"')).value).decode() == with_value('"😀"')


def test_lone_surrogates_in_keys_and_paths_survive() -> None:
    data = '{\n  "images": [\n    {\n      "path": "\\udcff",\n      "filename": "",\n      "\\ud800": 1\n    }\n  ]\n}'
    assert printed(parse(data).value).decode() == data


def test_keys_keep_their_order_even_if_they_look_like_integers() -> None:
    data = '{\n  "b": 1,\n  "2": 1,\n  "images": [],\n  "1": 1,\n  "a": 1,\n  "": 1,\n  "__proto__": 1\n}'
    assert printed(parse(data).value).decode() == data


def test_empty_arrays_and_objects_take_no_lines() -> None:
    data = '{\n  "images": [],\n  "a": {},\n  "b": [\n    [],\n    {}\n  ]\n}'
    assert printed(parse(data).value).decode() == data


# Numbers.


@settings(deadline=None)
@given(number_literals)
def test_a_number_keeps_its_literal(literal: str) -> None:
    data = with_value(literal)
    library = parse(data)
    assert printed(library.value).decode() == data
    assert library_file.parse(printed(library.value), PATH).value == library.value


@pytest.mark.parametrize(
    "literal",
    ["1.0", "-0", "-0.0", "0.10", "1e21", "1E5", "1e+21", "1e-7", "1e999", "12345678901234567890",
     "9" * 5000, "-" + "9" * 640, "0." + "3" * 5000],
)
def test_number_that_python_prints_otherwise_keeps_its_literal(literal: str) -> None:
    data = with_value(literal)
    assert printed(parse(data).value).decode() == data


@pytest.mark.parametrize(("literal", "number"), [("0", 0), ("-12", -12), ("4032", 4032), ("0.87", 0.87), ("-2.5", -2.5)])
def test_a_plain_number_reads_as_the_number_that_it_is(literal: str, number: float) -> None:
    value = parse(with_value(literal)).value["value"]
    assert value == number
    assert type(value) is type(number)


def test_numbers_kept_by_their_literal_are_equal_by_it() -> None:
    assert json_text.Number("1.0") == json_text.Number("1.0")
    assert json_text.Number("1.0") != json_text.Number("1.00")
    assert len({json_text.Number("1.0"), json_text.Number("1.0"), json_text.Number("1e0")}) == 2
    assert json_text.Number("1.0") != "1.0"


@pytest.mark.parametrize(
    ("number", "text"),
    [(12.0, "12"), (0.5, "0.5"), (-0.0, "0"), (7, "7"), (True, "true"), (1e-6, "0.000001"), (1e-7, "1e-7"),
     (1.5e-7, "1.5e-7"), (1e16, "10000000000000000"), (1.2345678901234568e20, "123456789012345680000"),
     (1e21, "1e+21"), (-1.5e300, "-1.5e+300")],
)
def test_numbers_of_ours_are_written_as_javascript_prints_them(number: float, text: str) -> None:
    assert printed({"images": [], "value": number}).decode() == with_value(text)


@needs_node
def test_every_float_is_written_as_javascript_prints_it() -> None:
    floats = [digits * 10.0**exponent for digits in (1, -1.5, 9.999999) for exponent in range(-12, 26)]
    floats += examples(st.floats(allow_nan=False, allow_infinity=False), 500)
    written = [printed({"images": [], "value": x}).decode() for x in floats]
    expected = node("JSON.stringify(JSON.parse(t))", [repr(x) for x in floats])
    assert written == [with_value(text) for text in expected]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_never_written(number: float) -> None:
    with pytest.raises(ValueError, match=str(number)):
        printed({"images": [], "value": number})


def test_values_that_json_lacks_are_never_written() -> None:
    with pytest.raises(TypeError, match="bytes"):
        printed({"images": [], "value": b""})


# What is no library is refused.


@pytest.mark.parametrize("data", [b"", b" \n\t\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    assert refusal(data) == "the file is empty"


def test_what_is_not_utf8_is_refused_with_its_place() -> None:
    assert refusal(b'{"images": [], "title": "M\xfcnchen"}').endswith("byte offset 26")


def test_an_encoded_surrogate_is_not_utf8() -> None:
    assert "not UTF-8" in refusal(b'{"images": [], "title": "\xed\xa0\x80"}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_refused(encoding: str) -> None:
    assert "byte order mark" in refusal('{"images": []}'.encode(encoding))


@pytest.mark.parametrize(
    "text",
    ["{", '{"images": [}', '{"images": [],}', "{'images': []}", '{"images": []} x', '{"images": []}]', "images",
     '{"images": [01]}', '{"images": [1.]}', '{"images": [.5]}', '{"images": [+1]}', '{"images": [1e]}',
     '{"images": ["\t"]}', '{"images": ["\\x"]}', '{"images": [] // none\n}'],
)
def test_what_is_not_json_is_refused_with_its_place(text: str) -> None:
    assert re.search(r"is not JSON: .* at line 1, column \d+$", refusal(text.encode()))


def test_a_fault_is_told_by_line_and_column() -> None:
    assert refusal(b'{\n  "images": [],\n  "a": tru\n}').endswith("at line 3, column 8")


@pytest.mark.parametrize("length", [10, 30, 60, -2])
def test_a_file_that_was_cut_off_is_told_so(length: int) -> None:
    data = laid_out({"images": [IMAGE, IMAGE]}, "\n")[:length]
    with pytest.raises(LibraryError) as caught:
        library_file.parse(data, PATH)
    assert "cut off" in str(caught.value.next_step)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_refused_by_name(constant: str) -> None:
    assert refusal(with_value(constant).encode()).endswith(f": {constant} is not a JSON value")


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [], "size": 1, "size": 1}',
        '{"images": [{"size": 1, "path": "", "size": 2}]}',
        r'{"images": [], "a": {"size": 0, "s\u0069ze": 0}}',
    ],
)
def test_a_duplicate_key_is_refused_by_name(text: str) -> None:
    assert '"size" more than once' in refusal(text.encode())


def test_duplicate_key_in_an_image_is_refused_with_its_filename() -> None:
    assert '"b.jpg"' in refusal(b'{"images": [{"path": "b", "filename": "b.jpg", "path": "c"}]}')


def test_an_array_is_refused() -> None:
    assert "the file holds an array, not an object" in refusal(b"[]")


@pytest.mark.parametrize("text", ['"images"', "null", "1.0"])
def test_a_single_value_is_refused(text: str) -> None:
    assert "holds a single value, not an object" in refusal(text.encode())


def test_a_library_without_images_is_refused() -> None:
    assert refusal(b"{}") == 'the library has no "images"'


@pytest.mark.parametrize("images", ["{}", "null", '"a.jpg"', "3"])
def test_images_that_are_not_an_array_are_refused(images: str) -> None:
    assert "not an array" in refusal(f'{{"images": {images}}}'.encode())


@pytest.mark.parametrize("element", ["null", "[]", '"a.jpg"', "1.0"])
def test_an_image_that_is_not_an_object_is_refused_by_index(element: str) -> None:
    assert refusal(f'{{"images": [{json.dumps(IMAGE)}, {element}]}}'.encode()).endswith("not objects: images[1]")


@pytest.mark.parametrize("key", ["path", "filename"])
@pytest.mark.parametrize("value", [None, 1, 1.0, [], {}])
def test_image_with_a_path_or_filename_not_a_string_is_refused(key: str, value: object) -> None:
    assert f'"{key}"' in refusal(laid_out({"images": [{**IMAGE, key: value}]}))


@pytest.mark.parametrize("key", ["path", "filename"])
def test_first_images_without_path_or_filename_are_named(key: str) -> None:
    faulty = {name: text for name, text in IMAGE.items() if name != key}
    cause = refusal(laid_out({"images": [IMAGE] + [faulty] * 12}))
    assert cause.endswith(f'"{key}" is missing or not a string: images[1], images[2], images[3] and 9 more')


def test_a_refusal_leaves_the_garbage_collector_on() -> None:
    refusal(b"{")
    assert gc.isenabled()


# Nesting.

brackets_and_escapes = st.text(st.sampled_from('[]{}"\\/n:,\n\u2028é'), max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.sampled_from([bounded_reads.MAX_DEPTH, bounded_reads.MAX_DEPTH + 1]), st.booleans())
def test_only_what_is_nested_too_deep_is_refused(data: st.DataObject, depth: int, ascii_only: bool) -> None:
    value: list[Any] | dict[str, Any] = []
    for kind in data.draw(st.lists(st.sampled_from("[{"), min_size=depth - 2, max_size=depth - 2)):
        noise = data.draw(brackets_and_escapes)
        value = [noise, value, noise, {}] if kind == "[" else {noise: [], noise + "x": value}
    text = json.dumps({"images": [], "value": value}, ensure_ascii=ascii_only).encode()
    if depth > bounded_reads.MAX_DEPTH:
        assert "nested more than" in refusal(text)
    else:
        assert json.loads(printed(library_file.parse(text, PATH).value)) == json.loads(text)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"[":', '[[],"\\"",'])
@pytest.mark.parametrize("prefix", ["", '{"images":'])
def test_a_file_of_nothing_but_nesting_is_refused(opening: str, prefix: str) -> None:
    assert "nested more than" in refusal((prefix + opening * (10_000_000 // len(opening))).encode())


def test_deeply_nested_library_is_handled_from_a_deep_stack() -> None:
    nested = "[" * (bounded_reads.MAX_DEPTH - 1) + "]" * (bounded_reads.MAX_DEPTH - 1)
    data = f'{{"images":[],"value":{nested}}}'.encode()

    def from_deeper(frames: int) -> bytes:
        return from_deeper(frames - 1) if frames else printed(library_file.parse(data, PATH).value)

    assert json.loads(from_deeper(sys.getrecursionlimit() // 2)) == json.loads(data)


# Reading a file.


def refusal_to_read(path: Path | str, **limits: int) -> str:
    with pytest.raises(LibraryError) as caught:
        library_file.read(str(path), **limits)
    assert caught.value.path == str(path)
    assert caught.value.next_step
    return caught.value.cause


@contextlib.contextmanager
def as_nobody_if_root() -> Iterator[None]:
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_library_is_read_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "library.json"
    data = laid_out({"images": [IMAGE]}, "\n")
    file.write_bytes(data)
    assert library_file.read(str(file)) == (library_file.Library({"images": [IMAGE]}, data), hashlib.sha256(data).hexdigest())


def test_a_symbolic_link_to_a_library_is_read(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(b'{"images": []}')
    (tmp_path / "library.json").symlink_to("real.json")
    assert library_file.read(str(tmp_path / "library.json"))[0].value == {"images": []}


def test_a_faulty_library_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_bytes(b"[]")
    assert "not an object" in refusal_to_read(tmp_path / "library.json")


def test_a_missing_library_is_refused(tmp_path: Path) -> None:
    assert refusal_to_read(tmp_path / "library.json") == "could not read the library: No such file or directory"


def test_a_library_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "library.json"
    file.write_bytes(b'{"images": []}')
    file.chmod(0)
    with as_nobody_if_root():
        assert refusal_to_read(file) == "could not read the library: Permission denied"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal_to_read(tmp_path) == "could not read the library: Is a directory"


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "library.json")
    assert refusal_to_read(tmp_path / "library.json") == "not a regular file"


def test_a_device_is_refused() -> None:
    assert refusal_to_read("/dev/zero") == "not a regular file"


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("library.json")
        assert "could not read the library" in refusal_to_read("library.json")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "library.json"
    file.write_bytes(b'{"images": []}')
    assert library_file.read(str(file), max_bytes=14)[0].value == {"images": []}
    assert "14 bytes, and at most 13" in refusal_to_read(file, max_bytes=13)
    os.truncate(file, library_file.MAX_BYTES + 1)
    assert "at most 2147483648 are read" in refusal_to_read(file)


# Which fields are ours.

def test_taking_our_fields_out_keeps_the_order_of_the_others() -> None:
    image = {"dhash": "", "filename": "", "dhash_generated_at": "", "path": ""}
    value = {"dhash_errors": [], "b": 1, "images": [image], "dhash_duplicates": [], "a": 1}
    rest = library_fields.without_our_fields(value)
    assert json.dumps(rest) == '{"b": 1, "images": [{"filename": "", "path": ""}], "a": 1}'


def test_taking_our_fields_out_takes_no_others() -> None:
    image = {**IMAGE, "dhash_errors": 1, "dhash_note": 2, "exif": {"dhash": 3}}
    value = {"lcm_import": {}, "dhash": 1, "images": [image]}
    assert library_fields.without_our_fields(value) == value


def test_taking_our_fields_out_leaves_the_library_itself_alone() -> None:
    value = {"images": [{**IMAGE, "dhash": "0123456789ABCDEF"}], "dhash_errors": []}
    before = copy.deepcopy(value)
    library_fields.without_our_fields(value)["images"].append(IMAGE)
    assert value == before


def test_an_image_is_hashed_where_its_dhash_is_a_string() -> None:
    assert library_fields.is_hashed({**IMAGE, "dhash": "0123456789ABCDEF"})
    assert not library_fields.is_hashed({**IMAGE, "dhash": None})
    assert not library_fields.is_hashed({**IMAGE, "dhash": json_text.Number("1.0")})
    assert not library_fields.is_hashed(IMAGE)


def test_the_counts_are_those_of_what_the_library_records() -> None:
    images = [IMAGE, {**IMAGE, "dhash": "0123456789ABCDEF"}]
    value = {"images": images, "dhash_errors": [{}], "dhash_duplicates": [{}, {}, {}]}
    assert library_fields.counts(value) == {"images": 2, "hashed": 1, "errors": 1, "duplicates": 3}


def test_records_that_are_missing_or_odd_count_as_none() -> None:
    value = {"images": [], "dhash_errors": "many"}
    assert library_fields.counts(value) == {"images": 0, "hashed": 0, "errors": 0, "duplicates": 0}


@pytest.mark.parametrize("elements", [[], [1], [{"a": 1}, "b", []]])
def test_an_array_may_be_written_as_its_elements_come(elements: list[Any]) -> None:
    value = {"before": 1, "elements": elements, "after": {"b": 2}}
    streamed = {**value, "elements": (element for element in elements)}
    assert "".join(json_text.pieces(streamed)) == "".join(json_text.pieces(value)) == json.dumps(value, indent=2)


def test_lone_surrogates_are_written_as_the_escapes_of_json() -> None:
    assert json_text.encode('"\udcff \u00e4"') == b'"\\udcff \xc3\xa4"'
