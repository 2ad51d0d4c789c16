# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arguments that several modules share, and the values that are derived from them."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Collection
from typing import Any

from .._deploy import path_rules, run_record
from .._errors import DhashError, RefusedError, printable
from .._hashing import decoder_limits

LIBRARY = {"library": {"type": "path", "required": True}, "state_dir": {"type": "path"}}
REAL_PATH = {"real_path": {"type": "str"}}
METRICS = {"metrics_dir": {"type": "path"}}
LOCK = {"lock_timeout": {"type": "float", "default": 10}}
LOG = {"log_dir": {"type": "path"}, "origin": {"type": "dict"}}
DECODING = {
    "media_roots": {"type": "list", "elements": "path"},
    "image_timeout": {"type": "int", "default": 30},
    "max_image_bytes": {"type": "int", "default": 1 << 30},
    "max_image_pixels": {"type": "int", "default": 250_000_000},
    "worker_memory": {"type": "int", "default": 2 << 30},
    "worker_user": {"type": "str", "default": "nobody"},
    "require_sandbox": {"type": "bool", "default": False},
    "nice": {"type": "int", "default": 10},
    "io_class": {"type": "str", "choices": ["idle", "best-effort", "none"], "default": "idle"},
    "max_load": {"type": "float"},
    "max_pressure": {"type": "float"},
    "throttle_command": {"type": "str"},
    "pause_file": {"type": "path"},
    "parallel": {"type": "int"},
    "temp_dir": {"type": "path"},
    "interpreter": {"type": "path"},
}
HASHING = {"algorithm": {"type": "str", "choices": ["pillow", "ffmpeg"], "default": "pillow"}, **DECODING}
SERVICE = {
    "service_manager": {"type": "str", "choices": ["none", "systemd", "docker", "pm2", "command"], "default": "none"},
    "service_name": {"type": "str"},
    "service_scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
    "status_command": {"type": "str"},
}
RESTARTED = {name: SERVICE[name] for name in ("service_manager", "service_name")}
JOURNAL = {"ignore_ctime": {"type": "bool", "default": False}, "rehash": {"type": "bool", "default": False}}
BATCHES = {"batch_size": {"type": "int", "default": 100}, **HASHING}


def library_and_state(params: dict[str, Any], check_places: bool = True, reads_only: bool = False, writes: Collection[str] = ()) -> tuple[str, str]:
    """The real path of the library, and its state folder.

    Raises ``RefusedError`` if another state folder has pending work, if a path in ``params`` must not be written to, if one of the
    options ``writes`` names a place that this user cannot write to, or if the library is not the file ``real_path`` in ``params``.
    Only for a module that ``reads_only`` may the library be a file of another library, such as a backup.
    """
    library = run_record.resolve(params["library"])
    if params.get("real_path"):
        _require_same_file(params, library)
    state = run_record.folder(params["state_dir"], library)
    run_record.require_own(library, state)
    if check_places:
        if not reads_only:
            path_rules.require_own_name(library)
        path_rules.require(library, state, params)
        path_rules.require_writable(library, state, params, writes)
    return library, state


def _require_same_file(params: dict[str, Any], library: str) -> None:
    """Raise ``RefusedError`` if the path of the library no longer leads to the file with which the run began."""
    named, before = run_record.named(params["library"]), params["real_path"]
    if library == before:
        return
    try:
        record = run_record.read(run_record.folder(params["state_dir"], before))
    except DhashError:
        record = None
    settle = (f" To keep {printable(library)}, first complete the run on record for the other file: {verify_command(before)}."
              if run_record.is_swapped(record) else "")
    raise RefusedError(
        f"the library is another file now: {printable(library)}, was {printable(before)}", named,
        f"Compare the two files. To go back to the earlier one, move {printable(named)} away and link it again:"
        f" ln -s {printable(shlex.quote(before))} {printable(shlex.quote(named))}.{settle} Then run the playbook again.")


def verify_command(library: str) -> str:
    """The command that completes the run on record for the library at this real path."""
    # Ansible splits the text NAME=VALUE at blanks and quotes.
    value = f"dhash_library={library}" if re.fullmatch(r"[\w./+-]+", library) else json.dumps({"dhash_library": library})
    return f"ansible-playbook mobius.dhash.verify -e {printable(shlex.quote(value))}"


def service(params: dict[str, Any]) -> dict[str, Any] | None:
    """The managed service, in the form of the run record; None if no service is managed."""
    if params["service_manager"] == "none":
        return None
    return {"manager": params["service_manager"], "name": params["service_name"], "library": run_record.named(params["library"])}


def limits(params: dict[str, Any]) -> decoder_limits.Limits:
    """The limits on one image."""
    return decoder_limits.Limits(seconds=params["image_timeout"], file_bytes=params["max_image_bytes"],
                                 pixels=params["max_image_pixels"], memory_bytes=params["worker_memory"],
                                 worker_user=params["worker_user"], require_sandbox=params["require_sandbox"],
                                 nice=params["nice"], io_class=params["io_class"])


def media_roots(params: dict[str, Any], library: str) -> tuple[str, ...]:
    """The real paths of the media roots. Raises ``DhashError`` for one that does not exist."""
    roots = params["media_roots"] or [os.path.dirname(library)]
    for root in roots:
        if not os.path.isdir(root):
            raise DhashError("the media root does not exist or is not a folder", root,
                             "Mount this folder, or correct dhash_media_roots, then run again.")
    return tuple(os.path.realpath(root) for root in roots)


def parallel(params: dict[str, Any]) -> int:
    """The number of workers: the option, or one per core that this process may use."""
    if params["parallel"]:
        return int(params["parallel"])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
