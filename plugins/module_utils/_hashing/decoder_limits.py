# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hashing may take: the limits on one image, and the files that many workers have open.

A file of its own, since modules that hash nothing take the same options.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 1 << 30
FILES_OF_A_WORKER = 3  # that its parent has open
OTHER_FILES = 64  # of Python, Ansible, the journal, the log, a worker that starts


class Limits(NamedTuple):
    """What one image may take. 250 megapixels of RGB are 1 GB in Pillow; with the luma they fit 2 GiB."""

    seconds: int = 30
    file_bytes: int = GIB
    pixels: int = 250_000_000
    memory_bytes: int = 2 * GIB  # of address space, a worker


def text(limits: Limits) -> str:
    """The limits as the journal knows them."""
    return f"{limits.file_bytes} bytes, {limits.pixels} pixels, {limits.memory_bytes} bytes of memory"


def files_needed(parallel: int) -> int:
    """How many files a process has open, at most, that has ``parallel`` workers."""
    return OTHER_FILES + FILES_OF_A_WORKER * parallel
