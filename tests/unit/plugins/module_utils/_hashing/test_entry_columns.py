# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import tracemalloc
from array import array
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import entry_columns
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.hash_journal import Entry
from hypothesis import given
from hypothesis import strategies as st

words = st.integers(0, 2**64 - 1).map("{:016X}".format)
hashes = st.builds(Entry, words, words, st.booleans(), st.sampled_from(["pillow", "ffmpeg", None]), st.none(), st.none(),
                   st.floats(0, 100), st.sampled_from(["2026-01-31T12:00:00.000Z", ""]), st.none() | st.binary(min_size=144, max_size=144))
failures = st.builds(Entry, st.none(), st.none(), st.just(False), st.none(), st.sampled_from(["missing", "damaged"]), st.text(), st.just(0.0), st.just(""))
some = st.lists(st.none() | hashes | failures, max_size=6)


@given(some, st.data())
def test_columns_give_the_entries_that_were_put_into_them(given_entries: list[Entry | None], choices: st.DataObject) -> None:
    entries = entry_columns.Entries(given_entries)
    assert list(entries) == given_entries
    for position in range(len(given_entries)):
        given_entries[position] = entries[position] = choices.draw(st.none() | hashes | failures)
    assert list(entries) == given_entries
    numbered = list(enumerate(given_entries))
    assert entries.pending() == [at for at, entry in numbered if entry is None]
    assert [entries.is_pending(at) for at, _entry in numbered] == [entry is None for _at, entry in numbered]
    assert list(entries.failures().items()) == [(at, entry) for at, entry in numbered if entry and entry.kind]
    assert entries.hashed() == [at for at, entry in numbered if entry and entry.dhash]
    assert entries.matchable().tolist() == [at for at, entry in numbered if entry and entry.dhash and not entry.low_detail]
    assert entries.low_detail() == sum(1 for entry in given_entries if entry and entry.low_detail)
    assert entries.seconds(range(len(entries))).tolist() == [entry.seconds for entry in given_entries if entry and entry.seconds]
    assert sum(entries.decoders().values()) == sum(1 for entry in given_entries if entry and entry.decoder)


@given(st.lists(hashes | failures.map(lambda entry: entry._replace(luma=None)), max_size=6))
def test_entries_are_the_same_after_columns_of_a_file(given_entries: list[Entry]) -> None:
    entries = entry_columns.Entries(given_entries)
    again = entry_columns.Entries.of_columns({name: array(column.typecode, column.tobytes()) for name, column in entries.columns().items()})
    assert list(again) == given_entries
    assert (again.pending(), again.failures(), again.decoders()) == ([], entries.failures(), entries.decoders())


@pytest.mark.parametrize("name", ["flags", "hashes", "verticals", "seconds", "luma", "texts", "told"])
def test_columns_that_do_not_belong_together_are_refused(name: str) -> None:
    columns = entry_columns.Entries([Entry("0" * 16, "0" * 16, False, "pillow", None, None, 1.0, "", bytes(144))] * 2).columns()
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        entry_columns.Entries.of_columns({**columns, name: columns[name][:-1]})
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        entry_columns.Entries.of_columns({**columns, name: array(columns[name].typecode, [7] * len(columns[name]) + [7])})


def test_an_entry_in_columns_takes_less_than_half_of_its_memory() -> None:
    def make() -> Any:
        return (Entry(f"{number:016X}", f"{number:016X}", False, "pillow", None, None, number / 7, "2026-01-31T12:00:00.000Z"[:20 + number % 5],
                      bytes([number % 256]) * 144) for number in range(2000))

    def held(keep: Any) -> int:
        tracemalloc.start()
        kept = keep(make())
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del kept
        return memory

    assert held(entry_columns.Entries) < held(list) / 2


identities = st.none() | st.tuples(*[st.integers(0, 1)] * 3, st.sampled_from([-1, 0])) | st.just((2**64 - 1, 2**64 - 1, 5, -5))


@given(st.lists(identities, max_size=8))
def test_the_first_name_of_a_file_is_found_for_each_of_its_names(names: list[file_stamps.Identity | None]) -> None:
    expected = {at: names.index(name) for at, name in enumerate(names) if name is not None and names.count(name) > 1}
    assert file_stamps.Identities(names).shared() == expected
