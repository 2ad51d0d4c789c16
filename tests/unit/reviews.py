# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migrated libraries whose hashes are chosen, and people who work through their review queues."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, hash_journal, preview_maker, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_import, review_queue
from PIL import Image

Key = TypeVar("Key", bound=Hashable)
RUN = "20260131T120000Z-7"
MIGRATION = {"migration_timestamp": "2026-01-31T12:00:00.000Z", "algorithm": "pillow"}
KEEP_ONE = {"reviewStatus": "approved", "isDuplicate": True, "keepImage": "image1", "needsReview": False}
KEEP_OTHER = {**KEEP_ONE, "keepImage": "image2"}
BOTH = {"reviewStatus": "rejected", "isDuplicate": False, "keepImage": "both", "needsReview": False}
SKIP = {"reviewStatus": "skipped", "needsReview": False}


def bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def picture(size: tuple[int, int] = (48, 32), colour: tuple[int, int, int] | str = (200, 40, 40), format_: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, format_)
    return content.getvalue()


class Host:
    """A host with a migrated library. Hashes are whole numbers, so that distances can be told from them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "srv"
        self.folder.mkdir(parents=True)
        self.live = self.folder / "library.json"
        self.state = str(folder / "state")
        self.review = self.folder / "review"
        self.value: dict[str, Any] = {"version": 3, "images": [], "dhash_migration": dict(MIGRATION), "dhash_duplicates": [], "dhash_errors": []}

    def add(self, name: str, dhash: int, vertical: int | None = None, content: bytes | None = None, **fields: Any) -> Host:
        """An image; ``vertical`` None: the journal does not know it. ``content`` None: it has no file."""
        self.value["images"].append({"path": name, "filename": os.path.basename(name), "dhash": f"{dhash:016X}", **fields})
        if content is not None:
            (self.folder / name).write_bytes(content)
            self.know(name, dhash, vertical)
        return self

    def know(self, name: str, dhash: int, vertical: int | None) -> None:
        if vertical is not None:
            entry = hash_journal.Entry(f"{dhash:016X}", f"{vertical:016X}", False, "pillow", None, None, 0.01, "")
            with hash_journal.open_for_writing(self.state, "pillow", "")[0] as journal:
                journal.record([(str(self.folder / name), file_stamps.stamp_of((self.folder / name).stat()), entry)])

    def write(self) -> bytes:
        migration = self.value["dhash_migration"]
        migration.update(total_images=len(self.value["images"]), processed_successfully=len(self.value["images"]),
                         processing_errors=0, duplicates_found=len(self.value["dhash_duplicates"]))
        self.live.write_text(json.dumps(self.value, indent=2, ensure_ascii=False), encoding="utf-8")
        return self.live.read_bytes()

    def library(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.live.read_text(encoding="utf-8"))
        return value

    def paths(self) -> list[str]:
        return [image["path"] for image in self.library()["images"]]

    # The export.

    def settings(self, minimum: int = 8, maximum: int = 15, confirm: bool = True, limit: int = 10000, **changes: Any) -> review_export.Settings:
        settings = review_export.Settings(
            str(self.live), self.state, str(self.review), RUN, ("json", "csv", "html"),
            review_queue.PairOptions(minimum, maximum, confirm, limit), True, (os.path.realpath(self.folder),), decoder_limits.Limits(),
            1, None, 0)
        return settings._replace(**changes)

    def check(self, **changes: Any) -> review_export.Outcome:
        return review_export.check(self.settings(**changes))

    def export(self, **changes: Any) -> review_export.Outcome:
        return review_export.run(self.settings(**changes))

    def queue(self) -> dict[str, Any]:
        queue: dict[str, Any] = json.loads((self.review / "queue.json").read_text(encoding="utf-8"))
        return queue

    def pairs(self) -> list[tuple[str, str]]:
        return [(match["image1"]["path"], match["image2"]["path"]) for match in self.queue()["matches"]]

    def decide(self, decisions: Mapping[tuple[str, str], dict[str, Any]], name: str = "decided.json", **changes: Any) -> str:
        """What a reviewer hands back: ``decisions`` tells for some pairs of paths what was decided."""
        self.export(**{"formats": ("json",), "include_images": False, **changes})
        queue = self.queue()
        for match in queue["matches"]:
            match.update(decisions.get((match["image1"]["path"], match["image2"]["path"]), {}))
        path = self.folder / name
        path.write_text(json.dumps(queue), encoding="utf-8")
        return str(path)

    # The import.

    def plan(self, *queues: str) -> review_import.Plan:
        return review_import.plan(str(self.live), self.state, queues)

    def plan_reversal(self) -> review_import.Plan:
        return review_import.plan_reversal(str(self.live), self.state)

    def prepare(self, planned: review_import.Plan) -> bool:
        expected = review_import.would_change(str(self.live), self.state, planned)
        changed = review_import.carry_out(str(self.live), self.state, planned, RUN)
        assert changed == expected, "check mode and the real run do not agree"
        return changed

    def deploy(self) -> bool:
        return _redeploy.run(str(self.live), self.state, 0)

    def take_in(self, *queues: str) -> bool:
        """Import and deploy, as the playbook does; whether anything changed."""
        changed = self.prepare(self.plan(*queues))
        self.deploy()
        return changed

    def take_back(self) -> bool:
        changed = self.prepare(self.plan_reversal())
        self.deploy()
        return changed


def make_previews_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have previews made in this process, since a worker takes long to start; lists the files that were looked at."""
    looked_at = []

    def make_previews(
            paths: Iterable[tuple[Key, str]], edge: int, media_roots: Sequence[str], limits: decoder_limits.Limits, _parallel: int,
            _temp_dir: str | None = None, _throttle: object = None) -> Iterator[tuple[Key, preview_maker.Preview | ImageError]]:
        for key, path in paths:
            looked_at.append(os.path.basename(path))
            try:
                yield key, preview_maker.read_preview(path, edge, media_roots, limits)
            except ImageError as error:
                yield key, error

    monkeypatch.setattr(worker_pool, "make_previews", make_previews)
    return looked_at


def digests(folder: Path | str) -> dict[str, tuple[str, int]]:
    """The content and the time of change of each file in ``folder``, locks left aside: who holds one writes into it."""
    return {str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.suffix != ".lock"}
