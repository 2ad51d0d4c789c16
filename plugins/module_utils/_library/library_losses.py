# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would be lost if one library replaced another: images, edits of images, and top-level fields.

The managed fields are left out, because a rollback is supposed to remove them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from .._errors import printable
from . import library_fields, library_removals

MANAGED_FIELDS = ("images", library_removals.FIELD, *library_fields.OUR_FIELDS)
SHOWN_NAMES = 3


class Losses(NamedTuple):
    """``images`` and ``changed`` are the paths of images that the target lacks, or has with other fields.

    ``fields`` are the top-level fields that the target lacks, or has with another value.
    """

    images: list[str]
    changed: list[str]
    fields: list[str]

    def __str__(self) -> str:
        return ", ".join([_shown("images", self.images), _shown("changed images", self.changed),
                          _shown("other fields", self.fields)])


NONE = Losses([], [], [])
UNKNOWN = None  # instead of the losses, if there is no library to compare


def text(losses: Losses | None) -> str:
    """``losses`` in a few words."""
    return "unknown, because the live library cannot be read" if losses is UNKNOWN else str(losses)


def find(live: dict[str, Any], target: dict[str, Any]) -> Losses:
    """What ``live`` has that ``target`` lacks. Images that a review import removed from ``target`` can be restored, so they are not lost."""
    kept = [*target["images"], *(element["entry"] for element in library_removals.logged(target))]
    available = _by_path(kept)
    images, changed = [], []
    for path, entries in _by_path(live["images"]).items():
        ours, theirs = (list(map(library_fields.without_hash, found)) for found in (entries, available.get(path, [])))
        if repr(ours) == repr(theirs):  # nearly always, and many times faster than the forms
            continue
        forms, others = (Counter(map(_form, found)) for found in (ours, theirs))
        missing = sum((forms - others).values())
        replaced = min(missing, sum((others - forms).values()))
        changed += [path] * replaced
        images += [path] * (missing - replaced)
    fields = [key for key, value in live.items()
              if key not in MANAGED_FIELDS and (key not in target or _form(value) != _form(target[key]))]
    return Losses(images, changed, fields)


def _by_path(images: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for image in images:
        found[image["path"]].append(image)
    return found


def _form(value: Any) -> Hashable:
    """A hashable form of a JSON value. Two forms are equal if the values are, regardless of the order of members."""
    if isinstance(value, dict):
        return dict, frozenset((key, _form(member)) for key, member in value.items())
    if isinstance(value, list):
        return list, tuple(map(_form, value))
    return type(value), value


def _shown(what: str, names: list[str]) -> str:
    if not names:
        return f"0 {what}"
    more = ", …" if len(names) > SHOWN_NAMES else ""
    return f"{len(names)} {what} ({', '.join(map(printable, names[:SHOWN_NAMES]))}{more})"
