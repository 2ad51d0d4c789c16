# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal entries of all images of a library, in columns: an entry takes about 200 bytes, as a tuple of its own it takes 500."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._files import bounded_reads
from . import hash_journal
from .hash_journal import Entry

_HAS_HASH, _LOW_DETAIL, _HAS_LUMA = 1, 2, 4
_NO_LUMA = bytes(hash_journal.PIXELS)


class Entries:
    """A sequence of entries, None for an image that has to be hashed. Each access makes an equal entry anew."""

    def __init__(self, entries: Iterable[Entry | None] = ()) -> None:
        self._flags = bytearray()
        self._hashes, self._verticals, self._seconds = array("Q"), array("Q"), array("d")
        self._luma = bytearray()
        self._texts: list[tuple[str | None, str] | None] = []  # decoder and hashed_at
        self._one_of_each: dict[tuple[str | None, str], tuple[str | None, str]] = {}
        self._failures: dict[int, Entry] = {}
        for entry in entries:
            self.append(entry)

    def columns(self) -> dict[str, array[Any]]:
        """The entries as columns of numbers and bytes, which :meth:`of_columns` takes. None of the images may have to be hashed."""
        numbers = {texts: number for number, texts in enumerate(self._one_of_each, 1)}
        told = {"texts": list(numbers), "failures": [[position, list(entry._replace(luma=None))] for position, entry in self._failures.items()]}
        return {"flags": array("B", self._flags), "hashes": self._hashes, "verticals": self._verticals, "seconds": self._seconds,
                "luma": array("B", self._luma), "texts": array("Q", (numbers[texts] if texts else 0 for texts in self._texts)),
                "told": array("B", json.dumps(told).encode())}

    @classmethod
    def of_columns(cls, columns: Mapping[str, array[Any]]) -> Entries:
        """The entries whose :meth:`columns` these are. Raises ValueError, TypeError, KeyError or IndexError if they cannot be."""
        told = bounded_reads.parse_json(columns["told"].tobytes())
        texts = [None, *map(tuple, told["texts"])]
        entries = cls()
        entries._flags, entries._luma = bytearray(columns["flags"]), bytearray(columns["luma"])
        entries._hashes, entries._verticals, entries._seconds = columns["hashes"], columns["verticals"], columns["seconds"]
        entries._texts = [texts[number] for number in columns["texts"]]
        entries._one_of_each = {one: one for one in texts if one}
        entries._failures = {position: Entry(*entry) for position, entry in told["failures"]}
        count = len(entries)
        if (len(entries._hashes), len(entries._verticals), len(entries._seconds), len(entries._texts), len(entries._luma)) \
                != (count, count, count, count, count * hash_journal.PIXELS):
            raise ValueError("the columns have different lengths")
        return entries

    def __len__(self) -> int:
        return len(self._flags)

    def __iter__(self) -> Iterator[Entry | None]:
        return map(self.__getitem__, range(len(self)))

    def append(self, entry: Entry | None) -> None:
        """Add the entry of the next image."""
        if entry is None or entry.dhash is None or entry.vertical is None:
            self._add(0, 0, 0, 0, _NO_LUMA, None)
            self[len(self) - 1] = entry
        else:
            self._add(_flags_of(entry), int(entry.dhash, 16), int(entry.vertical, 16), entry.seconds, entry.luma or _NO_LUMA, self._one(entry))

    def _add(self, flags: int, dhash: int, vertical: int, seconds: float, luma: bytes, texts: tuple[str | None, str] | None) -> None:
        self._flags.append(flags)
        self._hashes.append(dhash)
        self._verticals.append(vertical)
        self._seconds.append(seconds)
        self._luma += luma
        self._texts.append(texts)

    def _one(self, entry: Entry) -> tuple[str | None, str]:
        """The texts of ``entry``, one object for all entries with the same ones."""
        texts = entry.decoder, entry.hashed_at
        return self._one_of_each.setdefault(texts, texts)

    def __setitem__(self, position: int, entry: Entry | None) -> None:
        self._flags[position] = 0
        self._failures.pop(position, None)
        if entry is None:
            return
        if entry.dhash is None or entry.vertical is None:
            self._failures[position] = entry
            return
        self._flags[position] = _flags_of(entry)
        self._hashes[position], self._verticals[position] = int(entry.dhash, 16), int(entry.vertical, 16)
        self._seconds[position] = entry.seconds
        self._texts[position] = self._one(entry)
        self._luma[position * hash_journal.PIXELS:(position + 1) * hash_journal.PIXELS] = entry.luma or _NO_LUMA

    def __getitem__(self, position: int) -> Entry | None:
        if not self._flags[position] or self._texts[position] is None:
            return self._failures.get(position)
        return self.without_pixels(position)._replace(vertical=f"{self._verticals[position]:016X}", luma=self.luma(position))

    def without_pixels(self, position: int) -> Entry:
        """As :meth:`known`, without the second hash and the pixels, which take most of the time."""
        flags, texts = self._flags[position], self._texts[position]
        if not flags or texts is None:
            return self.known(position)
        return Entry(f"{self._hashes[position]:016X}", None, bool(flags & _LOW_DETAIL), texts[0], None, None, self._seconds[position], texts[1])

    def known(self, position: int) -> Entry:
        """The entry at ``position``, once none is to be hashed any more."""
        entry = self[position]
        if entry is None:
            raise ValueError(f"image {position} is not hashed")
        return entry

    def is_pending(self, position: int) -> bool:
        """Whether the image at ``position`` has to be hashed."""
        return not self._flags[position] and position not in self._failures

    def pending(self) -> list[int]:
        """The positions of the images that have to be hashed."""
        return [position for position, flags in enumerate(self._flags) if not flags and position not in self._failures]

    def failures(self) -> dict[int, Entry]:
        """The entries of the images without a hash, by position, in order."""
        return dict(sorted(self._failures.items()))

    def hashed(self) -> list[int]:
        """The positions of the images with a hash."""
        return [position for position, flags in enumerate(self._flags) if flags]

    def matchable(self) -> array[int]:
        """The positions of the images with a hash that have enough detail."""
        return array("Q", (position for position, flags in enumerate(self._flags) if flags & (_HAS_HASH | _LOW_DETAIL) == _HAS_HASH))

    def low_detail(self) -> int:
        """How many images have little detail."""
        return sum(1 for flags in self._flags if flags & _LOW_DETAIL)

    def number(self, position: int) -> int | None:
        """The hash at ``position`` as a number; None if there is none."""
        return self._hashes[position] if self._flags[position] else None

    def is_low_detail(self, position: int) -> bool:
        """Whether the image at ``position`` has little detail."""
        return bool(self._flags[position] & _LOW_DETAIL)

    def hashes(self, position: int) -> tuple[str, str]:
        """The two hashes at ``position`` in hexadecimal, of an image that has them."""
        return f"{self._hashes[position]:016X}", f"{self._verticals[position]:016X}"

    def luma(self, position: int) -> bytes | None:
        """The pixels of the two hashes at ``position``; None if they are not known."""
        if not self._flags[position] & _HAS_LUMA:
            return None
        return bytes(self._luma[position * hash_journal.PIXELS:(position + 1) * hash_journal.PIXELS])

    def seconds(self, positions: Iterable[int]) -> array[float]:
        """The times of the hashed images at ``positions``, without those that are 0."""
        return array("d", (seconds for seconds in (self._seconds[position] for position in positions if self._flags[position]) if seconds))

    def decoders(self) -> Counter[str]:
        """How many images each decoder has decoded."""
        return Counter(texts[0] for texts, flags in zip(self._texts, self._flags) if texts and flags and texts[0])


def _flags_of(entry: Entry) -> int:
    return _HAS_HASH | _LOW_DETAIL * entry.low_detail | _HAS_LUMA * (entry.luma is not None)
