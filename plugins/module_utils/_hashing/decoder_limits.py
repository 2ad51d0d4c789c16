# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits on one image, the priority of the workers, and the number of open files that a pool of workers needs.

This is a file of its own because modules that hash nothing have the same options.
"""

from __future__ import annotations

from typing import NamedTuple

GIB = 1 << 30
FILES_OF_A_WORKER = 3  # that the parent has open for one worker
OTHER_FILES = 64  # of Python, Ansible, the journal, the log, a worker that starts


class Limits(NamedTuple):
    """The limits on one image and the priority of its worker. 250 megapixels of RGB take 1 GB in Pillow; with the luma they fit into 2 GiB.

    ``worker_user``: the user as whom workers started by root decode, if this user can read the images; None to stay root.
    ``require_sandbox``: whether to decode nothing without a sandbox.
    """

    seconds: int = 30
    file_bytes: int = GIB
    pixels: int = 250_000_000
    memory_bytes: int = 2 * GIB  # of address space per worker
    worker_user: str | None = None
    require_sandbox: bool = False
    nice: int = 10  # of the workers
    io_class: str = "idle"  # of the workers: idle, best-effort or none


def text(limits: Limits) -> str:
    """The limits as the journal stores them."""
    return f"{limits.file_bytes} bytes, {limits.pixels} pixels, {limits.memory_bytes} bytes of memory"


def files_needed(parallel: int) -> int:
    """The largest number of files that a process with ``parallel`` workers has open."""
    return OTHER_FILES + FILES_OF_A_WORKER * parallel
