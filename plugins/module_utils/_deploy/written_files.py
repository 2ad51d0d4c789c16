# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that this collection has written for a library: only these are overwritten or removed.

``written.json`` in the state folder has the SHA-256 of each. It is written before the file is put in place, so that what
a killed run leaves is recognised. A record of a run tells the same of the files that it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from .._errors import DhashError, ForeignFileError, printable
from .._files import durable, json_records
from . import run_record

FILE = "written.json"


def is_ours(state: str, path: str) -> bool:
    """Whether the file at ``path`` is one that was written there for the library. Raises ``DhashError``."""
    known = _known(state, path)
    return bool(known) and durable.exists(path) and not os.path.isdir(path) and durable.sha256_of_file(path) in known


def is_foreign(state: str, path: str) -> bool:
    """Whether there is a file or a folder at ``path`` that was not written there for the library. Raises ``DhashError``."""
    return durable.exists(path) and not is_ours(state, path)


def note(state: str, path: str, digest: str) -> None:
    """Note that a file with this SHA-256 is about to be put at ``path``, durably. Raises ``DhashError``."""
    files = _read(state)
    present = [durable.sha256_of_file(path)] if durable.exists(path) else []
    digests = [*(known for known in present if known in _known(state, path) and known != digest), digest]
    if files.get(path) != digests:
        _write(state, {**files, path: digests})


def forget(state: str, path: str) -> None:
    """Remove what is noted of ``path``, where there is no file any more. Raises ``DhashError``."""
    files = _read(state)
    if files.pop(path, None) is not None:
        _write(state, files)


def write(state: str, path: str, chunks: Iterable[bytes], **options: Any) -> str:
    """As :func:`durable.write`, noted before. Call :func:`require_ours` or :func:`set_aside` first."""
    return durable.write(path, chunks, before=lambda digest: note(state, path, digest), **options)


def copy(state: str, source: str, path: str, **options: Any) -> str:
    """As :func:`durable.copy`, noted before. Call :func:`require_ours` first."""
    return durable.copy(source, path, before=lambda digest: note(state, path, digest), **options)


def is_left(state: str, path: str) -> bool:
    """Whether :func:`remove` has a file to remove there, or a note to forget. Raises ``DhashError``."""
    return is_ours(state, path) if durable.exists(path) else path in _read(state)


def remove(state: str, path: str) -> bool:
    """Remove the file at ``path`` if it is ours; whether it was removed. Raises ``DhashError``."""
    if is_foreign(state, path):
        return False
    removed = durable.remove(path)
    forget(state, path)  # also where a run was killed in between
    return removed


def require_ours(state: str, path: str, variable: str | None = None) -> None:
    """Raise ``ForeignFileError`` if the file at ``path`` is somebody else's. ``variable`` is the one that names it, if any."""
    if os.path.isdir(path):
        raise ForeignFileError("a folder is in the way of a file that is written here", path, _advice(path, variable))
    if is_foreign(state, path):
        raise ForeignFileError(f"this file was not written by this collection, so it was neither overwritten nor removed;"
                               f" {_guess(path)}", path, _advice(path, variable))


def set_aside(state: str, path: str) -> str | None:
    """Rename a file at ``path`` that is somebody else's; its new path, None if there is none. Raises ``DhashError``."""
    if not is_foreign(state, path):
        return None
    kept = durable.free_name(f"{path}.set-aside-")
    durable.move(path, kept)
    return kept


def counts(path: str) -> dict[str, int] | None:
    """The number of images, and of those with a hash, in the library that the file at ``path`` holds; None if it holds none.

    A library need not be valid for that: it may be somebody's live one all the same.
    """
    try:
        images = json.loads(durable.read(path))["images"]
        return {"images": len(images), "hashed": sum("dhash" in image for image in images)} if isinstance(images, list) else None
    except (DhashError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _guess(path: str) -> str:
    """What the file probably is."""
    found = counts(path)
    if found is None:
        return "it holds no library"
    content = f"it holds a library with {found['images']} images, {found['hashed']} of them with a hash"
    if os.path.exists(f"{path}.lock"):
        return f"{content}, and the lock beside it says that this collection is used on it: it is probably a live library"
    if path.endswith(".pre-dhash"):
        return (f"{content}: it is probably the library that a deploy by the manual runbook has replaced, or a program that"
                " kept the replaced library open has written to it")
    if found["hashed"]:
        return f"{content}: it is probably what the manual runbook's migrate:dhash has written, or a live library"
    return f"{content}: it may be a live library"


def _advice(path: str, variable: str | None) -> str:
    name = printable(path)
    advice = f"If it is not needed here, move it away (mv '{name}' '{name}.old')"
    return f"{advice}, or name another file in {variable}; then run again." if variable else f"{advice}, then run again."


def _known(state: str, path: str) -> list[str]:
    """The digests of what was written to ``path``, by the note and by the record of the last run."""
    record = run_record.read(state)
    of_record = [] if record is None else [
        digest for place, digest in ((record.output, record.new_sha256), (record.kept, record.old_sha256)) if place == path]
    return [*_read(state).get(path, []), *of_record]


def _read(state: str) -> dict[str, list[str]]:
    path = os.path.join(state, FILE)
    return json_records.read(path, "the note of the files that were written", _parse, lambda _content: (
        "Move this file away, then run again: files of earlier runs are then taken for somebody else's.")) or {}


def _parse(value: dict[str, Any]) -> dict[str, list[str]]:
    files = value.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(digests, list) for digests in files.values()):
        raise ValueError("its files have a wrong type")
    return files


def _write(state: str, files: dict[str, list[str]]) -> None:
    durable.make_folder(state)
    json_records.write(os.path.join(state, FILE), {"files": files})
