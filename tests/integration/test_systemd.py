# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A systemd unit that other units require: what ran before the swap runs after it. systemctl is a program of the test's own."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from conftest import BIN, IMAGES, Site

pytestmark = pytest.mark.thorough  # the scenario dependent_unit has a real systemd

SYSTEMCTL = '''#!{python}
import sys
from pathlib import Path

ACTIVE, LOG = Path({active!r}), Path({log!r})
NEEDED_BY = {{"app.service": ("RequiredBy", ["proxy.service", "idle.service"]), "proxy.service": ("BoundBy", ["tunnel.service"])}}
SHOWN = "RequiredBy RequisiteOf BoundBy ConsistsOf PropagatesStopTo".split()


def full(name):
    return name if "." in name else name + ".service"


def stop(unit):
    (ACTIVE / unit).unlink(missing_ok=True)
    for other in NEEDED_BY.get(unit, ("", []))[1]:
        stop(other)


arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
verb, units = arguments[0], [full(name) for name in arguments[1:]]
if verb == "show":
    blocks = []
    for unit in units:
        kind, others = NEEDED_BY.get(unit, ("", []))
        state = "active" if (ACTIVE / unit).exists() else "inactive"
        facts = {{"Id": unit, "LoadState": "loaded", "ActiveState": state, "SubState": "running", "MainPID": "0"}}
        facts.update((name, " ".join(others) if name == kind else "") for name in SHOWN)
        blocks.append("".join(f"{{key}}={{value}}\\n" for key, value in facts.items()))
    print("\\n".join(blocks), end="")
elif verb in ("start", "stop", "restart"):
    with LOG.open("a") as log:
        log.write(f"{{verb}} {{units[0]}}\\n")
    if verb == "stop":
        stop(units[0])
    else:
        (ACTIVE / units[0]).touch()
'''


class Systemd:
    """Units of which some are active, and a log of what was done to them."""

    def __init__(self, site: Site) -> None:
        self.active = site.home / "active"
        self.log = site.home / "systemctl.log"
        self.active.mkdir()
        self.log.touch()
        for unit in ("app.service", "proxy.service", "tunnel.service"):
            (self.active / unit).touch()
        program = site.home / "bin/systemctl"
        program.parent.mkdir()
        program.write_text(SYSTEMCTL.format(python=sys.executable, active=str(self.active), log=str(self.log)), encoding="utf-8")
        program.chmod(0o755)
        self.environment = {"PATH": f"{program.parent}:{BIN}:{os.environ['PATH']}"}

    def running(self) -> list[str]:
        return sorted(path.name for path in self.active.iterdir())


@pytest.fixture
def systemd(site: Site) -> Systemd:
    return Systemd(site)


def test_units_that_stop_with_the_service_are_started_again(site: Site, systemd: Systemd) -> None:
    run = site.playbook("migrate", environment=systemd.environment, dhash_service_manager="systemd", dhash_service_name="app")
    assert run.code == 0, run.output
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
    assert systemd.running() == ["app.service", "proxy.service", "tunnel.service"]
    assert systemd.log.read_text(encoding="utf-8").splitlines() == [
        "stop app.service", "start app.service", "start proxy.service", "start tunnel.service"]
    assert "Stopping app (systemd)." in run.output


def test_the_next_run_starts_the_units_of_a_killed_one(site: Site, systemd: Systemd) -> None:
    given: dict[str, Any] = {"library": str(site.library), "state_dir": str(site.state)}
    site.module("library_migrate", **given)
    site.module("library_deploy", **given)
    (announced,) = [site.module("library_rollback", **given), site.module(
        "library_deploy", **given, state="announced", dependents=["proxy.service", "tunnel.service"])][1:]
    assert announced["dependents"] == ["proxy.service", "tunnel.service"], announced
    for unit in systemd.active.iterdir():
        unit.unlink()
    run = site.playbook("verify", environment=systemd.environment, dhash_service_manager="systemd", dhash_service_name="app")
    assert run.code == 0, run.output
    assert systemd.running() == ["app.service", "proxy.service", "tunnel.service"]
    record = site.module("library_info", **given, check_library=False)["run"]
    assert (record["stopped_at"], record["dependents"], record["restart_owed"]) == (None, [], False)
