# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import library_summary
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, LibraryError
from ansible_collections.mobius.dhash.plugins.module_utils._library import library_index
from conftest import SmallLibrary


def read(library: SmallLibrary) -> library_summary.Summary:
    return library_summary.read(str(library.path), str(library.state))


def store(library: SmallLibrary) -> Path:
    library_summary.store(str(library.path), str(library.state))
    return Path(library.state, library_summary.FILE)


def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the libraries that are parsed from now on."""
    parsed: list[str] = []
    parse = library_index.read

    def recorded(path: str, *arguments: int) -> tuple[library_index.Index, str]:
        parsed.append(path)
        return parse(path, *arguments)
    monkeypatch.setattr(library_index, "read", recorded)
    return parsed


def test_a_stored_summary_saves_the_parsing(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(migrated)
    assert (expected.images, expected.hashed, expected.errors, expected.duplicates, expected.inconsistencies) == (4, 3, 1, 1, [])
    assert expected.sha256 == hashlib.sha256(migrated.path.read_bytes()).hexdigest() and expected.first_path == "a.png"
    store(migrated)
    parsed = parses(monkeypatch)
    assert read(migrated) == expected and parsed == []


def test_reading_stores_nothing(migrated: SmallLibrary) -> None:
    store(migrated).unlink()
    read(migrated)
    assert not os.path.exists(os.path.join(migrated.state, library_summary.FILE))


def test_storing_twice_writes_once(migrated: SmallLibrary) -> None:
    before = store(migrated).stat().st_ino
    assert store(migrated).stat().st_ino == before


def test_a_library_that_has_changed_is_parsed(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    store(migrated)
    value = json.loads(migrated.path.read_bytes())
    value["images"][0]["dhash"] = "short"
    value["dhash_duplicates"] = []
    migrated.path.write_text(json.dumps(value))
    parsed = parses(monkeypatch)
    assert {found["id"] for found in read(migrated).inconsistencies} == {"duplicates_count", "malformed_hash"}
    assert parsed == [str(migrated.path)]
    assert {found["id"] for found in json.loads(store(migrated).read_text())["summaries"][0]["inconsistencies"]} == {"duplicates_count", "malformed_hash"}


def test_a_library_that_is_no_longer_valid_is_refused(migrated: SmallLibrary) -> None:
    stored = store(migrated).read_bytes()
    migrated.path.write_text("{")
    with pytest.raises(LibraryError, match="not JSON"):
        read(migrated)
    assert store(migrated).read_bytes() == stored
    migrated.path.unlink()
    with pytest.raises(LibraryError):
        read(migrated)


@pytest.mark.parametrize("change", [
    {"version": "0.9.0"}, {"rules": library_summary.RULES + 1}, {"hashed": "3"}, {"inconsistencies": [1]}, {"inconsistencies": [{"id": "a"}]},
    {"sha256": None}])
def test_a_summary_of_another_version_does_not_count(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    file = store(migrated)
    good = file.read_bytes()
    file.write_text(json.dumps({"summaries": [{**summary, "images": 99, **change} for summary in json.loads(good)["summaries"]]}))
    parsed = parses(monkeypatch)
    assert read(migrated).images == 4 and parsed
    assert store(migrated).read_bytes() == good


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100000, b'{"format": 2, "summaries": []}', b'{"summaries": 1}', b'{"summaries": {"a": 1}}',
    b'{"summaries": [null]}', b'{"summaries": ["sha256"]}'])
def test_a_damaged_summary_does_not_count(migrated: SmallLibrary, content: bytes) -> None:
    file = store(migrated)
    good = file.read_bytes()
    file.write_bytes(content)
    assert read(migrated).images == 4
    assert store(migrated).read_bytes() == good


def test_unknown_fields_of_a_summary_are_ignored(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store(migrated)
    [summary] = json.loads(file.read_text())["summaries"]
    file.write_text(json.dumps({"more": 1, "summaries": [{**summary, "more": 1}]}))
    parsed = parses(monkeypatch)
    assert read(migrated).images == 4 and not parsed


def test_the_summaries_of_the_last_two_libraries_are_kept(migrated: SmallLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [migrated.path.read_bytes() + b" " * count for count in range(3)]
    for content in contents:
        migrated.path.write_bytes(content)
        store(migrated)
    parsed = parses(monkeypatch)
    for content, is_parsed in zip(contents, [True, False, False]):
        migrated.path.write_bytes(content)
        assert read(migrated).images == 4 and bool(parsed) is is_parsed
        parsed.clear()


def test_a_summary_that_cannot_be_written_is_an_error(migrated: SmallLibrary) -> None:
    store(migrated).unlink()
    os.mkdir(os.path.join(migrated.state, library_summary.FILE))
    with pytest.raises(DhashError):
        store(migrated)
    assert read(migrated).images == 4
