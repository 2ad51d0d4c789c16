# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""writer.py rename|in-place LIBRARY COUNT: a service that adds COUNT images to the library, one every 0.2 to 0.5 seconds.

Each time it reads the library anew, and prints the path that it has added. ``rename`` puts a new file in the library's
place, ``in-place`` truncates it and writes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path


def add(library: Path, way: str, number: int) -> str:
    name = f"added-{number}.png"
    shutil.copy(library.with_name("0.png"), library.with_name(name))
    content = json.loads(library.read_text())
    content["images"].append({"path": name, "filename": name})
    text = json.dumps(content, indent=2)
    if way == "rename":
        new = library.with_name("library.json.new")
        new.write_text(text)
        os.replace(new, library)
    else:
        library.write_text(text)
    return name


def main() -> None:
    for number in range(int(sys.argv[3])):
        print(add(Path(sys.argv[2]), sys.argv[1], number), flush=True)
        time.sleep(random.uniform(0.2, 0.5))


if __name__ == "__main__":
    main()
