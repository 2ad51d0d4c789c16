# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._files import column_files, durable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEADER = {"sha256": "0" * 64, "numbers": [1, 2.5, None], "name": "é"}
COLUMNS = {"bytes": array("B", b"a\0b"), "large": array("Q", [0, (1 << 64) - 1]), "signed": array("q", [-1]), "none": array("Q")}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "x.cache"
    column_files.write(str(path), str(tmp_path), HEADER, COLUMNS)
    return path


def test_columns_are_read_as_they_were_written(cache: Path) -> None:
    assert column_files.read(str(cache)) == (HEADER, COLUMNS)
    assert column_files.read_header(str(cache)) == HEADER
    assert cache.stat().st_mode & 0o777 == 0o600


def test_columns_longer_than_a_chunk_are_written_whole(tmp_path: Path) -> None:
    columns = {"many": array("Q", range(3 * durable.CHUNK // 8 + 5))}
    column_files.write(str(tmp_path / "x"), str(tmp_path), {}, columns)
    assert column_files.read(str(tmp_path / "x")) == ({}, columns)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_cache_counts_as_none(cache: Path, data: st.DataObject) -> None:
    content = cache.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = cache.with_name("changed")
    changed.write_bytes(content[:position] + bytes([content[position] ^ data.draw(st.integers(1, 255))]) + content[position + 1:])
    assert column_files.read(str(changed)) is None
    for length in (position, len(content) + 1):
        changed.write_bytes((content + b"\0")[:length])
        assert column_files.read(str(changed)) is None
        assert column_files.read_header(str(changed)) in (None, HEADER)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[" * 100_000])
def test_what_is_no_cache_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert column_files.read(str(tmp_path / "x")) is None and column_files.read_header(str(tmp_path / "x")) is None
    assert column_files.read(str(tmp_path / "missing")) is None and column_files.read_header(str(tmp_path)) is None


@pytest.mark.parametrize("line", [
    b'{"format":2}', b'{"format":1,"byte_order":"middle","header":{},"columns":[]}', b"[]", b"1", b'{"format":1,"byte_order":"little","header":[]}',
    b'{"format":1,"byte_order":"little","header":{},"columns":[["a","d",1]],"sha256":""}',
    b'{"format":1,"byte_order":"little","header":{},"columns":[["a","q",-1]],"sha256":""}',
    b'{"format":1,"byte_order":"little","header":{},"columns":[["a","q",1e9]],"sha256":""}', b"[" * 1000])
def test_a_sound_line_that_describes_no_cache_counts_as_none(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "x").write_bytes(hashlib.sha256(line).hexdigest().encode() + b" " + line + b"\n")
    assert column_files.read(str(tmp_path / "x")) is None and column_files.read_header(str(tmp_path / "x")) in (None, {})


def test_a_longer_cache_than_is_asked_for_counts_as_none(cache: Path) -> None:
    assert column_files.read(str(cache), max_bytes=cache.stat().st_size - 1) is None
