# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CSV for spreadsheets. A text from a library or a file is never taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# A cell that begins so is a formula for a spreadsheet. Source: OWASP, CSV Injection; the last four are full-width.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
PART = 1000  # rows that are encoded together


def lines(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """``head`` and ``rows`` as CSV (RFC 4180) in UTF-8, with the byte order mark by which spreadsheets know it.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(head)
    yield b"\xef\xbb\xbf"
    for number, row in enumerate(rows, start=1):
        writer.writerow(map(_cell, row))
        if number % PART == 0:
            yield _encode(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
    yield _encode(buffer.getvalue())


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # UTF-8 cannot encode lone surrogates, which odd file names have


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
