# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the review queue into a folder: JSON, CSV, an HTML page, and previews of the images.

Check mode (:func:`check`) and the real run (:func:`run`) share the queue and the comparison with the present files. A file with the
same content is not written again: the time of an export changes only with its content. A file that somebody has edited since the
last export is renamed instead of overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .. import _clock
from .._errors import DhashError, LibraryError, MissingRequirementError, RefusedError, printable
from .._files import bounded_reads, durable, json_records, locking, spreadsheet
from .._hashing import decoder_limits, difference_hash, host_throttle
from .._library import json_text, library_fields, library_file
from .._migrate import matchable_images
from .._telemetry import run_log
from . import known_different, review_previews, review_queue

COUNTS = ("images", "total_matches", "exported_matches", "refuted_matches", "recorded_matches", "decided_matches", "clusters", "previews",
          "without_preview")
EMPTY: dict[str, Any] = {"files": {}, "previews": {}, "counts": {}}
LOCK = "review"
NAMES = {"json": "queue.json", "csv": "queue.csv", "html": "review.html"}
SIDES = ("filename", "path", "dhash", "width", "height", "bytes", "format", "modifiedAt", "preview")
COLUMNS = ("id", "cluster", "hammingDistance", "verticalDistance", "confidence", "needsReview", "reviewStatus",
           "reviewNotes", "isDuplicate", "keepImage", "proposedKeep", "proposedReason", "createdAt", "sameFile")


class Settings(NamedTuple):
    """One export. Paths are absolute; ``library`` is the real file, ``media_roots`` are real folders."""

    library: str
    state: str
    review_dir: str
    run: str
    formats: tuple[str, ...]
    terms: review_queue.PairOptions
    include_images: bool
    media_roots: tuple[str, ...]
    limits: decoder_limits.Limits
    parallel: int
    temp_dir: str | None
    lock_timeout: float


class Export(NamedTuple):
    """The export: the queue, the details of its images, and the previews that have to be made."""

    queue: review_queue.Queue
    algorithm: str
    previews: review_previews.Previews
    last: dict[str, Any]


class Outcome(NamedTuple):
    """The result of the module, the counts of the previous export, and whether anything was, or would be, changed."""

    result: dict[str, Any]
    before: dict[str, Any]
    changed: bool


def check(settings: Settings) -> Outcome:
    """The expected result of :func:`run`. Raises ``DhashError``.

    Writes nothing, takes no lock and opens no image.
    """
    try:
        export = _plan(settings)
    except MissingRequirementError:  # without numpy the queue is unknown: report that it may change
        return Outcome({**dict.fromkeys(COUNTS), **_paths(settings)}, _read_state(settings)["counts"], True)
    result = {**_counts(export), **_paths(settings)}
    if export.previews.pending:
        return Outcome(result, export.last["counts"], True)
    exported_at, _fresh = _exported_at(settings, export)
    due = _due(_renderings(settings, export, exported_at))
    return Outcome(result, export.last["counts"],
                   bool(due or _superfluous(settings, export) or export.previews.superfluous()))


def run(settings: Settings, throttle: host_throttle.Throttle = host_throttle.NEVER, meter: run_log.Meter | None = None) -> Outcome:
    """Export the queue. ``meter`` counts the previews. While this waits (``throttle``), only other exports of the library are locked out.

    Raises ``DhashError``, and what ``throttle`` raises.
    """
    difference_hash.require_numpy()
    if not durable.exists(settings.state):
        _read_migrated(settings.library)  # raises before a refused library gets a state folder
    durable.make_folder(settings.state)
    with locking.lock(os.path.join(settings.state, LOCK), "review_export", settings.run, settings.lock_timeout,
                      "the review queue"):
        export = _plan(settings)
        durable.make_folder(settings.review_dir, 0o750, owner_of=settings.library)
        changes = export.previews.make(settings.library, lambda: _write_state(settings, {
            **export.last, "previews": {**export.last["previews"], **export.previews.index}}), throttle,
            meter or run_log.Meter())
        exported_at, fresh = _exported_at(settings, export)
        renderings = _renderings(settings, export, exported_at)
        due = _due(renderings)
        set_aside = [kept for path in due for kept in _set_aside(path, export.last)]
        # Recorded before they are written, so the files of a killed run do not count as edited.
        ours = {path: [*export.last["files"].get(path, []), digest] for path, digest in due.items()}
        _write_state(settings, {**_read_state(settings), "files": {**export.last["files"], **ours}})
        for path in due:
            durable.write(path, renderings[path](), mode=0o640, owner_of=settings.library)
        removed = [*_superfluous(settings, export), *export.previews.superfluous()]
        for path in removed:
            durable.remove(path)
        _write_state(settings, {
            "exportedAt": exported_at, "sha256": fresh,
            "files": {path: [durable.sha256_of_file(path)] for path in renderings},
            "counts": _counts(export), "previews": export.previews.index})
        result = {**_counts(export), **_paths(settings), "written": list(map(os.path.basename, due)),
                  "set_aside": set_aside}
        return Outcome(result, export.last["counts"], bool(changes or due or removed))


def difference(outcome: Outcome) -> dict[str, str]:
    """Before and after in counts, for Ansible's diff."""
    def text(counts: dict[str, Any]) -> str:
        return "".join(f"{key}: {counts[key]}\n" for key in COUNTS if counts.get(key) is not None)

    folder = outcome.result["review_dir"]
    return {"before_header": folder, "after_header": folder, "before": text(outcome.before),
            "after": text(outcome.result)}


def _plan(settings: Settings) -> Export:
    last = _read_state(settings)
    _require_no_other_review(settings, last)
    value = _read_migrated(settings.library)
    images = matchable_images.survey(settings.library, value, settings.state)
    queue = review_queue.find(images, settings.terms, library_fields.threshold(value), known_different.read(settings.library))
    wanted = {index: images[index] for index in sorted({*queue.one.tolist(), *queue.other.tolist()})
              if settings.include_images and images[index].size is not None}
    previews = review_previews.Previews(
        wanted, last["previews"], settings.review_dir, settings.media_roots, settings.limits, settings.parallel,
        settings.temp_dir)
    return Export(queue, library_fields.algorithm(value), previews, last)


def _require_no_other_review(settings: Settings, last: dict[str, Any]) -> None:
    """Raise ``RefusedError`` if the folder has the review of another library: each export would rename the files of the other."""
    path = os.path.join(settings.review_dir, NAMES["json"])
    if path in last["files"]:
        return
    try:
        queue = json_text.parse_json(library_file.read_bytes(path, library_file.MAX_BYTES, "the queue"))
    except LibraryError:
        return
    other = queue.get("library") if isinstance(queue, dict) else None
    if isinstance(other, str) and other != settings.library and os.path.isfile(other):
        raise RefusedError(f"the folder has the review of another library, {printable(other)}", settings.review_dir,
                           "Give each library a folder of its own (dhash_review_dir), then run again.")


def _read_migrated(library: str) -> dict[str, Any]:
    return matchable_images.read_migrated(library, "review", "Run the migrate playbook, then export again.")


def _exported_at(settings: Settings, export: Export) -> tuple[str, str]:
    """The time of the export, which is that of the last export if the content is the same, and the digest of the content."""
    last = export.last
    if isinstance(last.get("exportedAt"), str):
        digest = _digest(map(json_text.encode, _pieces(settings, export, last["exportedAt"])))
        if digest == last.get("sha256"):
            return last["exportedAt"], digest
    now = _clock.now()
    return now, _digest(map(json_text.encode, _pieces(settings, export, now)))


def _renderings(settings: Settings, export: Export, exported_at: str) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Functions that generate the content of each requested file, by its path."""
    def as_json() -> Iterator[bytes]:
        yield from map(json_text.encode, _pieces(settings, export, exported_at))
        yield b"\n"

    def as_csv() -> Iterator[bytes]:
        yield from csv_lines(_document(settings, export, exported_at)["matches"])

    def as_html() -> Iterator[bytes]:
        from . import review_page

        # Lone surrogates, which occur only in file names that are not UTF-8, become JSON escapes here and in the file.
        texts = (json_text.encode(piece).decode() for piece in _pieces(settings, export, exported_at))
        yield from review_page.render(texts)

    renderers = {"json": as_json, "csv": as_csv, "html": as_html}
    return {os.path.join(settings.review_dir, NAMES[format_]): renderers[format_] for format_ in settings.formats}


def _document(settings: Settings, export: Export, exported_at: str) -> dict[str, Any]:
    return review_queue.document(export.queue, export.previews.details, settings.library, export.algorithm,
                                 settings.terms, exported_at)


def _pieces(settings: Settings, export: Export, exported_at: str) -> Iterator[str]:
    return json_text.pieces(_document(settings, export, exported_at))


def csv_lines(matches: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """``matches`` as CSV."""
    head = [*COLUMNS[:1], *(f"image{number}.{key}" for number in (1, 2) for key in SIDES), *COLUMNS[1:]]
    return spreadsheet.lines(head, ([match["id"], *(match[image][key] for image in ("image1", "image2") for key in SIDES),
                                     *(match[key] for key in COLUMNS[1:])] for match in matches))


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _due(renderings: Mapping[str, Callable[[], Iterator[bytes]]]) -> dict[str, str]:
    """The files whose content differs or that do not exist, with the digest of their new content."""
    digests = {path: _digest(render()) for path, render in renderings.items()}
    return {path: digest for path, digest in digests.items()
            if not durable.exists(path) or durable.sha256_of_file(path) != digest}


def _set_aside(path: str, last: dict[str, Any]) -> list[str]:
    """Rename a file that has changed since the last export, because it may contain decisions; its new path."""
    if not durable.exists(path) or durable.sha256_of_file(path) in last["files"].get(path, []):
        return []
    kept = durable.free_name(f"{path}.edited-")
    durable.move(path, kept)
    return [kept]


def _superfluous(settings: Settings, export: Export) -> list[str]:
    """Files of the last export that are no longer requested, and that nobody has edited."""
    wanted = _paths(settings)["files"]
    return [path for path, digests in export.last["files"].items()
            if path not in wanted and durable.exists(path) and durable.sha256_of_file(path) in digests]


def _state_path(settings: Settings) -> str:
    """The state file of the exports into this folder: the digests of its files, and the details of its previews."""
    key = hashlib.sha256(os.fsencode(settings.review_dir)).hexdigest()[:12]
    return os.path.join(settings.state, f"review-{key}.json")


def _read_state(settings: Settings) -> dict[str, Any]:
    """The state of the last export. Empty if it cannot be read, because all of it can be determined again."""
    with contextlib.suppress(DhashError, ValueError):
        state = bounded_reads.read_json(_state_path(settings), json_records.MAX_BYTES_OF_LISTS)
        if isinstance(state, dict) and all(isinstance(state.get(key), dict) for key in EMPTY):
            return state
    return EMPTY


def _write_state(settings: Settings, state: dict[str, Any]) -> None:
    if state != _read_state(settings):
        durable.write(_state_path(settings), [json.dumps(state).encode()])


def _paths(settings: Settings) -> dict[str, Any]:
    files = [os.path.join(settings.review_dir, NAMES[format_]) for format_ in settings.formats]
    return {"review_dir": settings.review_dir, "files": files, "written": [], "set_aside": []}


def _counts(export: Export) -> dict[str, int]:
    queue, previews = export.queue, export.previews
    return dict(zip(COUNTS, (
        len(queue.images), queue.total, len(queue.one), queue.refuted, queue.recorded, queue.decided, max(queue.clusters, default=0),
        len(previews.details) + len(previews.pending), previews.without)))
