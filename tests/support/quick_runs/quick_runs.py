# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spare the runs of the tests much of their time, without any change to what they do: a run uses the payloads of modules that earlier
runs in PAYLOADS have built, with the bytecode of HOST_PYTHON beside each source, collects no garbage, and looks every 5 ms instead of every
1 ms whether a task has ended. A host whose Python has another bytecode compiles the source, as it does without this."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import os
import subprocess
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.executor import module_common
from ansible.plugins.callback import CallbackBase

ADD_BYTECODE = Path(__file__).parents[1] / "add_bytecode.py"


def payloads(folder: Path) -> list[Path]:
    """The payloads in ``folder``, without those that are still being built."""
    return [file for file in folder.iterdir() if not file.name.endswith((".lock", "-part"))]


def share(source: Path, target: Path) -> None:
    """Link each payload in ``source`` into ``target``. A link is whole at once, whatever other runs do."""
    target.mkdir(parents=True, exist_ok=True)
    for file in payloads(source):
        with contextlib.suppress(OSError):  # it is there, or on another disk, and is built then
            os.link(file, target / file.name)


def with_bytecode(payload: bytes) -> bytes:
    """The zip archive ``payload`` with the bytecode of each of its Python files, for HOST_PYTHON."""
    return subprocess.run([os.environ["HOST_PYTHON"], ADD_BYTECODE], input=payload, stdout=subprocess.PIPE, check=True).stdout


def compile_payloads(folder: Path) -> None:
    """Add the bytecode to the payloads in ``folder`` that have none. ansible-core before 2.19 keeps them in another form, which is left."""
    if not hasattr(module_common, "_CachedModule"):
        return
    for file in payloads(folder):
        if file.stat().st_nlink == 1:  # not one of PAYLOADS, which has it
            cached = module_common._CachedModule.load(str(file))
            made = with_bytecode(base64.b64decode(cached.zip_data))
            dataclasses.replace(cached, zip_data=base64.b64encode(made)).dump(str(file))


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible-core has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "quick_runs"

    def __init__(self) -> None:
        super().__init__()
        gc.disable()
        constants.DEFAULT_INTERNAL_POLL_INTERVAL = 0.005
        self._shared = Path(os.environ["PAYLOADS"])
        self._own = Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")
        share(self._shared, self._own)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        compile_payloads(self._own)
        share(self._own, self._shared)
