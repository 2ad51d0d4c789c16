# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this host gives the golden files the hashes that every host has to give them.

    check.py COLLECTIONS      the folder that holds ansible_collections/mobius/dhash

Needs Pillow and numpy alone. Prints ``N vectors, 0 differ``; exit code 1 where one differs. What this host's Pillow is
too old to read (before 9.2: plain PNM) has no hash at all rather than another one: it is counted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILES = Path(__file__).resolve().parent / "files"
HASHES = FILES.with_name("hashes.json")


def find_collection(folder: str) -> None:
    sys.path.insert(0, folder)


def hash_file(path: Path) -> tuple[str, str]:
    """The horizontal and the vertical hash of a file, in hexadecimal."""
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, image_decoder

    pixels = image_decoder.read_pixels(str(path), "pillow", [str(path.parent)], decoder_limits.Limits())
    assert pixels.decoder == "pillow", f"{path.name} was read by {pixels.decoder}"
    horizontal, vertical, _flat = difference_hash.hash_pixels([pixels])[0]
    return horizontal, vertical


def main() -> int:
    from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError

    expected = json.loads(HASHES.read_text(encoding="utf-8"))
    differing, unreadable = [], []
    for name, hashes in expected.items():
        try:
            found = list(hash_file(FILES / name))
        except ImageError as error:
            if error.kind == "unsupported":
                unreadable.append(name)
                continue
            found = [error.kind]
        if found != hashes:
            differing.append(f"{name}: {' '.join(found)} instead of {' '.join(hashes)}")
    print("\n".join(differing), end="\n" if differing else "")
    if unreadable:
        print(f"not readable by this Pillow: {' '.join(unreadable)}")
    print(f"{len(expected) - len(unreadable)} vectors, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    find_collection(sys.argv[1])
    sys.exit(main())
