# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of the files that hosts hand over to each other through the controller, their kinds, and the lock of the folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .._files import durable, locking

PENDING, ENTRIES, HASHES = "pending_images", "journal_entries", "hashes"  # the kinds of files


def folder(state: str) -> str:
    """The folder in the state folder ``state`` with the files that this host hands over."""
    return os.path.join(state, "exchange")


def path_in(state: str, kind: str) -> str:
    """The path of the file of ``kind`` that this host hands over."""
    return os.path.join(folder(state), f"{kind.replace('_', '-')}.jsonl.gz")


@contextlib.contextmanager
def lock(state: str, operation: str, run: str, timeout: float) -> Iterator[locking.Held]:
    """Create the handover folder in the state folder ``state`` and hold its lock. Raises ``DhashError``.

    The library itself is not locked, because several hosts work on a shared library.
    """
    durable.make_folder(folder(state))
    with locking.lock(folder(state), operation, run, timeout, "the handover folder") as lock:
        yield lock
