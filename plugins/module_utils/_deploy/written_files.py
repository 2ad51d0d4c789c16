# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that this collection has written for a library. Only these files are overwritten or removed.

``written.json`` in the state folder has the SHA-256 of each. It is written before the file gets its name, so the files of a
killed run are recognised. The run record has the same for the files that it names.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any

from .._errors import DhashError, ForeignFileError, printable
from .._files import bounded_reads, durable, json_records
from .._library import library_file
from . import run_record

FILE = "written.json"


def is_ours(state: str, path: str) -> bool:
    """Whether the collection has written the file at ``path`` for the library. Raises ``DhashError``."""
    known = _known(state, path)
    return bool(known) and durable.is_file(path) and durable.sha256_of_file(path) in known


def is_foreign(state: str, path: str) -> bool:
    """Whether ``path`` exists and the collection has not written it for the library. Raises ``DhashError``."""
    return durable.exists(path) and not is_ours(state, path)


def note(state: str, path: str, digest: str) -> None:
    """Record, durably, that a file with the SHA-256 ``digest`` is about to be written to ``path``. Raises ``DhashError``."""
    files = _read(state)
    present = [durable.sha256_of_file(path)] if durable.exists(path) else []
    digests = [*(known for known in present if known in _known(state, path) and known != digest), digest]
    if files.get(path) != digests:
        _write(state, {**files, path: digests})


def forget(state: str, path: str) -> None:
    """Remove the entry of ``path``, which no longer exists. Raises ``DhashError``."""
    files = _read(state)
    if files.pop(path, None) is not None:
        _write(state, files)


def write(state: str, path: str, chunks: Iterable[bytes], **options: Any) -> str:
    """As :func:`durable.write`, with a :func:`note` before. Call :func:`require_ours` or :func:`set_aside` first."""
    return durable.write(path, chunks, before=lambda digest: note(state, path, digest), **options)


def copy(state: str, source: str, path: str, **options: Any) -> str:
    """As :func:`durable.copy`, with a :func:`note` before. Call :func:`require_ours` first."""
    return durable.copy(source, path, before=lambda digest: note(state, path, digest), **options)


def is_left(state: str, path: str) -> bool:
    """Whether :func:`remove` has a file to remove at ``path``, or an entry to forget. Raises ``DhashError``."""
    return is_ours(state, path) if durable.exists(path) else path in _read(state)


def remove(state: str, path: str) -> bool:
    """Remove the file at ``path`` if the collection has written it; returns whether it was removed. Raises ``DhashError``."""
    if is_foreign(state, path):
        return False
    removed = durable.remove(path)
    forget(state, path)  # also if an earlier run was killed before this line
    return removed


def require_ours(state: str, path: str, variable: str | None = None) -> None:
    """Raise ``ForeignFileError`` if ``path`` exists and the collection has not written it. ``variable`` names the path, if any."""
    if os.path.isdir(path):
        raise ForeignFileError("a folder is at the path of a file that this collection writes", path, _advice(path, variable))
    if is_foreign(state, path):
        raise ForeignFileError(f"this file was not written by this collection, so it was neither overwritten nor removed;"
                               f" {_guess(path)}", path, _advice(path, variable))


def set_aside(state: str, path: str) -> str | None:
    """Rename a file at ``path`` that the collection has not written; its new path, None if there is none. Raises ``DhashError``."""
    if not is_foreign(state, path):
        return None
    kept = durable.free_name(f"{path}.set-aside-")
    durable.move(path, kept)
    return kept


def counts(path: str) -> dict[str, int] | None:
    """The number of images, and of those with a hash, in the library in the file ``path``; None if the file is not a library.

    An invalid library counts as well, because it may be a live one.
    """
    try:
        images = bounded_reads.read_json(path, library_file.MAX_BYTES)["images"]
        return {"images": len(images), "hashed": sum("dhash" in image for image in images)} if isinstance(images, list) else None
    except (DhashError, ValueError, TypeError, KeyError):
        return None


def _guess(path: str) -> str:
    """A description of the file, with a guess at what it is."""
    found = counts(path)
    if found is None:
        return "the file is not a library"
    content = f"the file is a library with {found['images']} images, {found['hashed']} of them with a hash"
    if os.path.exists(f"{path}.lock"):
        return f"{content}, and the lock file beside it shows that this collection is used on it: probably a live library"
    if path.endswith(".pre-dhash"):
        return (f"{content}: probably the library that the manual runbook replaced, or a replaced library that a program kept open and"
                " has written to")
    if found["hashed"]:
        return f"{content}: probably the output of the manual runbook's migrate:dhash, or a live library"
    return f"{content}: possibly a live library"


def move_command(path: str) -> str:
    """The command that moves ``path`` away, to a name that nothing has yet."""
    free = next(name for name in (f"{path}.old{number or ''}" for number in itertools.count()) if not os.path.lexists(name))
    old, new = ("'{}'".format(printable(name).replace("'", "'\"'\"'")) for name in (path, free))
    return f"mv {old} {new}"


def _advice(path: str, variable: str | None) -> str:
    advice = f"If the file is not needed here, move it away ({move_command(path)})"
    return f"{advice}, or set {variable} to another file. Then run again." if variable else f"{advice}, then run again."


def _known(state: str, path: str) -> list[str]:
    """The SHA-256 of the files that were written to ``path``, by ``written.json`` and by the run record."""
    record = run_record.read(state)
    of_record = [] if record is None else [
        digest for place, digest in ((record.output, record.new_sha256), (record.kept, record.old_sha256)) if place == path]
    return [*_read(state).get(path, []), *of_record]


def _read(state: str) -> dict[str, list[str]]:
    path = os.path.join(state, FILE)
    return json_records.read(path, "the list of written files", _parse, lambda _content: (
        "Move this file away, then run again. The collection then treats files of earlier runs as files that it did not write.")) or {}


def _parse(value: dict[str, Any]) -> dict[str, list[str]]:
    files = value.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(digests, list) for digests in files.values()):
        raise ValueError("the files have a wrong type")
    return files


def _write(state: str, files: dict[str, list[str]]) -> None:
    durable.make_folder(state)
    json_records.write(os.path.join(state, FILE), {"files": files})
