# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The priority of the worker processes, so that the service on the host comes first.

``os`` has no ``ioprio_set``, and neither has glibc. The numbers of the system call are those of the kernel's ``unistd.h`` and
``syscall.tbl``, the classes those of ``include/uapi/linux/ioprio.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "ppc64le": 273, "ppc64": 273, "s390x": 282}  # of 64 bits
_WHO_PROCESS = 1
_CLASS_SHIFT = 13
_CLASSES = {"best-effort": 2 << _CLASS_SHIFT | 7, "idle": 3 << _CLASS_SHIFT}  # 7: the lowest level


def lower(nice: int, io_class: str) -> None:
    """Lower the priority of this process and of the processes that it starts, as far as the system allows it.

    ``nice``: 0 to 19; a process that is nicer already stays so. ``io_class``: ``idle``, ``best-effort``, or ``none`` to leave it.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    number = _IOPRIO_SET.get(os.uname().machine)
    if io_class in _CLASSES and number is not None and sys.platform == "linux" and sys.maxsize > 1 << 32:
        ctypes.CDLL(None).syscall(number, _WHO_PROCESS, 0, _CLASSES[io_class])  # an older kernel, or a filter, refuses it: then it stays
