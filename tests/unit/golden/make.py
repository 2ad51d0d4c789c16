# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the golden files that are missing, and the hashes of all.

    make.py COLLECTIONS       the folder that holds ansible_collections/mobius/dhash

A file that is there is never made anew: encoders differ between versions, and what is tested is that the same file has
the same hash. A hash that changes is a broken promise to every library that has been migrated: look twice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import check  # type: ignore[import-not-found] # noqa: E402 # it is in HERE
import pictures  # noqa: E402


def main() -> None:
    for name, vector in pictures.vectors().items():
        if not (check.FILES / name).exists():
            check.FILES.mkdir(exist_ok=True)
            (check.FILES / name).write_bytes(vector.content)
    hashes = {path.name: list(check.hash_file(path)) for path in sorted(check.FILES.iterdir())}
    check.HASHES.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
    print(f"{len(hashes)} vectors")


if __name__ == "__main__":
    check.find_collection(sys.argv[1])
    main()
