# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of the files that hosts hand to one another by way of the controller, their kinds and its lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .._files import durable, locking

PENDING, ENTRIES, HASHES = "pending_images", "journal_entries", "hashes"  # the kinds of files


def folder(state: str) -> str:
    """Where in the state folder ``state`` lies what this host hands over."""
    return os.path.join(state, "exchange")


def path_in(state: str, kind: str) -> str:
    """Where this host leaves what it hands over of a kind."""
    return os.path.join(folder(state), f"{kind.replace('_', '-')}.jsonl.gz")


@contextlib.contextmanager
def lock(state: str, operation: str, run: str, timeout: float) -> Iterator[None]:
    """Hold the lock on the exchange of the state folder ``state``, which is made. Raises ``DhashError``.

    It is not the library's: several hosts work on a library that they share.
    """
    durable.make_folder(folder(state))
    with locking.lock(folder(state), operation, run, timeout, "the exchange directory"):
        yield
