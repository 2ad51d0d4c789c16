# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command, and let something happen to it in the middle.

    during.py [--when COMMAND] [--do COMMAND... | --kill] -- COMMAND [ARGUMENT...]

Starts the command, waits until ``--when`` has ended (it waits for the right moment and exits with 0), then runs each ``--do``, or
kills the command with all that it has started. Prints ``{"code": exit code, "output": what was printed, "meanwhile": what each --do
printed}``.
Fails where the command is over before the moment has come, or what is done meanwhile takes too long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE = 240  # seconds for a moment to come, and for what is done then
LONGEST_RUN = 900  # seconds


def descendants(pid: int) -> list[int]:
    """The process and all that it has started, itself first. Ansible's workers are in process groups of their own."""
    found = [pid]
    for parent in found:
        found += [int(child) for tasks in Path(f"/proc/{parent}/task").glob("*/children") for child in tasks.read_text().split()]
    return found


def kill(running: subprocess.Popen) -> None:
    """End the process and all that it has started."""
    for pid in descendants(running.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def happen(running: subprocess.Popen, when: str, do: list[str]) -> list[str]:
    """Wait for the moment, then do it; returns what each command printed. Without any, all is killed."""
    subprocess.run(shlex.split(when), check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    if running.poll() is not None:
        raise RuntimeError("the command was over before the moment had come")
    if not do:
        kill(running)
    return [subprocess.run(shlex.split(command), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=PATIENCE).stdout for command in do]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--when")
    parser.add_argument("--do", action="append", default=[])
    parser.add_argument("--kill", action="store_true", help="what is done without --do, for those who read the command")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    meanwhile, problem = [], ""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with subprocess.Popen(args.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as running:
            try:
                if args.when:
                    meanwhile = happen(running, args.when, args.do)
                running.wait(timeout=LONGEST_RUN)
            except (RuntimeError, subprocess.SubprocessError) as error:
                problem = str(error)
                kill(running)
        output.seek(0)
        print(json.dumps({"code": running.returncode, "output": output.read(), "meanwhile": meanwhile, "problem": problem}))
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
