# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The marker of pending work beside a library. It warns a user who has another state directory.

The marker names the host and the folder of the run record. It is written before the record says that anything is pending, and
removed after the record says that nothing is pending.
"""

from __future__ import annotations

import os
import pwd
import socket
import time
from typing import Any, NamedTuple

from .._errors import DhashError
from .._files import durable, json_records

TIME = "%Y-%m-%dT%H:%M:%SZ"


class Marker(NamedTuple):
    """The run whose work is pending: its ``user``, and its record in the folder ``state`` of ``host``."""

    host: str
    state: str
    user: str
    run: str
    operation: str
    since: str


def path(library: str) -> str:
    """The path of the marker of the library at the real path ``library``."""
    folder, name = os.path.split(library)
    return os.path.join(folder, f".{name}.mobius-dhash.pending")


def read(library: str) -> Marker | None:
    """The marker of this host; None if there is none. Raises ``DhashError`` if it is unreadable, damaged or of a newer format."""
    marker = json_records.read(path(library), "the marker of pending work", _parse, _what_may_be_pending)
    return marker if marker is not None and marker.host == socket.gethostname() else None


def _read_if_intact(library: str) -> Marker | None:
    try:
        return read(library)
    except DhashError:
        return None


def _parse(value: dict[str, Any]) -> Marker:
    marker = json_records.build(Marker, value)
    json_records.require_paths(marker.state)
    return marker


def _what_may_be_pending(content: bytes) -> str:
    user, operation, state = (json_records.salvage(content, name) for name in ("user", "operation", "state"))
    return (f"Readable in the file: user {user or 'unknown'}, operation {operation or 'unknown'}, record in {state or 'an unknown folder'}."
            " A restart of the service may be pending: restart the service yourself. Then remove this file and run again.")


def mark(library: str, state: str, run: str, operation: str) -> None:
    """Write the marker, durably, unless it exists already. Raises ``DhashError``."""
    if not os.path.isdir(os.path.dirname(library)):
        return  # the file system of the library is not mounted, and the record has to be written all the same
    marker = Marker(socket.gethostname(), state, _user(), run, operation, time.strftime(TIME, time.gmtime()))
    present = _read_if_intact(library)
    if present is None or present._replace(since=marker.since) != marker:
        json_records.write(path(library), marker._asdict(), mode=0o644)


def is_marked(library: str, state: str) -> bool:
    """Whether the marker says that the record in the state folder ``state`` of this host has work pending."""
    present = _read_if_intact(library)
    return present is not None and present.state == state


def clear(library: str, state: str) -> None:
    """Remove the marker, unless another state folder or another host has work pending. Raises ``DhashError``."""
    if is_marked(library, state):
        durable.remove(path(library))


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
