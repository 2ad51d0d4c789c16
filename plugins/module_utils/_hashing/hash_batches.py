# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hash files: workers decode them to pixels, and the parent process, which has numpy, computes the bits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

from .. import _clock
from .._errors import ImageError
from . import decoder_limits, difference_hash, host_throttle, worker_pool
from .hash_journal import Entry

IMAGES_PER_WORKER = 20  # of a few images: a worker takes about as long to start as to decode 20 photographs of 12 megapixels


def entries(results: Sequence[difference_hash.Pixels | ImageError]) -> list[Entry]:
    """The journal entry of each result, in the same order."""
    moment = _clock.now()
    hashes = iter(difference_hash.hash_pixels([result for result in results if not isinstance(result, ImageError)]))
    return [failure(result.kind, str(result), moment) if isinstance(result, ImageError)
            else Entry(*next(hashes), result.decoder, None, None, round(result.seconds, 6), moment, result.horizontal + result.vertical)
            for result in results]


def failure(kind: str, error: str, moment: str = "") -> Entry:
    """The entry of an image that has no hash."""
    return Entry(None, None, False, None, kind, error, 0.0, moment)


def hash_in_batches(paths: Sequence[str], algorithm: str, media_roots: Sequence[str], limits: decoder_limits.Limits,
                    parallel: int, temp_dir: str | None, batch_size: int,
                    seen: Callable[[str, difference_hash.Pixels | ImageError], None] | None = None,
                    throttle: host_throttle.Throttle = host_throttle.NEVER,
                    ) -> Generator[list[tuple[str, difference_hash.Pixels | ImageError, Entry]], None, None]:
    """Hash different files on ``parallel`` workers; yields lists of ``batch_size`` tuples ``(path, result, entry)`` as files are done.

    ``seen`` is called for each file as soon as it is done. Before ``throttle`` waits, the files that are done are yielded, and the
    workers end. Raises ``MissingRequirementError``, and what ``throttle`` raises.
    """
    difference_hash.require_numpy()
    batch: list[tuple[str, difference_hash.Pixels | ImageError]] = []
    left = dict.fromkeys(paths)
    while left:
        throttle.wait()
        with contextlib.closing(worker_pool.hash_files([(path, path) for path in left], algorithm, media_roots, limits,
                                                       parallel, temp_dir, throttle)) as results:
            for path, result in results:
                batch.append((path, result))
                del left[path]
                if seen:
                    seen(path, result)
                if len(batch) >= batch_size or not left:
                    yield _with_entries(batch)
                    batch = []
        if batch:
            yield _with_entries(batch)
            batch = []


def _with_entries(batch: Sequence[tuple[str, difference_hash.Pixels | ImageError]]) -> list[tuple[str, difference_hash.Pixels | ImageError, Entry]]:
    made = entries([result for _path, result in batch])
    return [(*pair, entry) for pair, entry in zip(batch, made)]


def hash_now(paths: Sequence[str], algorithm: str, media_roots: Sequence[str], limits: decoder_limits.Limits, parallel: int,
             temp_dir: str | None, throttle: host_throttle.Throttle = host_throttle.NEVER) -> list[Entry]:
    """Hash files without a journal; one entry per path, in the order of ``paths``. Raises ``MissingRequirementError``."""
    made: dict[str, Entry] = {}
    parallel = min(parallel, -(-len(paths) // IMAGES_PER_WORKER))
    for batch in hash_in_batches(list(dict.fromkeys(paths)), algorithm, media_roots, limits, parallel, temp_dir, 100,
                                 throttle=throttle):
        made.update((path, entry) for path, _result, entry in batch)
    return [made[path] for path in paths]
