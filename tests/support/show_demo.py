# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""show_demo.py FOLDER: after `make demo`, tell what happened to the drawn library in FOLDER, where to look and what to try next."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

PLACES = [  # glob, below the folder
    ("the library, now with its hashes, duplicates and errors", "library.json"),
    ("as it was before", "library.json.bak.*Z"),
    ("what the run did, and its report in a few lines", "logs/*.log"),
    ("the report as JSON", "logs/*report*.json"),
    ("what this machine has hashed: a second run takes it from here", "state/*/journal.sqlite"),
    ("which run deployed what", "state/*/run.json"),
    ("who did what when, a line an operation", "logs/*.operations-*.jsonl"),
    ("what was drawn, to compare", "truth.json"),
]

COMMANDS = [
    ("once more: nothing changes", "mobius.dhash.migrate -i inventory/demo"),
    ("what would change, writing nothing", "mobius.dhash.migrate -i inventory/demo --check --diff"),
    ("check it", "mobius.dhash.verify -i inventory/demo"),
    ("the backups", "mobius.dhash.list_backups -i inventory/demo"),
    ("a library of your own", "mobius.dhash.migrate -i localhost, -c local -e dhash_library=PATH"),
]


def main(folder: Path) -> None:
    library = json.loads((folder / "library.json").read_text(encoding="utf-8"))
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    images, duplicates, errors = library["images"], library["dhash_duplicates"], library["dhash_errors"]
    near = sum(variant["near"] for variant in truth["variants"].values())
    hashed = sum("dhash" in image for image in images)
    low_detail = sum("dhash_low_detail" in image for image in images)

    print(f"\n{folder}/library.json: {len(images)} images, {hashed} hashed ({low_detail} too flat to match), {len(errors)} errors, "
          f"{len(duplicates)} duplicates ({near} edited copies were drawn to be found)")
    print("\nErrors")
    for error in errors:
        print(f"  {error['image']:16} {error['kind']:14} {error['error']}")
    print("\nDuplicates by distance in bits: "
          + ", ".join(f"{count} at {distance}" for distance, count in sorted(Counter(d["hammingDistance"] for d in duplicates).items())))
    for record in duplicates[:3]:
        print(f"  {record['duplicate']!r} of {record['original']!r}, distance {record['hammingDistance']}, confidence {record['confidence']}")
    print("\nWhere to look")
    found = [(file, what) for what, pattern in PLACES for file in sorted(folder.glob(pattern))]
    found += [(file, "the report of the last run: open it in a browser") for file in sorted(Path().glob("mobius-dhash-reports/*/index.html"))[-1:]]
    for file, what in found:
        print(f"  {file!s:48} {what}")
    print("\nTo try next")
    for what, command in COMMANDS:
        print(f"  .venv/bin/ansible-playbook {command:72} # {what}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
