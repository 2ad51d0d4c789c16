# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tiny library, and the operations of the modules on it, each as the critical section that its module calls.

All happens in this process: a step forked from it needs no time to start. The clock stands still where it is set.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import pwd
import random
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from ansible_collections.mobius.dhash.plugins.module_utils import _clock
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import pending_marker, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, locking
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, hash_batches, host_throttle
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_run, migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_queue
from ansible_collections.mobius.dhash.plugins.modules import library_backup, library_deploy, library_rollback, review_import
from PIL import Image

START = 1_770_000_000  # the clock of all that happens before, s since the epoch
KEEP = {"keep": 2, "keep_days": 30}
STAMP = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


class Site:
    """A folder with a library of tiny pictures, the folder of its backups, and the state of its host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "srv" / "library.json"
        self.backups = folder / "backups"
        self.copies = folder / "copies"
        self.params: dict[str, Any] = {
            "library": str(self.library), "state_dir": str(folder / "state"), "lock_timeout": 0, "log_dir": "logs", **KEEP,
            "backup": "latest", "remove_dhash": False, "force": False, "undo_sha256": None, "age_identity": None,
            "encrypt_to": [], "backup_dir": str(self.backups),
            "output": None, "limit": None, "report": "logs/report.json", "dry_run": False, "threshold": 10, "batch_size": 100,
            "algorithm": "pillow", "media_roots": None, "image_timeout": 30, "max_image_bytes": 1 << 20,
            "max_image_pixels": 1 << 20, "worker_memory": 2 << 30, "worker_user": None, "require_sandbox": False,
            "nice": 0, "io_class": "none", "parallel": 1, "temp_dir": None, "ignore_ctime": True,
            "origin": None, "dependents": [], "run": None, "real_path": None, "metrics_dir": None, "service_manager": "command",
            "service_name": None, "service_scope": "system", "status_command": None}
        self.state = run_record.folder(self.params["state_dir"], str(self.library))
        self._hashes: list[tuple[Any, ...]] = []

    def draw(self, count: int) -> None:
        """Make the library: pictures of which one is a duplicate, and metadata of its own on the file."""
        self.library.parent.mkdir(parents=True)
        for number in range(count):
            light = Image.frombytes("L", (9, 8), random.Random(number or 1).randbytes(72))
            light.resize((48, 40), Image.Resampling.BICUBIC).save(self.library.with_name(f"{number}.png"))
        images = [{"path": f"{number}.png", "filename": f"{number}.png"} for number in range(count)]
        self.library.write_text(json.dumps({"version": 3, "images": images}, indent=2))
        self.library.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(self.library, 1234, 2345)

    def place_backup(self, stamp: str) -> None:
        """A good backup of an older library, made at the time ``stamp``."""
        self.backups.mkdir(exist_ok=True)
        path = self.backups / f"library.json.bak.{stamp}"
        path.write_text(json.dumps({"images": [], "made": stamp}))
        path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")

    def forget_duplicates(self) -> None:
        """Have the next migration write its journal: all is hashed, the duplicates are to be looked for."""
        with sqlite3.connect(os.path.join(self.state, "journal.sqlite")) as journal:
            journal.execute("DELETE FROM notes")
        journal.close()

    def take_hashes_out(self) -> None:
        """Let the journal lack the hashes, and remember them."""
        with sqlite3.connect(os.path.join(self.state, "journal.sqlite")) as journal:
            self._hashes = journal.execute("SELECT * FROM images").fetchall()
            journal.execute("DELETE FROM images")
        journal.close()

    def put_hashes_back(self) -> None:
        """What the journal gets from a dry run that hashes all."""
        path = os.path.join(self.state, "journal.sqlite")
        try:
            with contextlib.closing(sqlite3.connect(path)) as journal:
                journal.executemany(f"INSERT OR REPLACE INTO images VALUES ({', '.join('?' * len(self._hashes[0]))})", self._hashes)
                journal.commit()
        except sqlite3.Error as error:
            raise DhashError(str(error), path, "Run again.") from error

    def edit(self) -> None:
        """What its service may do to the live library at any time."""
        library = json.loads(self.library.read_text())
        library["images"].append({"path": "later.png", "filename": "later.png"})
        self.library.write_text(json.dumps(library, indent=2))

    # The operations.

    def dry_run(self) -> None:
        self.migrate(dry_run=True)

    def migrate(self, **changes: Any) -> None:
        migration_run.run(migration_settings.from_params({**self.params, **changes}), lambda _progress: None)

    def migrate_paused(self) -> None:
        """A migration that waits for its pause file to go. Meanwhile others take the lock, and hash all images."""
        pause = self.folder.with_name("pause")

        def work_of_others(_seconds: float) -> None:
            with locking.lock(str(self.library), "backup", "other", 0):
                self.put_hashes_back()
            pause.unlink()

        pause.write_bytes(b"")  # opened also where a killed run has left it
        throttle = functools.partial(host_throttle.Throttle, clock=itertools.count().__next__, sleep=work_of_others)
        try:
            with mock.patch.object(host_throttle, "Throttle", throttle):
                self.migrate(pause_file=str(pause))
        finally:
            pause.unlink(missing_ok=True)

    def backup(self) -> None:
        library_backup.carry_out(str(self.library), self.state, [str(self.backups)], self.params, run_record.new_run())

    def backup_encrypted(self) -> None:
        """A backup that is encrypted, and copied to another folder."""
        params = {**self.params, "encrypt_to": ["age1recipient"]}
        library_backup.carry_out(str(self.library), self.state, [str(self.backups), str(self.copies)], params, run_record.new_run())

    def announce(self) -> None:
        self._deploy("announced")

    def deploy(self) -> None:
        self._deploy("deployed")

    def verified(self) -> None:
        self._deploy("verified")

    def _deploy(self, wanted: str) -> None:
        changed, _due = library_deploy.foresee(wanted, str(self.library), self.state, self.params)
        if changed:
            library_deploy.carry_out(wanted, str(self.library), self.state, self.params)

    def rollback(self, **changes: Any) -> None:
        library_rollback.carry_out({**self.params, **changes}, str(self.library), self.state, run_record.new_run())

    def remove_dhash(self) -> None:
        self.rollback(remove_dhash=True)

    def undo(self) -> None:
        record = run_record.read(self.state)
        assert record is not None
        self.rollback(undo_sha256=record.new_sha256)

    def started(self) -> None:
        self._deploy("started")

    def start(self) -> None:
        """As the role restart starts the service: a swap that was interrupted is finished first."""
        record = run_record.read(self.state)
        if record and record.phase == run_record.DEPLOYING:
            self._deploy("finished")
        self.started()

    def decide(self) -> None:
        """The decisions of a review: one of the first two pictures leaves the library."""
        review = self.folder / "review"
        review_export.run(review_export.Settings(
            str(self.library), self.state, str(review), run_record.new_run(), ("json",), review_queue.PairOptions(1, 64, False, 100), False,
            (str(self.library.parent),), decoder_limits.Limits(), 1, None, 0))
        queue = json.loads((review / "queue.json").read_text())
        queue["matches"][0].update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
        (self.folder / "decided.json").write_text(json.dumps(queue))

    def review_import(self) -> None:
        self._review("present")

    def review_reversal(self) -> None:
        self._review("absent")

    def _review(self, wanted: str) -> None:
        params = {**self.params, "state": wanted, "queues": [str(self.folder / "decided.json")], "validate_only": False}
        review_import.carry_out(params, str(self.library), self.state, "review-import", run_record.new_run())

    # Playbooks: what they prepare, they deploy; then they start the service and verify it.

    def play_migrate(self) -> None:
        record = run_record.read(self.state)
        if record and record.undoes and (run_record.is_unfinished(record) or record.phase == run_record.DEPLOYED):
            self._play(record.operation)  # a rollback that was interrupted is finished, and nothing else is done
        else:
            self.migrate()
            self._play(run_record.MIGRATION)

    def play_rollback(self) -> None:
        self.rollback()
        self._play(run_record.RESTORE)

    def play_verify(self) -> None:
        self.start()
        self.verified()

    def _play(self, operation: str) -> None:
        record = run_record.read(self.state)
        if record and record.operation == operation:
            self.announce()
            self.deploy()
        self.play_verify()

    # What there is.

    def images(self) -> list[dict[str, Any]]:
        """The images of the live library."""
        images: list[dict[str, Any]] = json.loads(self.library.read_text())["images"]
        return images

    def snapshot(self) -> dict[str, list[Any]]:
        """Every file below the folder: metadata and content, times aside; neither logs, nor what was set aside, nor caches. Files that
        differ only in the time in their name come under one name."""
        found: dict[str, list[Any]] = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and path.parent.name != "logs" and ".damaged-" not in path.name \
                    and path.name not in ("plan.cache", "summary.json", "waiting.lock"):
                name = STAMP.sub("TIME", str(path.relative_to(self.folder)))
                found.setdefault(name, []).append((status.st_mode, status.st_uid, status.st_gid, self._content(path)))
        return found

    def _content(self, path: Path) -> object:
        if path.name == "journal.sqlite":
            with sqlite3.connect(path) as journal:
                journal.execute("UPDATE images SET ctime_ns = NULL, inode = NULL")  # a restored site has others
                content = list(journal.iterdump())
                journal.rollback()
            journal.close()
            return content
        if path.name == "run.json":
            record = run_record.read(self.state)
            assert record is not None
            return [record[1:5], STAMP.sub("TIME", record.kept), record[6:9], record.stopped_at is not None]
        if path.name == "written.json":  # the report that it has the digest of tells times
            return sorted({STAMP.sub("TIME", name) for name in json.loads(path.read_text())["files"]})
        if path.name.endswith(".pending"):
            marker = pending_marker.read(str(self.library))
            return marker and marker.operation
        if path.suffix == ".lock":
            return None  # who held it last
        return STAMP.sub("TIME", path.read_bytes().decode("latin-1"))

    def temporary_files(self) -> list[str]:
        return [str(path) for path in self.folder.rglob("*.mobius-dhash.*") if not path.name.endswith(".pending")]


Step = Callable[[Site], None]


class Operation(NamedTuple):
    """``steps`` are what is killed; ``before`` has happened already; ``again`` is what an operator runs after that."""

    before: Sequence[Step]
    steps: Sequence[Step]
    again: Sequence[Step]


MIGRATION: list[Step] = [Site.backup, Site.migrate, Site.announce, Site.deploy, Site.started]
GO_LIVE: list[Step] = [Site.announce, Site.deploy]
OPERATIONS = {
    "migrate": Operation([Site.backup, Site.dry_run, Site.forget_duplicates], [Site.migrate], [Site.migrate, *GO_LIVE]),
    "paused-migrate": Operation([Site.backup, Site.dry_run, Site.take_hashes_out], [Site.migrate_paused], [Site.migrate, *GO_LIVE]),
    "backup": Operation([], [Site.backup], [Site.backup]),
    "encrypted-backup": Operation([], [Site.backup_encrypted], [Site.backup_encrypted]),
    "deploy": Operation([Site.backup, Site.migrate], GO_LIVE, [Site.migrate, *GO_LIVE]),
    "verified": Operation(MIGRATION, [Site.verified], [Site.migrate, *GO_LIVE, Site.verified]),
    "rollback": Operation([*MIGRATION, Site.verified], [Site.rollback, *GO_LIVE], [Site.rollback, *GO_LIVE]),
    "remove-dhash": Operation([*MIGRATION, Site.verified, Site.edit], [Site.remove_dhash, *GO_LIVE], [Site.remove_dhash, *GO_LIVE]),
    "review-import": Operation([*MIGRATION, Site.verified, Site.decide], [Site.review_import, *GO_LIVE], [Site.review_import, *GO_LIVE]),
    "review-reversal": Operation([*MIGRATION, Site.decide, Site.review_import, *GO_LIVE, Site.started, Site.verified],
                                 [Site.review_reversal, *GO_LIVE], [Site.review_reversal, *GO_LIVE]),
    "undo": Operation(MIGRATION, [Site.undo, *GO_LIVE], [Site.rollback, *GO_LIVE]),
}

# A playbook that runs after another operation was killed.
OTHERS = {
    "rollback after migrate": Site.play_rollback, "rollback after deploy": Site.play_rollback,
    "verify after deploy": Site.play_verify, "verify after rollback": Site.play_verify,
    "migrate after rollback": Site.play_migrate, "migrate after review-import": Site.play_migrate,
    "rollback after review-import": Site.play_rollback, "migrate after undo": Site.play_migrate,
}


UTC, ENTRIES = time.gmtime, hash_batches.entries
pwd.getpwuid = functools.cache(pwd.getpwuid)  # glibc asks nscd at every hundredth look-up, which moves the numbers of the calls


def set_clock(seconds: int) -> None:
    """Let the clock stand at ``seconds`` since the epoch, for names; an image is hashed at one moment, in a millisecond."""
    time.time = lambda: seconds
    time.gmtime = lambda moment=None: UTC(seconds if moment is None else moment)
    # Nor two times the same cipher, and not so many reads of its pipe: a call is told by its number.
    age_encryption.encrypt = lambda content, recipients: b"encrypted " + content[::-1]
    _clock.now = lambda: "2026-01-31T12:00:00.000Z"
    hash_batches.entries = lambda results: [entry._replace(seconds=0.001) for entry in ENTRIES(results)]


def prepare(site: Site, operation: str) -> None:
    """Make the site as it is before ``operation``, and keep a copy for :func:`restore`."""
    set_clock(START)
    site.draw(4)
    site.place_backup("20250101T000000Z")
    site.place_backup("20250102T000000Z")
    for step in OPERATIONS[operation].before:
        step(site)
    shutil.copytree(site.folder, f"{site.folder}.prepared", copy_function=_copy)


def restore(site: Site) -> None:
    """The site again as it was prepared."""
    shutil.rmtree(site.folder)
    shutil.copytree(f"{site.folder}.prepared", site.folder, copy_function=_copy)


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target)
    if os.geteuid() == 0:
        status = os.stat(source)
        os.chown(target, status.st_uid, status.st_gid)
