# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways back: to what the last migration replaced, to a named backup, or with only the hashes taken out."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from conftest import IMAGES, Site, sha256


def edit(site: Site, images: int) -> None:
    """What a service does to its library after a migration: a setting, and ``images`` new images."""
    library = site.read()
    library["edited"] = True
    library["images"] += [{"filename": f"new-{number}.jpg", "path": f"media/new-{number}.jpg"} for number in range(images)]
    site.library.write_text(json.dumps(library, indent=2), encoding="utf-8")


@pytest.mark.matrix
def test_emergency_rollback_restores_the_original_bytes_once(site: Site) -> None:
    before = sha256(site.library)
    site.migrate()
    migrated = sha256(site.library)
    tree = site.snapshot()

    check = site.playbook("rollback", "--check", "--diff")
    assert check.code == 0 and "-hashed: 35" in check.output and "+hashed: 0" in check.output
    assert site.snapshot() == tree

    run = site.playbook("rollback")
    assert run.code == 0 and "Images with DHash after rollback: 0" in run.output
    assert sha256(site.library) == before
    (safety_copy,) = site.library.parent.glob("library.json.pre-rollback.*")
    assert sha256(safety_copy) == migrated
    (log,) = site.library.parent.glob("logs/library.json.rollback-*.log")
    assert f"Restored from: {site.backups()[0]}" in log.read_text(encoding="utf-8")

    tree = site.snapshot()
    again = site.playbook("rollback")
    assert again.code == 0 and again.changed() == []
    assert site.snapshot() == tree


def test_taking_the_hashes_out_keeps_what_was_edited_since(site: Site) -> None:
    original = site.read()
    site.migrate()
    edit(site, images=2)
    run = site.playbook("rollback", dhash_rollback_remove_dhash=True)
    assert run.code == 0, run.output
    library = site.read()
    assert library.pop("edited") and len(library["images"]) == IMAGES + 2
    library["images"] = library["images"][:-2]
    assert library == original


@pytest.mark.thorough
def test_images_missing_in_a_backup_are_lost_only_on_request(site: Site) -> None:
    before = sha256(site.library)
    site.migrate()
    edit(site, images=2)
    edited = sha256(site.library)
    refused = site.playbook("rollback")
    message = " ".join(refused.failures())
    assert refused.code != 0 and "2 images (media/new-0.jpg, media/new-1.jpg), 0 changed images, 1 other fields (edited)" in message
    assert sha256(site.library) == edited
    check = site.playbook("rollback", "--check", dhash_rollback_force=True)
    forced = site.playbook("rollback", dhash_rollback_force=True)
    assert check.code == forced.code == 0, forced.output
    (safety_copy,) = site.library.parent.glob("library.json.pre-rollback.*")
    (log,) = site.library.parent.glob("logs/*rollback-*.log")
    for shown in (forced.output, log.read_text(encoding="utf-8")):
        assert f"The replaced library is kept as: {safety_copy}" in shown
    assert "Lost: 2 images (media/new-0.jpg, media/new-1.jpg), 0 changed images, 1 other fields (edited)" in " ".join(forced.output.split())
    assert sha256(safety_copy) == edited
    assert sha256(site.library) == before


@pytest.mark.thorough
def test_rollback_refuses_a_damaged_backup_and_names_the_next(site: Site) -> None:
    before = sha256(site.library)
    site.migrate()
    (good,) = site.backups()
    bad = good.with_name("library.json.bak.20990101T000000Z")
    bad.write_bytes(good.read_bytes().replace(b"1", b"2", 1))
    bad.with_name(f"{bad.name}.sha256").write_text(f"{before}  {bad.name}\n", encoding="utf-8")
    refused = site.playbook("rollback", dhash_rollback_to=bad.name)
    message = " ".join(refused.failures())
    assert refused.code != 0 and str(bad) in message and f"The next intact backup is {good.name}" in message
    listed = site.playbook("list_backups").output
    assert listed.index(f"{bad.name}  ") < listed.index("BAD: ") < listed.index(f"{good.name}  ") < listed.index("digest good")
    assert site.playbook("rollback", dhash_rollback_to=good.name).code == 0
    assert sha256(site.library) == before


def test_a_library_that_is_gone_altogether_is_put_back(site: Site) -> None:
    before = sha256(site.library)
    site.migrate()
    os.unlink(site.library)
    run = site.playbook("rollback")
    assert run.code == 0, run.output
    assert sha256(site.library) == before


@pytest.mark.thorough
def test_check_and_run_agree_on_a_library_lost_before_its_deploy(site: Site) -> None:
    before = sha256(site.library)
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}
    for module, arguments in (("library_backup", {}), ("library_migrate", {"parallel": 1}), ("library_deploy", {"state": "announced"})):
        result = site.module(module, **given, **arguments)
        assert not result.get("failed"), result
    os.unlink(site.library)
    tree = site.snapshot()
    service: dict[str, Any] = {"dhash_service_manager": "command", "dhash_stop_command": "true", "dhash_start_command": "true"}
    check = site.playbook("rollback", "--check", **service)
    assert check.code == 0 and check.changed(), check.output
    assert site.snapshot() == tree
    run = site.playbook("rollback", **service)
    assert run.code == 0, run.output
    assert sha256(site.library) == before


@pytest.mark.thorough
def test_library_broken_at_service_stop_is_restored_with_edits(site: Site) -> None:
    site.migrate()
    edit(site, images=1)
    edited = sha256(site.library)
    broken = site.library.with_name("broken")
    broken.write_text('{"images": [], "ratio": NaN}', encoding="utf-8")
    failed = site.playbook("migrate", dhash_service_manager="command", dhash_stop_command=f"cp {broken} {site.library}",
                           dhash_start_command="true", dhash_status_command="true", dhash_monitor_minutes=0)
    assert failed.code != 0 and "Next: ansible-playbook mobius.dhash.rollback" in " ".join(failed.failures()), failed.output
    tree = site.snapshot()
    check = site.playbook("rollback", "--check")
    assert site.snapshot() == tree
    run = site.playbook("rollback")
    assert check.code == run.code == 0, run.output
    for shown in (check.output, run.output):
        assert "Lost: unknown, because the live library cannot be read" in shown
    assert sha256(site.library) == edited
    again = site.playbook("rollback")
    assert again.code == 0 and not again.changed(), again.output


def test_deleted_library_is_reported_and_restored_over_an_import(site: Site) -> None:
    site.migrate()
    edit(site, images=1)
    edited = sha256(site.library)
    assert site.module("library_backup", library=str(site.library), state_dir=str(site.state))["created"]
    (record,) = site.state.glob("*/run.json")
    staged = site.library.with_name("library.json.import")
    staged.write_text("{}", encoding="utf-8")
    prepared = {"operation": "review_import", "phase": "prepared", "output": str(staged), "old_sha256": edited, "new_sha256": sha256(staged)}
    record.write_text(json.dumps({**json.loads(record.read_text()), **prepared}), encoding="utf-8")
    os.unlink(site.library)
    refused = site.playbook("migrate")
    message = " ".join(refused.failures())
    assert "no longer exists; this host has 2 backups of it in" in message and "mobius.dhash.rollback" in message, refused.output
    assert "which is as it was" not in message and "Check the path" not in message
    run = site.playbook("rollback")
    assert run.code == 0 and "the review_import of run" in run.output, run.output
    assert sha256(site.library) == edited and not staged.exists()
