# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Review pages for tests: a queue of drawn pictures, written as the export writes it."""

from __future__ import annotations

import colorsys
import hashlib
import json
import random
from pathlib import Path
from typing import Any

from ansible_collections.mobius.dhash.plugins.module_utils._review import review_page, review_queue
from PIL import Image, ImageDraw, ImageFilter

PICTURES = 24  # drawn once each, however many matches there are


def draw(path: Path, seed: int, variant: int = 0, size: tuple[int, int] = (640, 480)) -> None:
    """A landscape after ``seed``; a ``variant`` of it has other light and a bird that the others lack."""
    rng = random.Random(seed)
    hue = rng.random()
    picture = Image.new("RGB", (640, 480))
    pen = ImageDraw.Draw(picture)
    for y in range(480):
        pen.line((0, y, 640, y), fill=_colour(hue, 0.45 - y / 1600, 0.95 - y / 2400))
    sun = rng.randrange(80, 560)
    pen.ellipse((sun - 45, 60, sun + 45, 150), fill=_colour(hue + 0.5, 0.35, 1.0))
    for ridge in range(4):
        points = [(x, 230 + 55 * ridge + rng.randrange(-45, 45)) for x in range(0, 720, 80)]
        pen.polygon([*points, (640, 480), (0, 480)], fill=_colour(hue + 0.08 * ridge, 0.5, 0.62 - 0.13 * ridge))
    if variant:
        pen.arc((120 + 60 * variant, 110, 160 + 60 * variant, 140), 180, 360, fill="black", width=4)
        pen.arc((160 + 60 * variant, 110, 200 + 60 * variant, 140), 180, 360, fill="black", width=4)
        picture = picture.point(lambda value: min(255, value + 6 * variant))
    picture.filter(ImageFilter.SMOOTH).resize(size).save(path, quality=85)


def _colour(hue: float, saturation: float, value: float) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def image(name: str, preview: str | None = None, **fields: Any) -> dict[str, Any]:
    """One image of a match, as in the queue's format."""
    return {"filename": name.rsplit("/", 1)[-1], "path": name, "dhash": _digest(name).upper(), "width": 4000, "height": 3000,
            "bytes": 2_400_000, "format": "JPEG", "modifiedAt": "2026-01-31T12:00:00Z", "preview": preview, **fields}


def match(first: dict[str, Any], second: dict[str, Any], cluster: int, **fields: Any) -> dict[str, Any]:
    """One undecided match, which proposes to keep the first image."""
    name = review_queue.match_id(first["path"], first["dhash"], second["path"], second["dhash"])
    return {"id": name, "image1": first, "image2": second, "hammingDistance": 9,
            "confidence": 0.82, "verticalDistance": 3, "cluster": cluster, "needsReview": True, "reviewStatus": "pending",
            "reviewNotes": "", "isDuplicate": None, "keepImage": None, "proposedKeep": "image1",
            "proposedReason": "larger: 4000 x 3000 against 2000 x 1500", "createdAt": "2026-01-31T12:00:00.000Z", **fields}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def queue(matches: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The queue around ``matches``."""
    return {"exportedAt": "2026-01-31T12:00:00.000Z", "library": "/srv/mobius/library.json", "algorithm": "pillow",
            "minDistance": 8, "maxDistance": 15, "totalMatches": len(matches), "exportedMatches": len(matches),
            "refutedMatches": 99, "decidedMatches": 12,
            "reviewInstructions": "Decide for each pair whether both show the same picture, and which of them stays.",
            "matches": matches, **fields}


def write_page(folder: Path, value: dict[str, Any] | str) -> Path:
    """The page of a queue (a value, or its JSON text), beside the pictures that ``folder`` has already."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    path = folder / "review.html"
    path.write_bytes(b"".join(review_page.render(text[start:start + 65536] for start in range(0, len(text), 65536))))
    return path


class Review:
    """A folder for pages, with the previews beside them. Called, it writes the page of given matches there."""

    def __init__(self, folder: Path, previews: list[str]) -> None:
        self.folder = folder
        self.previews = previews

    def __call__(self, matches: list[dict[str, Any]] | str, **fields: Any) -> Path:
        return write_page(self.folder, matches if isinstance(matches, str) else json.loads(json.dumps(queue(matches, **fields))))


def draw_pictures(folder: Path) -> list[str]:
    """PICTURES previews in ``images/``: two of each landscape, the second a variant."""
    (folder / "images").mkdir(parents=True)
    names = [f"images/{number:016x}.jpg" for number in range(PICTURES)]
    for number, name in enumerate(names):
        draw(folder / name, number // 2, number % 2)
    return names


def many_matches(total: int, previews: list[str]) -> list[dict[str, Any]]:
    """``total`` matches by falling confidence; each third one begins a cluster of three images in two pairs."""
    matches: list[dict[str, Any]] = []
    while len(matches) < total:
        number = len(matches)
        cluster = number + 1
        pictures = [previews[(2 * number) % len(previews)], previews[(2 * number + 1) % len(previews)]]
        confidence = round(0.97 - 0.6 * number / total, 4)
        original = image(f"holiday/2024/IMG_{number:05d}.jpg", pictures[0])
        smaller = image(f"holiday/copies/IMG_{number:05d} (1).jpg", pictures[1], width=2000, height=1500, bytes=611_000)
        matches.append(match(original, smaller, cluster, confidence=confidence, hammingDistance=8 + number % 8))
        if number % 3 == 0 and len(matches) < total:
            third = image(f"phone/{number:05d}.webp", pictures[1], width=1280, height=960, bytes=98_304, format="WebP",
                          modifiedAt="2026-03-02T08:15:00Z")
            matches.append(match(original, third, cluster, confidence=confidence, hammingDistance=8 + number % 8))
    return matches
