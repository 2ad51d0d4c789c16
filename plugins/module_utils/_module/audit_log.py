# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit log: who did what to which library, from where, and with which result.

One JSON line (https://jsonlines.org) in ``<library>.operations-YYYYMM.jsonl`` and one line to journald or syslog, for each operation
that changed something or failed. An operation that had nothing to do adds no line. A line is appended in a single write to a file
opened with O_APPEND, which is atomic on a local file system of Linux. The file is not synced: a loss of power may cost the last
lines, never the library.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.parameters import remove_values

from .._deploy import path_rules, run_record
from .._errors import DhashError, RefusedError, from_os_error, printable
from .._files import durable, locking
from . import number_ranges

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OK, FAILED, REFUSED = "ok", "failed", "refused"
MOST_CHARACTERS = 2000  # of one text, to bound the length of a line
MOST_DETAILS = 50
NO_LOGIN = 2**32 - 1  # the login UID of a process without a login: linux/audit.h, AUDIT_UID_UNSET
MOST_ANCESTORS = 32
SECONDS_FOR_OTHER_WRITERS = 1
OURS = re.compile(r"(?:migration|test-migration|dry-run|rollback|monitor|review-import|review-reversal)-\d{8}-\d{6}\.log"
                  r"|operations-\d{6}\.jsonl|(?:test-)?migration-report(?:\.json|\.(?:missing|duplicates|errors)\.jsonl)")


@dataclass
class Done:
    """The result of an operation, filled in by the module that carries it out.

    ``before`` is the SHA-256 of the library that was read, ``after`` that of the library that was made from it.
    """

    changed: bool = False
    run: str | None = None
    before: str | None = None
    after: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def recorded(module: AnsibleModule, operation: str, log: bool = True) -> Iterator[Done]:
    """A context that logs the operation in it. Logs nothing in check mode, and nothing if not ``log``.

    The module needs the arguments ``module_arguments.LIBRARY`` and ``module_arguments.LOG``. Options out of range are refused. If the
    log cannot be written, the module warns, and the operation is not affected. Exceptions of the context are raised again.
    """
    done = Done()
    started = time.monotonic()
    quiet = module.check_mode or not log
    try:
        number_ranges.require(module.params)
        yield done
    except Exception as error:
        if not quiet:
            text = str(error) if isinstance(error, DhashError) else f"{type(error).__name__}: {error}"
            done.before = done.before or _digest_now(module)
            _record(module, operation, done, started, REFUSED if isinstance(error, RefusedError) else FAILED, text)
        raise
    if done.changed and not quiet:
        _record(module, operation, done, started, OK, None)


def path_of(log_dir: str, library: str) -> str:
    """The path of the audit log of this month for the library at the real path ``library``."""
    return os.path.join(log_dir, f"{os.path.basename(library)}.operations-{time.strftime('%Y%m', time.gmtime())}.jsonl")


def prune(log_dir: str | None, library: str, days: int) -> list[str]:
    """Remove the logs and reports of ``library`` in ``log_dir`` that are older than ``days``, if possible; returns their names.

    0 keeps all. Only regular files with exactly the names of the collection, and nothing in a subfolder. Call it with the lock held.
    """
    if not log_dir or days <= 0:
        return []
    removed = []
    oldest = time.time() - days * 86400
    prefix = f"{os.path.basename(library)}."
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(log_dir)):
            path = os.path.join(log_dir, name)
            if not name.startswith(prefix) or OURS.fullmatch(name[len(prefix):]) is None:
                continue
            with contextlib.suppress(OSError, DhashError):
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < oldest and durable.remove(path):
                    removed.append(name)
    return removed


def append(log_dir: str, library: str, entry: dict[str, Any]) -> None:
    """Add ``entry`` as one line to this month's log in ``log_dir``, owned as the library is. Raises ``DhashError``."""
    durable.make_folder(log_dir, 0o750, library if os.path.exists(library) else None)
    path = path_of(log_dir, library)
    line = (json.dumps(entry) + "\n").encode()
    try:
        # Without O_NONBLOCK a pipe of that name would block the operation.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DhashError("not a regular file", path, "Move this path away.")
            with contextlib.suppress(OSError):  # without a lock if another writer hangs, or the file system does not support locks
                locking.flock_within(descriptor, SECONDS_FOR_OTHER_WRITERS)
            size = os.fstat(descriptor).st_size
            if size == 0:
                with contextlib.suppress(OSError):
                    owner = os.stat(library)
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            elif os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # an entry that a full disk has cut off stays on a line of its own
            if os.write(descriptor, line) != len(line):
                raise DhashError("the disk is full", path, "Free space on this file system.")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise from_os_error(error, "write the audit log", path) from error


def _record(module: AnsibleModule, operation: str, done: Done, started: float, result: str, error: str | None) -> None:
    library = run_record.resolve(module.params["library"])
    entry = {
        "time": time.strftime(run_record.TIME, time.gmtime()), "operation": operation, "result": result,
        "library": _plain(library), "run": done.run, "changed": done.changed, "before": done.before, "after": done.after,
        "error": error and _plain(remove_values(error, module.no_log_values)), "seconds": round(time.monotonic() - started, 3),
        "user": _user(), "login": _login(), "from": _client(), "controller": _texts(module.params["origin"] or {}),
        "host": socket.gethostname(), "process": os.getpid(), "version": run_record.VERSION, "details": _texts(done.details)}
    module.log(_short(entry))
    if module.params["log_dir"] is None:
        return
    try:
        path_rules.require(library, run_record.folder(module.params.get("state_dir"), library), {"log_dir": module.params["log_dir"]})
        append(os.path.join(os.path.dirname(library), module.params["log_dir"]), library, entry)
    except DhashError as problem:
        module.warn(f"The audit log lacks the entry of this operation ({operation}, {result}): {problem}")


def _short(entry: dict[str, Any]) -> str:
    """The line for syslog."""
    origin = entry["controller"]
    by = "@".join(filter(None, [origin.get("user"), origin.get("host")])) or entry["login"] or entry["user"]
    text = (f"mobius.dhash {entry['operation']} {entry['result']}: {entry['library']} sha256 {entry['before'] or '-'} ->"
            f" {entry['after'] or '-'} run {entry['run'] or '-'} by {by}" + (f" from {entry['from']}" if entry["from"] else ""))
    return text + (f": {entry['error']}" if entry["error"] else "")


def _digest_now(module: AnsibleModule) -> str | None:
    with contextlib.suppress(DhashError):
        return durable.sha256_of_file(run_record.resolve(module.params["library"]))
    return None


def _plain(text: str) -> str:
    return printable(text)[:MOST_CHARACTERS]


def _texts(values: dict[Any, Any]) -> dict[str, Any]:
    """At most MOST_DETAILS of ``values``, as texts, numbers and lists of texts."""
    return {_plain(str(key)): value if value is None or isinstance(value, (bool, int, float))
            else [_plain(str(item)) for item in value[:MOST_DETAILS]] if isinstance(value, list) else _plain(str(value))
            for key, value in list(values.items())[:MOST_DETAILS]}


def _user() -> str:
    return _name_of(os.geteuid())


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _login() -> str | None:
    """The user who logged in, also after sudo: by the kernel, otherwise by the environment of sudo or of the login."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/loginuid", encoding="ascii") as file:
        user = int(file.read())
        if user != NO_LOGIN:
            return _name_of(user)
    names = (os.environ.get(name) for name in ("SUDO_USER", "DOAS_USER", "LOGNAME", "USER"))
    return next((printable(name) for name in names if name), None)


def _client() -> str | None:
    """The address of the ssh client. sudo removes the variable, so the environment of the parent processes is searched as well."""
    connection = os.environ.get("SSH_CONNECTION", "")
    process = os.getppid()
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ancestor in range(MOST_ANCESTORS):
            if connection or process <= 1:
                break
            with open(f"/proc/{process}/environ", "rb") as file:
                connection = next((os.fsdecode(entry)[len("SSH_CONNECTION="):] for entry in file.read().split(b"\0")
                                   if entry.startswith(b"SSH_CONNECTION=")), "")
            with open(f"/proc/{process}/stat", "rb") as file:
                process = int(file.read().rpartition(b")")[2].split()[1])  # proc(5): state, then the parent
    return printable(connection.split(" ")[0])[:MOST_CHARACTERS] or None
