# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the libraries that the sites are copies of: OUT/drawn, and OUT/heavy, whose last images take long to hash.

    draw.py OUT

In each, drawn_at.json holds the folder that the library's absolute paths begin with.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "support"))
from draw_library import draw_library  # pylint: disable=wrong-import-position

IMAGES = 40
HEAVY = 8  # about a second each
SIDE = 7000


def add_heavy(folder: Path) -> None:
    """Large pictures of large squares: small on disk, and slow to decode."""
    rng = random.Random(11)
    library = json.loads((folder / "library.json").read_text(encoding="utf-8"))
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for number in range(HEAVY):
        name = f"heavy {number}.png"
        squares = Image.frombytes("RGB", (9, 8), rng.randbytes(9 * 8 * 3)).resize((36, 32), Image.Resampling.BICUBIC)
        squares.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(folder / "media" / name, compress_level=1)
        library["images"].append({"id": f"heavy-{number}", "filename": name, "path": f"media/{name}"})
        truth["originals"].append(name)
    text = json.dumps(library, indent=2, ensure_ascii=False)
    (folder / "library.json").write_bytes(text.encode("utf-8", "backslashreplace"))
    (folder / "truth.json").write_text(json.dumps(truth, indent=2, ensure_ascii=False), encoding="utf-8")


def main(out: str) -> None:
    for name in ("drawn", "heavy"):
        folder = (Path(out) / name).resolve()
        draw_library(folder, IMAGES)
        (folder / "drawn_at.json").write_text(json.dumps(str(folder)), encoding="utf-8")
    add_heavy(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
