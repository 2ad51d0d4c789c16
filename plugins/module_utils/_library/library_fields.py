# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The managed fields of a library: their names and their meaning."""

from __future__ import annotations

from typing import Any

OUR_IMAGE_FIELDS = ("dhash", "dhash_generated_at", "dhash_low_detail")
OUR_FIELDS = ("dhash_migration", "dhash_duplicates", "dhash_errors")
ADDED_BYTES = 200  # at most, about: what one image's hash, its time and its share of the duplicates add to the file


def is_hashed(image: dict[str, Any]) -> bool:
    """Whether ``image`` has a hash."""
    return isinstance(image.get("dhash"), str)


def algorithm(value: dict[str, Any]) -> str:
    """The algorithm of the hashes in the library ``value``, by its migration record; ``pillow`` without one."""
    record = value.get("dhash_migration")
    name = record.get("algorithm") if isinstance(record, dict) else None
    return name if isinstance(name, str) else "pillow"


def threshold(value: dict[str, Any]) -> int:
    """The threshold in bits of the duplicates in the library ``value``, by its migration record; -1 if there are none."""
    record = value.get("dhash_migration")
    bits = record.get("dhash_threshold") if isinstance(record, dict) else None
    return bits if isinstance(bits, int) else -1


def counts(value: dict[str, Any]) -> dict[str, int]:
    """How many ``images``, ``hashed`` images, ``errors`` and ``duplicates`` the library ``value`` records."""
    return counts_of(len(value["images"]), sum(map(is_hashed, value["images"])), value)


def counts_of(images: int, hashed: int, rest: dict[str, Any]) -> dict[str, int]:
    """As :func:`counts`, of a library with so many ``images`` and these other top-level members."""
    errors, duplicates = (rest.get(field) for field in ("dhash_errors", "dhash_duplicates"))
    return {
        "images": images,
        "hashed": hashed,
        "errors": len(errors) if isinstance(errors, list) else 0,
        "duplicates": len(duplicates) if isinstance(duplicates, list) else 0,
    }


def without_our_fields(value: dict[str, Any]) -> dict[str, Any]:
    """The library ``value`` without ``OUR_FIELDS`` and ``OUR_IMAGE_FIELDS``, in order; ``value`` itself is not changed."""
    rest = {key: member for key, member in value.items() if key not in OUR_FIELDS}
    rest["images"] = list(map(without_hash, value["images"]))
    return rest


def without_hash(image: dict[str, Any]) -> dict[str, Any]:
    """``image`` without ``OUR_IMAGE_FIELDS``; ``image`` itself if it has none."""
    if not any(key in image for key in OUR_IMAGE_FIELDS):
        return image
    return {key: field for key, field in image.items() if key not in OUR_IMAGE_FIELDS}
