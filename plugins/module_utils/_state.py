# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host keeps about one library: where its state lies, and the record of its last run.

The record says what still has to happen (a restart owed, a verification) whichever run was killed in between. Beside
it lies a note of the last rehearsal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ansible_collections.mobius.dhash.plugins.module_utils import _durable
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, from_os_error

VERSION = "1.0.0"  # the collection's: galaxy.yml holds the same
PREPARED, ANNOUNCED, DEPLOYING, DEPLOYED, VERIFIED = "prepared", "announced", "deploying", "deployed", "verified"
MIGRATION, RESTORE, REMOVE_DHASH = "migration", "restore", "remove_dhash"
REVIEW_IMPORT, REVIEW_REVERSAL = "review_import", "review_reversal"
REHEARSAL = "rehearsal.json"
TIME = "%Y-%m-%dT%H:%M:%SZ"
SHOWN = ("run", "operation", "phase", "restart_owed", "old_sha256", "new_sha256", "kept")  # in a module's result


class Record(NamedTuple):
    """One run that replaces, or has replaced, the library.

    ``old_sha256`` is the live library that was read, ``new_sha256`` what was made of it at ``output``, ``kept`` where
    the replaced one is kept. ``settings`` is what the operation needs to be brought up to date.
    """

    run: str
    operation: str
    phase: str
    library: str
    output: str
    kept: str
    old_sha256: str
    new_sha256: str
    restart_owed: bool
    settings: dict[str, Any]


def is_in_place(record: Record | None) -> bool:
    """Whether what that run made is the live library, as far as the record knows."""
    return record is not None and record.phase in (DEPLOYED, VERIFIED)


def same_work(one: Record, other: Record) -> bool:
    """Whether both records are of the same new library, made of the same live one."""
    return (one.operation, *one[3:8]) == (other.operation, *other[3:8])


def new_run() -> str:
    """The identifier of a run: UTC time to the second, as in a backup's name, and the process."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"


def resolve(library: str) -> str:
    """The absolute path of the real file behind ``library``."""
    return os.path.realpath(os.path.expanduser(library))


def folder(state_dir: str | None, library: str) -> str:
    """Where the state of the library at the real path ``library`` is kept: a folder of its own in ``state_dir``.

    ``state_dir`` None: ``/var/lib/mobius-dhash`` for root, ``~/.local/state/mobius-dhash`` for others.
    """
    if state_dir is None:
        home = "/var/lib" if os.geteuid() == 0 else os.path.expanduser("~/.local/state")
        state_dir = os.path.join(home, "mobius-dhash")
    readable = re.sub(r"[^A-Za-z0-9]+", "-", os.path.basename(os.path.dirname(library))).strip("-")
    key = hashlib.sha256(os.fsencode(library)).hexdigest()[:12]
    return os.path.join(os.path.abspath(os.path.expanduser(state_dir)), f"{readable or 'library'}-{key}")


def read(state: str) -> Record | None:
    """The record in the state folder ``state``, None where there is none. Raises ``DhashError`` on a damaged one."""
    path = os.path.join(state, "run.json")
    try:
        with open(path, encoding="utf-8") as file:
            return Record(**json.load(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "read the record of the last run", path) from error
    except (ValueError, TypeError) as error:
        raise DhashError("the record of the last run is damaged", path,
                         "Check the library and its service, move this file away, then run again.") from error


def write(state: str, record: Record) -> None:
    """Replace the record in the state folder ``state``, durably. Raises ``DhashError``."""
    _durable.make_folder(state)
    _durable.write(os.path.join(state, "run.json"), [(json.dumps(record._asdict(), indent=2) + "\n").encode()])


def note_rehearsal(state: str, result: dict[str, Any]) -> None:
    """Note that a rehearsal passed, durably. Raises ``DhashError``."""
    _durable.write(os.path.join(state, REHEARSAL), [(json.dumps(result, indent=2) + "\n").encode()])


def last_rehearsal(state: str) -> datetime | None:
    """When a rehearsal passed last; None where none did, or its note cannot be read."""
    with contextlib.suppress(DhashError, ValueError, TypeError, KeyError):
        note = json.loads(_durable.read(os.path.join(state, REHEARSAL)))
        return datetime.strptime(note["rehearsed_at"], TIME).replace(tzinfo=timezone.utc)
    return None
