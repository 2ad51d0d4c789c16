# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The previews in a review folder: those that exist, those that have to be made, and those that are no longer needed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import ImageError
from .._files import durable
from .._hashing import decoder_limits, hash_journal, host_throttle, worker_pool
from .._migrate import matchable_images
from .._telemetry import run_log
from . import review_queue

EDGE = 640  # pixels, at most, of the longer side
FOLDER = "images"
CHECKPOINT = 200  # previews


class Previews:
    """The previews of ``wanted``, the images of a queue by their position.

    ``index`` has, by the name of a preview, the width, height and format of its file, or the kind of its error. ``details`` are those
    of the images with a preview, by position. ``pending``: the positions of images that were not opened yet. A name stands for one
    file with one content, so a preview is never replaced.
    """

    def __init__(self, wanted: Mapping[int, matchable_images.Image], index: Mapping[str, Any], review_dir: str,
                 media_roots: tuple[str, ...], limits: decoder_limits.Limits, parallel: int, temp_dir: str | None) -> None:
        self._folder = os.path.join(review_dir, FOLDER)
        self._media_roots, self._limits, self._parallel, self._temp_dir = media_roots, limits, parallel, temp_dir
        self._names = {position: self._name(image) for position, image in wanted.items()}
        self._files = {position: image.file for position, image in wanted.items()}
        self._present = self._list()
        # Only these are ever removed: somebody may keep other pictures in the folder.
        self._ours = {f"{name}.jpg" for name, known in index.items() if isinstance(known, list)}
        self.index = {name: index[name] for name in self._names.values() if name in index}
        self.details: dict[int, review_queue.Detail] = {}
        self.pending: list[int] = []
        for position, name in self._names.items():
            known = self.index.get(name)
            if isinstance(known, list) and f"{name}.jpg" in self._present:
                self.details[position] = self._detail(name)
            elif not isinstance(known, str):
                self.pending.append(position)

    @property
    def without(self) -> int:
        """The number of images without a preview, because their files cannot be read or decoded."""
        return len(self._names) - len(self.details) - len(self.pending)

    def superfluous(self) -> list[str]:
        """The paths of previews of earlier exports that no image needs any more."""
        needed = {f"{self._names[position]}.jpg" for position in self.details}
        return [os.path.join(self._folder, name) for name in sorted(self._present & self._ours - needed)]

    def make(self, owner_of: str, checkpoint: Callable[[], None], throttle: host_throttle.Throttle, meter: run_log.Meter) -> int:
        """Make the pending previews, and try failed ones that may succeed now; returns how many were made. Raises ``DhashError``.

        ``checkpoint`` is called from time to time, to store ``index``. ``meter`` counts the images. Raises what ``throttle`` raises.
        """
        again = [position for position, name in self._names.items()
                 if isinstance(self.index.get(name), str) and self.index[name] not in hash_journal.REMEMBERED_KINDS]
        due = [*self.pending, *again]
        if not due:
            return 0
        durable.make_folder(self._folder, 0o750, owner_of=owner_of)
        durable.remove_leftovers(os.path.join(self._folder, ""))
        made = 0
        meter.start(len(due))
        with contextlib.closing(worker_pool.make_previews(
                [(position, self._files[position]) for position in due], EDGE, self._media_roots, self._limits,
                self._parallel, self._temp_dir, throttle)) as results:
            for number, (position, result) in enumerate(results, start=1):
                meter.count(self._files[position], result)
                name = self._names[position]
                if isinstance(result, ImageError):
                    self.index[name] = result.kind
                else:
                    path = os.path.join(self._folder, f"{name}.jpg")
                    durable.write(path, [result.jpeg], mode=0o640, owner_of=owner_of)
                    self.index[name] = [result.width, result.height, result.format]
                    self.details[position] = self._detail(name)
                    made += 1
                if number % CHECKPOINT == 0:
                    checkpoint()
        checkpoint()
        self.pending = []
        self._present = self._list()
        return made

    def _name(self, image: matchable_images.Image) -> str:
        # The hash distinguishes renamed pictures with the same size and mtime.
        what = [image.file, image.dhash, image.size, image.mtime_ns, self._media_roots]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def _detail(self, name: str) -> review_queue.Detail:
        width, height, format_ = self.index[name]
        return review_queue.Detail(width, height, format_, f"{FOLDER}/{name}.jpg")

    def _list(self) -> set[str]:
        with contextlib.suppress(OSError):
            return set(os.listdir(self._folder))
        return set()
