# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The previews in a review folder: which are there, which have to be made, which nobody needs any more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import ImageError
from .._files import durable
from .._hashing import decoder_limits, hash_journal, worker_pool
from .._migrate import matchable_images
from . import review_queue

EDGE = 640  # pixels, at most, of the longer side
FOLDER = "images"
CHECKPOINT = 200  # previews


class Previews:
    """The previews of ``wanted``, the images of a queue by their position.

    ``index`` tells what is known of a file, by its preview's name: width, height and format, or the kind of its error.
    ``details``: what is known of the images that have a preview, by position; ``pending``: those that have yet to be
    looked at. A name stands for one file in one state, so that a preview is never made over.
    """

    def __init__(self, wanted: Mapping[int, matchable_images.Image], index: Mapping[str, Any], review_dir: str,
                 media_roots: tuple[str, ...], limits: decoder_limits.Limits, parallel: int, temp_dir: str | None) -> None:
        self._folder = os.path.join(review_dir, FOLDER)
        self._media_roots, self._limits, self._parallel, self._temp_dir = media_roots, limits, parallel, temp_dir
        self._names = {position: self._name(image) for position, image in wanted.items()}
        self._files = {position: image.file for position, image in wanted.items()}
        self._present = self._list()
        # Only these are ever removed: the folder may be one in which somebody keeps pictures with such names.
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
        """How many images have none, since their files cannot be read or decoded."""
        return len(self._names) - len(self.details) - len(self.pending)

    def superfluous(self) -> list[str]:
        """The paths of the previews that earlier exports have made and no image needs any more."""
        needed = {f"{self._names[position]}.jpg" for position in self.details}
        return [os.path.join(self._folder, name) for name in sorted(self._present & self._ours - needed)]

    def make(self, owner_of: str, checkpoint: Callable[[], None]) -> int:
        """Make those that are pending, and try again those that may succeed now; how many. Raises ``DhashError``.

        ``checkpoint`` is called now and then, to keep ``index``.
        """
        again = [position for position, name in self._names.items()
                 if isinstance(self.index.get(name), str) and self.index[name] not in hash_journal.REMEMBERED_KINDS]
        due = [*self.pending, *again]
        if not due:
            return 0
        durable.make_folder(self._folder, 0o750, owner_of=owner_of)
        durable.remove_leftovers(os.path.join(self._folder, ""))
        made = 0
        with contextlib.closing(worker_pool.make_previews(
                [(position, self._files[position]) for position in due], EDGE, self._media_roots, self._limits,
                self._parallel, self._temp_dir)) as results:
            for number, (position, result) in enumerate(results, start=1):
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
        # The hash tells pictures of one size and time of change apart that were renamed to each other.
        what = [image.file, image.dhash, image.size, image.mtime_ns, self._media_roots]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def _detail(self, name: str) -> review_queue.Detail:
        width, height, format_ = self.index[name]
        return review_queue.Detail(width, height, format_, f"{FOLDER}/{name}.jpg")

    def _list(self) -> set[str]:
        with contextlib.suppress(OSError):
            return set(os.listdir(self._folder))
        return set()
