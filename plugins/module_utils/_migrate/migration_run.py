# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migrate: survey a library, hash the files that are not in the journal, and write the migrated library.

Check mode (:func:`check`) and the real run (:func:`run`) share the survey and everything that follows the hashing.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from .. import _clock
from .._deploy import cutover, library_summary, path_rules, run_record, unfinished_work, written_files
from .._errors import DhashError, ImageError, LibraryError, MissingRequirementError, from_os_error, printable
from .._files import durable, file_metadata, file_stamps, json_records, locking
from .._hashing import decoder_limits, decoder_versions, difference_hash, hash_batches, hash_journal, host_throttle, worker_pool
from .._hashing.hash_journal import Entry
from .._library import json_text, library_edit, library_fields, library_index
from .._module import audit_log
from .._telemetry import metrics_file, run_log, run_measurements
from . import library_assembly, library_survey, migration_report, migration_settings, plan_cache


class _ChangedError(Exception):
    """While the run waited without its lock, the library, its record or its journal has changed."""


def check(settings: migration_settings.Settings) -> dict[str, Any]:
    """The expected result of :func:`run`. Writes nothing, takes no lock, and hashes at most a sample.

    Raises ``DhashError``.
    """
    _require_finished(settings)
    _require_free_names(settings)
    kept = _kept_plan(settings)
    if kept is not None:
        return kept
    limits = decoder_limits.text(settings.limits)
    with hash_journal.open_for_reading(settings.state, settings.terms.algorithm, limits, settings.ignore_ctime,
                                       settings.rehash) as journal:
        source = _survey(settings, *library_survey.read_stable(settings.library), journal)
        result = _before(source) | {"to_hash": len(source.entries.pending()), "hashed_now": 0} | _forecast(settings, _progress(source))
        library_survey.expect_known_failures_again(source)
        if not source.entries.pending():
            try:
                hashed = _hashed(source)
                migrated = library_assembly.assemble(hashed, settings.terms, journal, _clock.now(), write_note=False)
                outcome = _result(source, hashed, migrated, settings)
            except MissingRequirementError:
                pass  # without numpy it is unknown whether duplicates change: report that they may
            else:
                doubtful: set[str] = set()
                if not outcome["would_change"]:
                    with contextlib.suppress(MissingRequirementError):  # a run may install Pillow and numpy
                        drawn = _drawn(source, source.sha256, settings, fresh=())
                        doubtful = _doubtful(source, drawn, settings, fresh=())
                        outcome["sampled"] = len(drawn)
                if not doubtful:
                    return result | outcome
                result["to_hash"] = len(doubtful)
    kinds = Counter(entry.kind or "" for entry in source.entries.failures().values())
    errors = sum(kinds.values())
    return result | {
        "output": settings.output, "hashed": len(source.index) - errors, "errors": errors,
        "errors_by_kind": dict(sorted(kinds.items())), "missing": kinds["missing"], "duplicates": None, "duplicates_refuted": None,
        "would_change": True, "staged_file_is_stale": False, "staged_file_is_current": False}


def _kept_plan(settings: migration_settings.Settings) -> dict[str, Any] | None:
    """The result of :func:`check` if the last run has left a plan, and the library, its files, and a sample of their hashes are as then."""
    if settings.limit is not None:
        return None
    folder = os.path.dirname(settings.library)
    try:
        digest = durable.sha256_of_file(settings.library)
        plan = plan_cache.read(settings.state, _key(settings), digest)
        if plan is None or (plan.would_change and durable.exists(settings.output)) or not plan.images.are_unchanged(folder):
            return None  # a staged library has to be compared with what would be written
        drawn = [] if plan.would_change else library_survey.sample(plan.images.hashed(), digest, settings.sample)
        found = hash_batches.hash_now([os.path.join(folder, plan.images.paths[position]) for position in drawn], settings.terms.algorithm,
                                      settings.media_roots, settings.limits, settings.parallel, settings.temp_dir) if drawn else []
    except DhashError:
        return None  # the check of the whole library says what is wrong
    if any(entry.dhash != f"{plan.images.hashes[position]:016X}" for position, entry in zip(drawn, found)):
        return None
    return {**plan.counts, **_forecast(settings, plan.progress), "before": plan.before, "source_sha256": digest, "output": settings.output,
            "to_hash": 0, "hashed_now": 0, "would_change": plan.would_change, "staged_file_is_current": False,
            "staged_file_is_stale": not plan.would_change and _is_left_over(digest, settings), **({} if plan.would_change else {"sampled": len(drawn)})}


def operation(dry_run: bool, limit: int | None) -> str:
    """The name of a migration in logs and in its lock."""
    return "dry-run" if dry_run else "migration" if limit is None else "test-migration"


def run(settings: migration_settings.Settings, progress: Callable[[dict[str, Any]], None], metrics: metrics_file.Metrics = metrics_file.OFF,
        log_retention: int = 0, outer: Sequence[locking.Held] = ()) -> dict[str, Any]:
    """Migrate the library; returns counts, paths and digests. Raises ``DhashError``, leaving the library as it was.

    ``progress`` is called from time to time with the state of :class:`run_log.Meter`. A trial and a dry run have no metrics.
    Logs older than ``log_retention`` days are removed; 0 keeps all. While the run waits (``settings.throttle``), it releases its lock,
    and the locks ``outer`` that the caller holds.
    """
    difference_hash.require_numpy()
    _require_free_names(settings)
    if not os.path.exists(f"{settings.library}.lock"):
        library_survey.read_stable(settings.library)  # raises before a refused library gets a lock file and a journal
    metrics = metrics if settings.limit is None and not settings.dry_run else metrics_file.OFF
    throttle = host_throttle.Throttle(settings.throttle)
    throttle.may_begin()  # raises before anything is written if the command cannot be run

    def tell(state: dict[str, Any]) -> None:
        progress(state)
        metrics.progress(state["done"], state["total"])

    name = operation(settings.dry_run, settings.limit)
    with locking.lock(settings.library, name, settings.run, settings.lock_timeout) as lock, \
            run_log.Log(settings.log_dir, settings.library, name) as log:
        log.line(f"Start of a {name} of {printable(settings.library)}, run {settings.run}")
        if throttle.unavailable:
            log.line(f"WARNING {host_throttle.text_of_unavailable(throttle.unavailable)}")
        metrics.started()
        throttle.locks, throttle.state = [lock, *outer], settings.state
        try:
            result, migrated, source = _run(settings, tell, log, {}, throttle)
            if settings.report:
                result["report"] = settings.report
                result["report_set_aside"] = written_files.set_aside(settings.state, settings.report)
                for kept in migration_report.write(settings.report, result, migrated.fields, settings.library, settings.state,
                                                   metrics_file.queue_length(settings.state)):
                    log.line(f"WARNING Renamed a file beside the report, because this collection had not written it: {kept}")
        except DhashError as error:
            log.line(f"FAILED {error}")
            metrics.failed()
            raise
        metrics.ended(result, migrated.record, source.entries_of_files)
        for old in audit_log.prune(settings.log_dir, settings.library, 0 if settings.dry_run else log_retention):
            log.line(f"Removed {old}, not written to for more than {log_retention} days")
        migration_report.log_summary(log, result, migrated.fields)
    return result


def prepare_again(record: run_record.Record, failed: dict[str, Entry]) -> None:
    """Migrate a library that has changed since its migration again, from the journal. Call it with the lock held.

    The library is read for the last time when nothing is left to hash, so a writer has little time to change it again. ``failed``
    collects the files that failed, which the next attempt does not try again. Raises ``DhashError``.
    """
    settings = _settings_of(record)._replace(sample=0)
    with run_log.Log(None, settings.library, "migration") as log:
        for _attempt in range(library_survey.CHANGING_READS):
            if _run(settings, lambda _progress: None, log, failed, host_throttle.Throttle(host_throttle.OFF))[0]["hashed_now"] == 0:
                return


def _noted(settings: migration_settings.Settings) -> dict[str, Any]:
    """The settings in the form of the run record: by name."""
    noted = settings._asdict()
    del noted["origin"]  # the record has it
    del noted["throttle"]  # whoever deploys has stopped the service, so that does not wait
    return {**noted, "terms": settings.terms._asdict(), "limits": settings.limits._asdict()}


def _settings_of(record: run_record.Record) -> migration_settings.Settings:
    """The settings of the migration on record. Raises ``DhashError`` if they are not complete."""
    try:
        noted = record.settings
        return json_records.build(migration_settings.Settings, {
            **noted, "origin": record.origin, "terms": json_records.build(library_assembly.MatchOptions, noted["terms"]),
            "limits": json_records.build(decoder_limits.Limits, noted["limits"]), "media_roots": tuple(noted["media_roots"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DhashError("the record of the last run does not contain the settings of the migration", record.library,
                         cutover.RUN_AGAIN) from error


def _run(settings: migration_settings.Settings, progress: Callable[[dict[str, Any]], None], log: run_log.Log, failed: dict[str, Entry],
         throttle: host_throttle.Throttle) -> tuple[dict[str, Any], library_assembly.MigratedLibrary, library_survey.Source]:
    """Survey, hash, assemble and write. ``failed`` collects the failures that the journal does not store; they are not tried again."""
    usage = run_measurements.now()
    fresh: dict[str, file_stamps.Stamp | None] = {}
    while True:
        try:
            result, migrated, source = _run_once(settings, progress, log, failed, throttle, fresh)
        except _ChangedError:
            log.line("The library, its record or its journal has changed meanwhile, so the library is surveyed again")
        else:
            break
    result["sandbox"] = worker_pool.sandbox_in_force()
    result["throttled"] = throttle.result()
    result["resources"] = run_measurements.since(usage, sum(stamp.size for stamp in fresh.values() if stamp))
    return result, migrated, source


def _run_once(settings: migration_settings.Settings, progress: Callable[[dict[str, Any]], None], log: run_log.Log, failed: dict[str, Entry],
              throttle: host_throttle.Throttle, fresh: dict[str, file_stamps.Stamp | None],
              ) -> tuple[dict[str, Any], library_assembly.MigratedLibrary, library_survey.Source]:
    """As :func:`_run`. ``fresh`` collects the stamps of the files that were hashed, by path. Raises ``_ChangedError`` after a wait."""
    if not settings.dry_run and settings.limit is None:
        cutover.finish(settings.library, settings.state, check=False)  # an interrupted swap is finished first
    _require_finished(settings)
    read = library_survey.read_stable(settings.library)
    # The key has the stamp of the journal, which the run may write.
    source = plan_cache.survey(settings.state, _key(settings), settings.library, *read) if settings.limit is None else None
    journal, set_aside = hash_journal.open_for_writing(settings.state, settings.terms.algorithm,
                                                       decoder_limits.text(settings.limits), settings.ignore_ctime,
                                                       settings.rehash)
    with journal:
        if set_aside:
            log.line(f"WARNING The journal was damaged or of another version. It was renamed to {set_aside}, and all images are hashed again")
        if source is None:
            source = _survey(settings, *read, journal)
        source.take(failed)
        journal.complete()
        result = _before(source)
        _watch_for_changes(settings, journal, throttle)
        started, hashed_before = throttle.seconds_without_waits(), len(fresh)
        _hash_pending(source, settings, journal, run_log.Meter(progress, log), throttle, fresh)
        distrusted: set[str] = set()
        while True:
            hashed = _hashed(source)
            with json_text.without_collector():
                migrated = library_assembly.assemble(hashed, settings.terms, journal, _clock.now(), write_note=True)
                result |= _result(source, hashed, migrated, settings)
                script, digest = _made(source, hashed, migrated, result, settings)
            doubtful = _doubtful(source, _drawn(source, digest, settings, fresh), settings, fresh, throttle)
            if not doubtful:
                break
            log.line(f"WARNING A sample does not have the recorded hashes, so {len(doubtful)} images are hashed again")
            distrusted |= doubtful
            source.forget(doubtful, journal)
            _hash_pending(source, settings, journal, run_log.Meter(progress, log), throttle, fresh)
        count, seconds = len(fresh) - hashed_before, throttle.seconds_without_waits() - started
        rate = round(count / seconds, 1) if count and seconds > 0 else None
        failed.update((source.file(position), entry) for position, entry in source.entries.failures().items()
                      if entry.kind not in hash_journal.REMEMBERED_KINDS)
        result |= {"to_hash": 0, "hashed_now": len(fresh), "distrusted": len(distrusted), "images_per_second": rate,
                   "journal_set_aside": set_aside, "log": log.path}
        progress_made = _progress(source)
        result |= _forecast(settings, progress_made)
        if not settings.dry_run:
            _write_output(source, script, digest, result, settings)
        if settings.limit is None:
            try:
                _keep_findings(source, migrated, script, digest, progress_made, result["would_change"], settings)
            except DhashError as error:
                log.line(f"WARNING The next plan has to read everything again, because that of this run could not be kept: {error}")
    return result, migrated, source


def _keep_findings(source: library_survey.Source, migrated: library_assembly.MigratedLibrary, script: library_edit.Script | None, digest: str,
                   progress: plan_cache.Progress, is_changed: bool, settings: migration_settings.Settings) -> None:
    """Keep the summary and the plan of the library that this run leaves: the live one of a dry run, or the one with that ``digest``.

    Raises ``DhashError``.
    """
    counts = _counts(source, migrated)
    would_change = settings.dry_run and is_changed
    timing = _timing(migrated.seconds if would_change else source.entries.seconds(range(len(source.index))))
    if script is not None:
        before = {key: counts[key] for key in ("images", "hashed", "errors", "duplicates")}
        summary = library_summary.of_migrated(digest, before, migrated.record, source.index.paths)
        starts, ends = map(script.moved, (source.index.starts, source.index.ends))
    else:
        index = source.index if digest == source.sha256 else library_index.read(settings.output)[0]
        before, summary, starts, ends = index.counts(), library_summary.of(index, digest), index.starts, index.ends
    library_summary.keep(settings.state, summary)
    if plan_cache.can_hold(source):
        outcome = plan_cache.Outcome(would_change, before, counts | timing, progress)
        plan_cache.store(settings.state, _key(settings), source, digest, outcome, starts, ends)


def _key(settings: migration_settings.Settings) -> dict[str, Any]:
    """All that decides the plan of a library, apart from the library and the files of its images. Raises ``DhashError``."""
    journal = _stamp(hash_journal.path_in(settings.state))
    return {
        "version": run_record.VERSION, "library": settings.library, "terms": list(settings.terms), "limits": decoder_limits.text(settings.limits),
        "media_roots": list(settings.media_roots), "ignore_ctime": settings.ignore_ctime, "rehash": settings.rehash,
        "decoders": decoder_versions.versions(), "journal": journal and list(journal)}


def _watch_for_changes(settings: migration_settings.Settings, journal: hash_journal.Journal, throttle: host_throttle.Throttle) -> None:
    """Let ``throttle`` raise ``_ChangedError`` after a wait in which others have changed what this run has read.

    It raises ``RefusedError`` if others have put a file of theirs where the run would write.
    """
    def evidence() -> list[object]:
        return [*map(_stamp, (settings.library, os.path.join(settings.state, run_record.FILE))), journal.version()]

    def compare() -> None:
        _require_free_names(settings)
        if evidence() != before:
            raise _ChangedError

    before = evidence()
    throttle.resumed = compare


def _stamp(path: str) -> file_stamps.Stamp | None:
    try:
        return file_stamps.stamp_of(os.stat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "look at the file", path) from error


def _require_finished(settings: migration_settings.Settings) -> None:
    """Raise ``RefusedError`` if another operation is unfinished. A trial and a dry run deploy nothing and are not refused."""
    if not settings.dry_run and settings.limit is None:
        unfinished_work.require_finished(settings.library, settings.state, (run_record.MIGRATION,))


def _survey(settings: migration_settings.Settings, index: library_index.Index, digest: str, journal: hash_journal.Journal) -> library_survey.Source:
    """Survey the images to migrate: all images of the library, or its first images in a trial."""
    if settings.limit is not None:
        index = library_index.of(library_edit.first_images(index, settings.limit), settings.library)
    return library_survey.survey(settings.library, index, digest, journal)


def _hash_pending(source: library_survey.Source, settings: migration_settings.Settings, journal: hash_journal.Journal, meter: run_log.Meter,
                  throttle: host_throttle.Throttle, fresh: dict[str, file_stamps.Stamp | None]) -> None:
    """Hash each file without a journal entry once. ``fresh`` gets the stamps of these files, by path."""
    pending = source.files_to_hash()
    entries: dict[str, Entry] = {}
    try:
        hash_images(pending, settings, journal, meter, throttle, entries)
    finally:
        fresh.update((path, pending[path]) for path in entries)
    source.take(entries)


def hash_images(pending: dict[str, file_stamps.Stamp | None], settings: migration_settings.Settings, journal: hash_journal.Journal,
                meter: run_log.Meter, throttle: host_throttle.Throttle, entries: dict[str, Entry]) -> None:
    """Hash files into the journal, with a commit after every batch. ``pending``: their stamps, by path. ``entries`` gets the entry of each.

    Raises ``DhashError``, and what ``throttle`` raises.
    """
    throttle.tell = meter.wait  # also for the sample that is hashed after this
    if not pending:
        return
    meter.start(len(pending))
    for batch in hash_batches.hash_in_batches(
            list(pending), settings.terms.algorithm, settings.media_roots, settings.limits, settings.parallel,
            settings.temp_dir, settings.terms.batch_size, meter.count, throttle):
        stamps = [(path, pending[path] if isinstance(result, ImageError) else result.stamp, entry) for path, result, entry in batch]
        journal.record([(path, stamp, entry) for path, stamp, entry in stamps
                        if stamp and (entry.kind is None or entry.kind in hash_journal.REMEMBERED_KINDS)])
        entries.update((path, entry) for path, _result, entry in batch)


def _drawn(source: library_survey.Source, digest: str, settings: migration_settings.Settings, fresh: Collection[str]) -> list[int]:
    """The positions that a verification of the migrated library, with that ``digest``, draws, without the ``fresh`` files: those hashed
    in this run."""
    return [position for position in library_survey.sample(source.entries.hashed(), digest, settings.sample)
            if source.file(position) not in fresh]


def _doubtful(source: library_survey.Source, drawn: list[int], settings: migration_settings.Settings, fresh: Collection[str],
              throttle: host_throttle.Throttle = host_throttle.NEVER) -> set[str]:
    """The files whose journal entries may be wrong, because files of the sample ``drawn`` do not have the hash in the journal.

    It is the sample of a verification, so a verification finds no further differences. If a file has other content with an unchanged
    stamp, every other entry may be wrong as well. Raises ``MissingRequirementError``.
    """
    if not drawn:
        return set()
    found = hash_batches.hash_now([source.file(position) for position in drawn], settings.terms.algorithm, settings.media_roots,
                                  settings.limits, settings.parallel, settings.temp_dir, throttle)
    wrong = {source.file(position): entry for position, entry in zip(drawn, found)
             if entry.dhash != source.entries.known(position).dhash}
    if any(entry.kind is None or entry.kind in hash_journal.REMEMBERED_KINDS for entry in wrong.values()):
        return source.files_on_disk() - set(fresh)
    return set(wrong)


def _hashed(source: library_survey.Source) -> library_assembly.HashedLibrary:
    return library_assembly.HashedLibrary(source.index, source.entries, source.identities.shared())


def _before(source: library_survey.Source) -> dict[str, Any]:
    counts = source.index.counts()
    return {"images": counts["images"], "before": counts, "source_sha256": source.sha256}


def _result(source: library_survey.Source, hashed: library_assembly.HashedLibrary, migrated: library_assembly.MigratedLibrary,
            settings: migration_settings.Settings) -> dict[str, Any]:
    """The counts of the migrated library, and whether the live library or the staged one already has this content."""
    would_change = settings.limit is not None or not library_assembly.is_same_content(migrated, source.index)
    return {
        "output": settings.output, **_counts(source, migrated), **_timing(migrated.seconds),
        "would_change": would_change, "staged_file_is_stale": not would_change and _is_left_over(source.sha256, settings),
        "staged_file_is_current": would_change and _output_is_current(hashed, migrated, settings),
    }


def _counts(source: library_survey.Source, migrated: library_assembly.MigratedLibrary) -> dict[str, Any]:
    images, errors = len(source.index), migrated.fields["dhash_errors"]
    kinds = Counter(error["kind"] for error in errors)
    return {
        "images": images, "hashed": images - len(errors), "errors": len(errors), "duplicates": len(migrated.fields["dhash_duplicates"]),
        "duplicates_refuted": migrated.refuted, "errors_by_kind": dict(sorted(kinds.items())), "missing": kinds["missing"],
        "low_detail": source.entries.low_detail(), "failure_rate": round(len(errors) / images, 4) if images else 0.0}


def _timing(seconds: array[float]) -> dict[str, Any]:
    """The times of images, ``seconds``, as the result has them."""
    return {
        "average_ms": round(1000 * run_measurements.average(seconds), 3),
        "p95_ms": round(1000 * round(run_measurements.percentile_95(seconds), 6), 3),
        "times": dict(zip([*map(str, run_measurements.BUCKETS), "more"], run_measurements.histogram(seconds)))}


def _made(source: library_survey.Source, hashed: library_assembly.HashedLibrary, migrated: library_assembly.MigratedLibrary, result: dict[str, Any],
          settings: migration_settings.Settings) -> tuple[library_edit.Script | None, str]:
    """The edit to write, None if nothing has to be written, and the SHA-256 of the library that will be live."""
    if not result["would_change"] or settings.dry_run:
        return None, source.sha256
    if result["staged_file_is_current"]:
        return None, durable.sha256_of_file(settings.output)
    script = library_assembly.edit(hashed, migrated)
    return script, script.digest()


def _is_left_over(live: str, settings: migration_settings.Settings) -> bool:
    """Whether the last run staged a library that need not be deployed any more, because the library with the SHA-256 ``live`` is up to date."""
    last = run_record.read(settings.state)
    return (settings.limit is None and last is not None and last.operation == run_record.MIGRATION
            and not run_record.is_deployed(last) and last.new_sha256 != live)


def _output_is_current(hashed: library_assembly.HashedLibrary, migrated: library_assembly.MigratedLibrary, settings: migration_settings.Settings) -> bool:
    try:
        staged = library_index.read(settings.output)[0]
    except LibraryError:
        return False
    if not library_assembly.has_same_record(migrated, staged):
        return False
    with_its_record = migrated._replace(fields={**migrated.fields, "dhash_migration": staged.rest["dhash_migration"]})
    return library_assembly.edit(hashed, with_its_record).makes(staged.data)


def _progress(source: library_survey.Source) -> plan_cache.Progress:
    known = source.entries.seconds(range(len(source.index)))
    return plan_cache.Progress(len(source.index), len(source.entries.pending()), len(known), sum(known))


def _forecast(settings: migration_settings.Settings, progress: plan_cache.Progress) -> dict[str, Any]:
    """The forecast: seconds of hashing, and bytes for the backup, the replaced library and the new library."""
    size = durable.size_of_file(settings.library)
    grown = size + library_fields.ADDED_BYTES * progress.images + 4096
    average = progress.seconds / progress.measured if progress.measured else None
    return {"forecast": {
        "hashing_seconds": round(progress.pending * average / settings.parallel, 3) if average is not None else None,
        "hashing_seconds_without_journal": round(progress.images * average / settings.parallel, 3) if average is not None else None,
        "disk_bytes": 2 * size + 2 * grown,
    }}


def _require_free_names(settings: migration_settings.Settings) -> None:
    """Raise ``RefusedError`` if the run, or the deploy after it, would overwrite a file that the collection has not written."""
    if not settings.dry_run:
        written_files.require_ours(settings.state, settings.output, path_rules.FILES["output"])
        if settings.limit is None:
            cutover.require_free_names(settings.library, settings.state)


def _write_output(source: library_survey.Source, script: library_edit.Script | None, digest: str, result: dict[str, Any],
                  settings: migration_settings.Settings) -> None:
    """Write the migrated library if necessary, and the record that binds it to the live library it was made from."""
    last = run_record.read(settings.state)
    if not result["would_change"]:
        result["output_sha256"] = None
        if last is not None and result["staged_file_is_stale"]:
            written_files.remove(settings.state, last.output)
            run_record.withdraw(settings.state, last)
        return
    result["output_sha256"] = digest
    if script is not None:
        written_files.write(settings.state, settings.output, script.chunks(), like=settings.library)
    record = run_record.Record(
        settings.run, run_record.MIGRATION, run_record.PREPARED, settings.library, settings.output,
        cutover.pre_dhash(settings.library), source.sha256, result["output_sha256"],
        **run_record.carried_over(last), settings=_noted(settings), metadata=file_metadata.read(settings.library),
        origin=settings.origin)
    if settings.limit is None and (last is None or not run_record.is_same_job(last, record)):
        run_record.write(settings.state, record)
        unfinished_work.withdraw(last, record)
