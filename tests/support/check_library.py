# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold a migrated library against the one before and against what draw_library.py says is in it.

    check_library.py MIGRATED BEFORE TRUTH

Prints what is wrong, a line each, and exits with 1; prints the counts and exits with 0 where nothing is. Shares no code with the
collection.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

OUR_FIELDS = {"dhash_migration", "dhash_duplicates", "dhash_errors"}
OUR_IMAGE_FIELDS = {"dhash", "dhash_generated_at", "dhash_low_detail"}


def read(file: str | Path) -> dict[str, Any]:
    library: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    return library


def foreign(file: str | Path) -> str:
    """What a library holds besides our fields, in order, every number as it is written."""
    def number(literal: str) -> list[str]:
        return ["number", literal]

    library = json.loads(Path(file).read_text(encoding="utf-8"), parse_int=number, parse_float=number)
    for field in OUR_FIELDS:
        library.pop(field, None)
    for image in library["images"]:
        for field in OUR_IMAGE_FIELDS:
            image.pop(field, None)
    return json.dumps(library, indent=2)


def problems(migrated: str | Path, before: str | Path, truth: dict[str, Any]) -> list[str]:
    """What is not as it should be, in words; an empty list where all is well."""
    library = read(migrated)
    images = {image["filename"]: image for image in library["images"]}
    found = []
    if foreign(migrated) != foreign(before):
        found.append("something that is not ours has changed")

    errors = {error["image"]: error["kind"] for error in library["dhash_errors"]}
    expected = {name: record["kind"] for name, record in truth["broken"].items()}
    if errors != expected:
        found.append(f"dhash_errors has {errors}, expected {expected}")
    hashed = {name for name, image in images.items() if re.fullmatch("[0-9A-F]{16}", str(image.get("dhash")))}
    if hashed != images.keys() - expected.keys():
        found.append(f"wrongly hashed or left out: {sorted(hashed ^ (images.keys() - expected.keys()))}")

    def family(name: str) -> str:
        variant = truth["variants"].get(name)
        return variant["of"] if variant and variant["near"] else name

    position = {name: number for number, name in enumerate(images)}
    earliest: dict[str, str] = {}
    for name in sorted(set(truth["originals"]) | set(truth["variants"]), key=position.__getitem__):
        earliest.setdefault(family(name), name)
    later = {name for name in images if family(name) in earliest and name != earliest[family(name)]}
    pairs = {(record["duplicate"], record["original"]) for record in library["dhash_duplicates"]}
    pairs -= {pair for pair in pairs if set(pair) <= set(truth["flat"])}  # one flat picture is like another
    if {duplicate for duplicate, _original in pairs} != later:
        found.append(f"duplicates wrongly told or left out: {sorted({pair[0] for pair in pairs} ^ later)}")
    found += [f"told to be a duplicate of another picture: {pair}" for pair in sorted(pairs) if family(pair[0]) != family(pair[1])]

    counts = {"total_images": len(images), "processed_successfully": len(hashed), "processing_errors": len(errors),
              "duplicates_found": len(library["dhash_duplicates"])}
    told = {name: library["dhash_migration"].get(name) for name in counts}
    if told != counts:
        found.append(f"dhash_migration says {told}, the library holds {counts}")
    return found


def main(migrated: str, before: str, truth_file: str) -> int:
    truth = read(truth_file)
    found = problems(migrated, before, truth)
    if found:
        print(*found, sep="\n")
        return 1
    library = read(migrated)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(error["kind"] for error in library["dhash_errors"]).items()))
    print(f"As expected: {len(library['images'])} images, {len(library['dhash_duplicates'])} duplicates, errors: {kinds}; "
          "everything that is not ours is unchanged.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
