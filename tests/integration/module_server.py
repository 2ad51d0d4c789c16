# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules of the collection, each in a process of its own, which is forked from one that has imported what modules import.

A request is a line of JSON on standard input, with the name of a module, its arguments and its environment. The answer is a line with what
the module wrote to its standard output and standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NoReturn

MODULES = "ansible_collections.mobius.dhash.plugins.modules"


class ModuleServer:
    """A process of this file. It ends with the process that has started it."""

    def __init__(self, python: str, collections: Path, environment: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            [python, __file__, str(collections)], cwd=collections, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name: str, arguments: dict[str, Any], environment: dict[str, str]) -> tuple[str, str]:
        """Run the module ``name``; what it wrote to its standard output and standard error."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with self._lock:
            stdin.write(json.dumps([name, arguments, environment]) + "\n")
            stdin.flush()
            output, errors = json.loads(stdout.readline())
        return output, errors


def serve(collections: str) -> None:
    sys.path[0] = collections
    for file in Path(collections, *MODULES.split(".")).glob("[!_]*.py"):
        importlib.import_module(f"{MODULES}.{file.stem}")
        del sys.modules[f"{MODULES}.{file.stem}"]  # it is run, not imported
    for package in ("numpy", "PIL.Image"):
        importlib.import_module(package)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            module, arguments, environment = json.loads(line)
            given.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
            given.seek(0)
            process = os.fork()
            if process == 0:
                for number, stream in enumerate((given, output, errors)):
                    os.dup2(stream.fileno(), number)
                run(module, environment)
            os.waitpid(process, 0)
            for stream in (output, errors):
                stream.seek(0)
            answers.write(json.dumps([output.read().decode(), errors.read().decode()]) + "\n")
            answers.flush()


def run(name: str, environment: dict[str, str]) -> NoReturn:
    """Run the module as ``python -m`` does, and end this process."""
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = os.fdopen(0, closefd=False)
    code = 1
    try:
        runpy.run_module(f"{MODULES}.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv.pop())  # a module would take it for its arguments
