# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State files: JSON objects with a format version that are read by field name, so that they survive an upgrade.

Unknown fields are ignored, and missing fields get their default. Only a newer format is refused. A file without a
format was written before there was one.
"""

from __future__ import annotations

import errno
import json
import math
import os
import pwd
import re
import stat
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from .._errors import NEXT_STEPS, BoundsError, DhashError, RefusedError, from_os_error, printable
from . import bounded_reads, durable

FORMAT = 1
MAX_BYTES = 4 << 20  # a state file has some kilobytes
MAX_BYTES_OF_LISTS = 256 << 20  # the state of a review has 300 for each preview
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "float": (int, float), "dict": (dict,), "list": (list,),
    "tuple": (list, tuple),
}

Kind = TypeVar("Kind", bound=NamedTuple)
Value = TypeVar("Value")


def read(path: str, what: str, parse: Callable[[dict[str, Any]], Value], advice: Callable[[bytes], str]) -> Value | None:
    """The result of ``parse`` for the object in the state file at ``path``; None if there is no such file. ``what`` names it in messages.

    ``parse`` raises ValueError, TypeError or OverflowError for an object that it cannot use; ``advice`` makes the next step for the
    operator from the bytes of a damaged file. Raises ``DhashError``, for a newer format ``RefusedError``.
    """
    content = b""
    try:
        with bounded_reads.open_file(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DhashError(f"{what} has more than {MAX_BYTES} bytes", path, advice(content))
        value = bounded_reads.parse_json(content)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        require_known_format(value, path, what)
        return parse(value)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise DhashError(f"could not read {what}: {error.strerror}", path, _other_user(path)) from error
    except (IsADirectoryError, BoundsError) as error:
        raise DhashError(f"{what} is not a regular file", path, advice(content)) from error
    except OSError as error:
        raise from_os_error(error, f"read {what}", path) from error
    except (ValueError, TypeError, OverflowError) as error:
        raise DhashError(f"{what} is damaged", path, advice(content)) from error


def _other_user(path: str) -> str:
    """The next step for a state file that this user is not permitted to read: whose it is, and who can read it."""
    while path != os.path.dirname(path):
        try:
            status = os.stat(path)
        except OSError:
            path = os.path.dirname(path)
            continue
        try:
            owner = pwd.getpwuid(status.st_uid).pw_name
        except KeyError:
            owner = str(status.st_uid)
        return (f"{printable(path)} belongs to {owner} (mode {stat.S_IMODE(status.st_mode):04o}), and until it can be read, it is unknown whether a restart"
                f" of the service is pending. Run as {owner} or as root (become). Do not remove the file.")
    return NEXT_STEPS[errno.EACCES]


def write(path: str, value: dict[str, Any], mode: int = 0o600) -> None:
    """Replace the state file at ``path``, durably. Raises ``DhashError``."""
    durable.write(path, [text(value)], mode=mode, owner_of=os.path.dirname(path))


def text(value: dict[str, Any]) -> bytes:
    """The content of a state file."""
    return (json.dumps({"format": FORMAT, **value}, indent=2) + "\n").encode()


def require_known_format(value: dict[str, Any], path: str, what: str) -> None:
    """Raise ``RefusedError`` if a newer version of the collection has written ``value``, ValueError for a wrong format."""
    number = value.get("format", FORMAT)
    if not isinstance(number, int) or number < 1:
        raise ValueError("the format is not a number")
    if number > FORMAT:
        raise RefusedError(f"{what} was written by a newer mobius.dhash (format {number})", path,
                           "Use that version of the collection, or a later one, for this host.")


def build(kind: type[Kind], value: dict[str, Any] | list[Any]) -> Kind:
    """A ``kind`` of the fields in ``value``: an object, or a list in the order of the fields, as was written before.

    Raises ValueError or TypeError for a field that is missing and has no default, and for a field of a wrong type or a number that is
    not finite.
    """
    if isinstance(value, list):
        value = dict(zip(kind._fields, value))
    make: Callable[..., Kind] = kind
    known = {name: value[name] for name in kind._fields if name in value}
    for name, content in known.items():
        annotation = kind.__annotations__[name].__forward_arg__
        base = re.split(r"\W", annotation, maxsplit=1)[0]
        if content is None and annotation.endswith("| None"):
            continue
        if base in TYPES and (not isinstance(content, TYPES[base]) or isinstance(content, bool) is not (base == "bool")):
            raise ValueError(f"the field {name} has a wrong type")
        if isinstance(content, float) and not math.isfinite(content):
            raise ValueError(f"the field {name} is not a finite number")
    return make(**known)


def require_paths(*texts: str) -> None:
    """Raise ValueError unless each of ``texts`` can be a path."""
    if any(b"\0" in os.fsencode(text) for text in texts):
        raise ValueError("a path has a NUL character")


def salvage(content: bytes, field: str) -> str | None:
    """The text, true or false that a damaged state file still gives for ``field``, None if it gives nothing."""
    found = re.search(rb'"%s":\s*(?:"([^"\\]*)"|(true|false))' % field.encode(), content)
    return (found and (found[1] or found[2] or b"").decode("utf-8", "replace")) or None
