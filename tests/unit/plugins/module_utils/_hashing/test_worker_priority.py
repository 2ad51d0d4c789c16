# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What priority a worker has, as the kernel tells it, and that it is only lowered."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, worker_pool, worker_priority

pytestmark = pytest.mark.slow

IOPRIO_GET = {"x86_64": 252, "aarch64": 31}.get(os.uname().machine)
needs_ioprio = pytest.mark.skipif(sys.platform != "linux" or IOPRIO_GET is None, reason="the system call has no known number here")


def io_priority() -> int:
    return int(ctypes.CDLL(None).syscall(IOPRIO_GET, 1, 0)) if IOPRIO_GET else -1


def read_priority(_path: str) -> difference_hash.Pixels:
    raise ImageError("damaged", f"{os.getpriority(os.PRIO_PROCESS, 0)} {io_priority()}")  # a worker may only send results of ours, and errors


def priority_of_worker(**limits: object) -> tuple[int, int]:
    """The nice value and the I/O priority of a worker."""
    given = decoder_limits.Limits(**limits)  # type: ignore[arg-type]
    with contextlib.closing(worker_pool.read_files([(1, "a")], read_priority, difference_hash.Pixels, [], given, 1)) as results:
        ((_key, result),) = results
    assert isinstance(result, ImageError)
    nice, io_class = result.cause.split()
    return int(nice), int(io_class)


def test_a_worker_is_nice_and_its_parent_is_not() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = before + 7 if before < 12 else 19
    assert priority_of_worker(nice=wanted)[0] == wanted
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_worker_never_gets_a_higher_priority_than_its_parent() -> None:
    assert priority_of_worker(nice=0)[0] == os.getpriority(os.PRIO_PROCESS, 0)


@needs_ioprio
@pytest.mark.parametrize(("io_class", "expected"), [("idle", 3 << 13), ("best-effort", (2 << 13) + 7)])
def test_a_worker_has_the_io_class_that_is_asked_for(io_class: str, expected: int) -> None:
    assert priority_of_worker(io_class=io_class)[1] == expected


@needs_ioprio
def test_the_io_class_is_left_alone_if_none_is_asked_for() -> None:
    assert priority_of_worker(io_class="none", nice=0)[1] == io_priority()


def test_refused_priority_change_does_not_prevent_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(worker_priority, "_IOPRIO_SET", {})
    worker_priority.lower(19, "idle")
