# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a function in a forked process under strace: which calls it makes, and what becomes of it when one of them fails.

strace delivers the signal of ``inject=...:signal=`` on entry to the call, and a fatal one ends the process before the
call is made. So a kill at a call shows the state after the call before it. It counts calls by their name, from the
moment on at which it holds the process.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import select
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

STRACE = "strace"
TRACED = "%file,%desc,clone,clone3,fork,vfork"
LINE = re.compile(r"(\w+)\((.*)\) += (.*)")
WORKING_FOLDER = re.compile(r"AT_FDCWD<[^>]*>, ")
PATH = re.compile(r'[<"](/[^>"]*)')
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, -1  # linux/prctl.h: needed where only parents may trace
LIBC = ctypes.CDLL(None)
PATIENCE = 60  # seconds


class Call(NamedTuple):
    """A system call: ``ordinal`` among those of its name, from 1; arguments and result as strace prints them."""

    name: str
    ordinal: int
    arguments: str
    result: str

    @property
    def path(self) -> str | None:
        """The first file that it names, by its path or by a descriptor."""
        match = PATH.search(self.arguments)
        return match and match[1]

    @property
    def succeeded(self) -> bool:
        return not self.result.startswith(("-1 ", "?"))


class Ended(NamedTuple):
    """How the process ended: its wait status, what the function told last, and the calls that it made."""

    status: int
    told: str
    calls: list[Call]

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status)


def run(function: Callable[[], str], log: Path, *inject: str, before: Callable[[], None] = lambda: None, traced: str = TRACED) -> Ended:
    """Run ``function`` in a process of its own under strace; ``before`` is called when strace holds it, before it begins.

    ``traced`` are the calls that are told, in strace's words: the fewer, the quicker.
    ``function`` returns what it tells; an exception is told as its traceback.
    """
    go_read, go_write = os.pipe()
    ready_read, ready_write = os.pipe()
    told_read, told_write = os.pipe()
    waiting = select.poll()
    waiting.register(go_read, select.POLLIN)
    process = os.fork()
    if process == 0:
        gc.disable()  # it closes files at a moment that depends on what happened before
        LIBC.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
        # Nothing that strace counts may happen here between this write and the moment at which it has attached.
        os.write(ready_write, b"ready")
        waiting.poll(1000 * PATIENCE)
        _run_here(function, told_write)
    os.close(told_write)
    os.read(ready_read, 5)
    command = [STRACE, "-p", str(process), "-o", str(log), "-y", "-s", "256", "-e", f"trace={traced}",
               *(option for expression in inject for option in ("-e", f"inject={expression}"))]
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            first = strace.stderr.readline()
            if "attached" in first:
                before()
            os.write(go_write, b"go")
            with open(told_read, encoding="utf-8") as told:
                text = told.read()
            if "attached" not in first:
                raise RuntimeError(f"{first}{strace.stderr.read()}")
    finally:
        status = os.waitpid(process, 0)[1]
        for descriptor in (go_read, go_write, ready_read, ready_write):
            os.close(descriptor)
    return Ended(status, text, read(log))


def _run_here(function: Callable[[], str], told: int) -> None:
    try:
        text = function()
    except BaseException:
        text = traceback.format_exc()
    os.write(told, text.encode())
    os._exit(0)


def read(log: Path) -> list[Call]:
    """The calls in what strace wrote."""
    counts: Counter[str] = Counter()
    calls = []
    for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        match = LINE.fullmatch(WORKING_FOLDER.sub("", line))
        if match:
            counts[match[1]] += 1
            calls.append(Call(match[1], counts[match[1]], match[2], match[3]))
        elif not line.startswith(("---", "+++")):
            raise ValueError(f"not understood: {line}")
    return calls
