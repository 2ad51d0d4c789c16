# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swap that is postponed by a file on the host."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from command_service import Service
from conftest import IMAGES, PATIENCE, ROOT, Site, sha256


def test_migration_postpones_its_swap_until_the_file_is_removed(site: Site, service: Service) -> None:
    old = sha256(site.library)
    flag = site.home / "postpone"
    flag.touch()
    options: dict[str, Any] = {**service.settings, "dhash_postpone_file": str(flag)}

    status = site.playbook("fleet_status", dhash_postpone_file=str(flag), dhash_fleet_status_file=str(site.home / "status.json"))
    assert "swap postponed" in status.output
    assert json.loads((site.home / "status.json").read_text(encoding="utf-8"))[0]["postponed"] is True

    # Extra variables come before those of the role: a second instead of a minute.
    with subprocess.Popen(site.command("migrate", **options, __dhash_postpone_seconds=1), cwd=ROOT,
                          env=site.environment(PYTHONUNBUFFERED="1"),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playbook:
        assert playbook.stdout is not None
        shown: list[str] = []
        while sum("RETRYING" in line for line in shown) < 2:
            shown.append(playbook.stdout.readline())
            assert shown[-1], "".join(shown)
        assert sha256(site.library) == old and service.told() == []
        locked = site.module("library_backup", library=str(site.library), state_dir=str(site.state), lock_timeout=0)
        assert not locked.get("failed"), locked
        flag.unlink()
        output = playbook.communicate(timeout=PATIENCE)[0]
    run = site.read_run(playbook.returncode, "".join(shown) + output)
    assert run.code == 0, run.output
    assert f"postponed until {flag} is removed" in run.of("Show that the run waits")["msg"]
    assert [verb for verb, _digest in service.told()] == ["stop", "start"]
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5

    flag.touch()
    again = site.playbook("migrate", **options)
    assert again.code == 0 and again.changed() == [], again.output
    back = site.playbook("rollback", **options)
    assert back.code == 0, back.output
    assert sha256(site.library) == old
    check = site.playbook("migrate", "--check", **options)
    assert check.code == 0 and f"until {flag} is removed" in check.of("Show that a run would wait")["msg"]
