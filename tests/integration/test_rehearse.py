# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal, and a migration that demands one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import Site, snapshot

pytestmark = pytest.mark.thorough


def test_migration_that_requires_a_rehearsal_refuses_without_one(site: Site) -> None:
    demanding: dict[str, Any] = {"dhash_rehearsal_max_days": 7}
    tree = site.snapshot()
    refused = site.playbook("migrate", **demanding)
    assert refused.code != 0
    assert [problem["id"] for problem in refused.of("Check the host")["problems"]] == ["rehearsal_missing"]
    assert "-> With the same inventory and options: ansible-playbook mobius.dhash.rehearse" in " ".join(refused.failures())
    check = site.playbook("rehearse", "--check", **demanding)
    assert check.code == 0 and "A run would migrate and roll back the first 100 images" in check.of("Show what was proved")["msg"]
    assert site.snapshot() == tree

    library = snapshot(site.library.parent)
    rehearsal = site.playbook("rehearse", dhash_rehearse_first_images=20, **demanding)
    assert rehearsal.code == 0 and rehearsal.changed() == [], rehearsal.output
    assert "each gave back the same bytes" in rehearsal.of("Show what was proved")["msg"].replace("\n", " ")
    after = snapshot(site.library.parent)
    assert {name for name in after if after.get(name) != library.get(name)} == {"library.json.lock"}
    note, lock = sorted(path for path in site.state.rglob("*") if path.is_file())
    assert (note.name, lock.name) == ("rehearsal.json", "rehearsal.lock")

    assert site.playbook("migrate", "--check", **demanding).code == 0
    note.write_text(json.dumps({**json.loads(note.read_text()), "rehearsed_at": "2024-01-31T12:00:00Z"}))
    refused = site.playbook("migrate", "--check", **demanding)
    assert refused.code != 0 and "the last rehearsal passed on 2024-01-31" in " ".join(refused.failures())


@pytest.mark.matrix
def test_dry_run_rehearsal_and_check_ignore_a_closed_window(site: Site) -> None:
    hour_ago = datetime.now() - timedelta(hours=1)
    closed: dict[str, Any] = {"dhash_maintenance_window": f"{hour_ago - timedelta(hours=1):%H:%M}-{hour_ago:%H:%M}"}
    for playbook, *options in (("dry_run",), ("rehearse",), ("migrate", "--check")):
        run = site.playbook(playbook, *options, **closed)
        assert run.code == 0, run.output
        assert "A migration is refused until then" in run.of("Report that the maintenance window is closed")["msg"]
    refused = site.playbook("migrate", **closed)
    assert refused.code != 0
    assert [problem["id"] for problem in refused.of("Check the host")["problems"]] == ["maintenance_window_closed"]
