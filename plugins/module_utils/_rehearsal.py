# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rehearse: migrate a part of a library in a scratch folder, roll it back in every way, and compare the bytes.

A rehearsal runs the same code as a migration and a rollback, on the same host and disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from . import _redeploy
from ._deploy import backup_files, cutover, rollback_plan, run_record
from ._errors import DhashError, from_os_error
from ._files import age_encryption, durable, locking
from ._hashing import host_throttle
from ._library import library_edit, library_fields, library_file, library_index
from ._migrate import migration_run, migration_settings


def rehearse(settings: migration_settings.Settings, images: int, recipients: Sequence[str],
             progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Rehearse ``settings`` on the first ``images`` images; returns counts and seconds, and notes the time.

    ``progress`` is called from time to time with the state of :class:`run_log.Meter`. The live library is only read. Nothing but the note
    is left. Raises ``DhashError`` if a step fails or gives other bytes.
    """
    started = time.monotonic()
    scratch = os.path.join(settings.state, "rehearsal")
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locking.lock(settings.library, "rehearsal", settings.run, settings.lock_timeout))
        durable.make_folder(settings.state)
        # Kept while the rehearsal waits for a quieter host: another rehearsal would remove its files.
        stack.enter_context(locking.lock(scratch, "rehearsal", settings.run, settings.lock_timeout, "the scratch folder", like=settings.library))
        _remove(scratch)  # of a killed rehearsal
        durable.make_folder(scratch)
        try:
            result = _Stage(settings, scratch, recipients, lock, progress).play(images)
        finally:
            _remove(scratch)
        result["seconds"] = round(time.monotonic() - started, 3)
        result["rehearsed_at"] = datetime.now(timezone.utc).strftime(run_record.TIME)
        run_record.note_rehearsal(settings.state, result)
    return result


class _Stage:
    """A scratch folder with a library, its backups and its state."""

    def __init__(self, settings: migration_settings.Settings, scratch: str, recipients: Sequence[str], lock: locking.Held,
                 progress: Callable[[dict[str, Any]], None]) -> None:
        self.live = settings.library
        self.lock = lock
        self.progress = progress
        self.waits: list[dict[str, Any]] = []
        self.library = os.path.join(scratch, "library.json")
        self.backups = os.path.join(scratch, "backups")
        self.settings = settings._replace(
            library=self.library, output=os.path.join(scratch, "library.dhash.json"),
            state=os.path.join(scratch, "state"), limit=None, dry_run=False, report=None, log_dir=None)
        self.identity: str | None = None
        self.recipients = list(recipients)
        if recipients:  # their identities are elsewhere: a temporary identity decrypts the backups as well
            self.identity, own = age_encryption.new_identity()
            self.recipients.append(own)

    def play(self, images: int) -> dict[str, Any]:
        old = self._prepare(images)
        backup_files.make(self.library, self.backups, self.recipients)
        result = self._migrate(old)
        cutover.verified(self.library, self.settings.state, check=False, recipients=self.recipients)
        self._go_back(old, "the emergency rollback", rollback_plan.RollbackRequest(rollback_plan.LATEST, False, False, self.identity))
        self._migrate(old)
        self._go_back(old, "removing the hashes", rollback_plan.RollbackRequest(rollback_plan.LATEST, True, False))
        self._migrate(old)
        self._go_back(old, "the rescue of a failed migration", None)
        return {**{key: result[key] for key in ("images", "hashed", "errors")}, "throttled": host_throttle.together(self.waits)}

    def _prepare(self, images: int) -> str:
        """Write the first images of the live library without managed fields; the SHA-256 of the result."""
        library = library_file.parse(library_edit.first_images(library_index.read(self.live)[0], images), self.live)
        value = library_fields.without_our_fields(library.value)
        folder = os.path.dirname(self.live)
        value["images"] = [{**image, "path": os.path.join(folder, image["path"])} for image in value["images"]]
        return durable.write(self.library, [library_edit.edited(library, value)], like=self.live)

    def _migrate(self, old: str) -> dict[str, Any]:
        result = migration_run.run(self.settings, self.progress, outer=[self.lock])
        self.waits.append(result["throttled"])
        self._go_live()
        self._expect("the migration", result["output_sha256"])
        kept = cutover.pre_dhash(self.library)
        if durable.sha256_of_file(kept) != old:
            raise DhashError("the rehearsed migration changed the replaced library", kept, "Report this bug.")
        return result

    def _go_back(self, old: str, way_back: str, request: rollback_plan.RollbackRequest | None) -> None:
        state = self.settings.state
        record = run_record.read(state)
        if request is not None:
            planned: rollback_plan.RollbackPlan | None = rollback_plan.make_plan(self.library, state, self.backups, request)
        else:
            planned = record and rollback_plan.plan_undo(self.library, state, self.backups, record.new_sha256)
        if planned is None:
            raise DhashError("the rehearsed migration left nothing to take back", self.library, "Report this fault.")
        rollback_plan.prepare(self.library, state, planned, force=False, run=self.settings.run)
        self._go_live()
        self._expect(way_back, old)
        cutover.verified(self.library, state, check=False, recipients=self.recipients)

    def _go_live(self) -> None:
        cutover.announce(self.library, self.settings.state)
        _redeploy.run(self.library, self.settings.state, self.settings.lock_timeout)
        cutover.started(self.library, self.settings.state, check=False)

    def _expect(self, step: str, digest: str) -> None:
        if durable.sha256_of_file(self.library) != digest:
            raise DhashError(f"the rehearsal failed: the library is wrong after {step}", self.live,
                             "Do not migrate on this host. Report this bug.")


def _remove(scratch: str) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(scratch)
    except OSError as error:
        raise from_os_error(error, "remove the files of the rehearsal", scratch) from error
