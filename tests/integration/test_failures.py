# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every row of the table in docs/operations.md that says what a failed playbook leaves, played for real."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from command_service import Service, rollback_is_killed
from conftest import ROOT, Site

TABLE = re.compile(r"^## What a failed run leaves\n(?:[^|].*\n|\n)+\|.*\n\| ---.*\n(?P<rows>(?:\|.*\n)+)", re.M)
HEALTHY, UNHEALTHY = (200, '{"status": "ok"}'), (503, '{"status": "broken"}')


class Row(NamedTuple):
    """One row of the table."""

    playbook: str
    moment: str
    library: str
    service: str
    command: str

    @property
    def name(self) -> str:
        return f"{self.playbook}: {self.moment}"


def rows() -> list[Row]:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = TABLE.search(text)
    assert table
    lines = table["rows"].splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(playbook, moment, library, service, command.strip("`")) for playbook, moment, library, service, command in found]


class Place:
    """A site with a service; the moments below make it fail."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.service = Service(site)
        self.was_stopped = False

    def call(self, module: str, **arguments: Any) -> dict[str, Any]:
        result = self.site.module(module, library=str(self.site.library), state_dir=str(self.site.state), **arguments)
        assert not result.get("failed"), result
        return result

    def migrated(self, verified: bool = True) -> None:
        """The library was migrated by an earlier run."""
        self.call("library_backup")
        self.call("library_migrate")
        self.call("library_deploy")
        if verified:
            self.call("library_deploy", state="verified")

    def stopped(self) -> None:
        """An earlier migration was killed with the service stopped."""
        self.call("library_backup")
        self.call("library_migrate")
        self.call("library_deploy", state="announced")
        self.service.stopped.touch()
        self.was_stopped = True

    def unhealthy_from(self, request: int) -> None:
        """The service is unhealthy from so many requests on."""
        asked = []

        def answer() -> tuple[int, str]:
            asked.append(1)
            return UNHEALTHY if len(asked) > request else HEALTHY

        self.service.answer = answer

    def unhealthy_with(self, *libraries: bytes) -> None:
        """The service is unhealthy while one of these is the live library; without any, while it is not the present one."""
        present = self.site.library.read_bytes()
        self.service.answer = lambda: UNHEALTHY if (
            self.site.library.read_bytes() in libraries if libraries else self.site.library.read_bytes() != present) else HEALTHY

    def left(self, playbook: str) -> dict[str, Any]:
        return self.call("recovery_info", service_manager="command", status_command=self.service.settings["dhash_status_command"], playbook=playbook)


def prerequisite(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_media_roots": ["/no/such/folder"]}


def too_many(place: Place) -> dict[str, Any]:
    place.stopped()
    place.site.library.write_text(json.dumps({**place.site.read(), "edited": True}, indent=2), encoding="utf-8")
    return {"dhash_max_failure_rate": 0.01}


def subset(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_first_images": 5}


def stop_fails(place: Place) -> dict[str, Any]:
    place.service.broken["stop"].touch()
    return {}


def becomes_invalid(place: Place) -> dict[str, Any]:
    text = place.site.library.read_text(encoding="utf-8")
    invalid = place.site.home / "invalid.json"
    invalid.write_text(text.replace("{", '{"ratio": NaN, ', 1), encoding="utf-8")
    place.service.meanwhile.write_text(f"cat '{invalid}' > '{place.site.library}'\n", encoding="utf-8")
    return {}


def is_removed(place: Place) -> dict[str, Any]:
    place.service.meanwhile.write_text(f"rm '{place.site.library}'\n", encoding="utf-8")
    return {}


def rolled_back_meanwhile(place: Place) -> dict[str, Any]:
    command = shlex.join(place.site.command("rollback", **place.service.settings))
    place.service.meanwhile.write_text(f"cd '{ROOT}' && {command} >'{place.site.home}/other.log' 2>&1\n", encoding="utf-8")
    return {}


def start_fails(place: Place) -> dict[str, Any]:
    place.service.broken["start"].touch()
    return {}


def new_is_unhealthy(place: Place) -> dict[str, Any]:
    place.unhealthy_with()
    return {}


def both_are_unhealthy(place: Place) -> dict[str, Any]:
    place.unhealthy_from(1)
    return {}


def nothing_to_deploy(place: Place) -> dict[str, Any]:
    place.migrated()
    place.unhealthy_from(1)
    return {}


def watch_rolls_back(place: Place) -> dict[str, Any]:
    old, asked = place.site.library.read_bytes(), []

    def answer() -> tuple[int, str]:
        asked.append(1)
        return UNHEALTHY if len(asked) > 2 and place.site.library.read_bytes() != old else HEALTHY

    place.service.answer = answer
    return {"dhash_monitor_minutes": 0.02, "dhash_monitor_gates": {"health": {"limit": 1}}}


def watch_fails(place: Place) -> dict[str, Any]:
    return watch_rolls_back(place) | {"dhash_monitor_gates": {"health": {"limit": 1, "action": "fail"}}}


def is_killed(place: Place) -> dict[str, Any]:
    with subprocess.Popen(place.site.command("migrate", **place.service.settings), cwd=ROOT, env=place.site.environment(),
                          start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        place.service.to_kill.write_text(str(killed.pid), encoding="utf-8")
    assert killed.returncode == -signal.SIGKILL
    return {}


def check_mode(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"options": ["--check"]}


def mistyped_manager(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_service_manager": "comand"}


def no_manager(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_service_manager": "none"}


def never_migrated(place: Place) -> dict[str, Any]:
    place.stopped()
    return {}


def migrated_and_unhealthy(place: Place) -> dict[str, Any]:
    place.migrated(verified=False)
    place.unhealthy_from(0)
    return {}


def killed_after_its_swap(place: Place) -> dict[str, Any]:
    rollback_is_killed(place.site, place.service, is_swapped=True)
    place.was_stopped = True
    return {}


def killed_before_its_swap(place: Place) -> dict[str, Any]:
    rollback_is_killed(place.site, place.service, is_swapped=False)
    place.was_stopped = True
    return {}


def watched_and_unhealthy(place: Place) -> dict[str, Any]:
    old = place.site.library.read_bytes()
    place.migrated()
    place.service.answer = lambda: UNHEALTHY if place.site.library.read_bytes() != old else HEALTHY
    return {"dhash_monitor_minutes": 0.02, "dhash_monitor_gates": {"health": {"limit": 1}}}


def stopped_and_monitored(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_monitor_minutes": 0.02, "dhash_monitor_gates": {"health": {"limit": 1}}}


def no_such_backup(place: Place) -> dict[str, Any]:
    place.stopped()
    return {"dhash_rollback_to": "library.json.bak.20000101T000000Z"}


def rollback_cannot_stop(place: Place) -> dict[str, Any]:
    place.migrated()
    return stop_fails(place)


def rolled_back_is_unhealthy(place: Place) -> dict[str, Any]:
    place.migrated()
    place.unhealthy_from(0)
    return {}


def unreadable_watch(place: Place) -> dict[str, Any]:
    place.migrated()
    (record,) = place.site.state.glob("*/run.json")
    record.with_name("monitor.json").write_text("{", encoding="utf-8")
    return {}


def refused_decisions(place: Place) -> dict[str, Any]:
    place.stopped()
    queue = place.site.home / "decisions.json"
    queue.write_text('{"matches": 3}', encoding="utf-8")
    return {"dhash_review_decisions": [str(queue)]}


def read_only(place: Place) -> dict[str, Any]:
    place.stopped()
    return {}


MOMENTS: dict[tuple[str, str], Callable[[Place], dict[str, Any]]] = {
    ("migrate", "a prerequisite is missing"): prerequisite,
    ("migrate", "too many images have no hash"): too_many,
    ("migrate", "`dhash_first_images` is set, so nothing is deployed"): subset,
    ("migrate", "the service cannot be stopped"): stop_fails,
    ("migrate", "the library becomes invalid while the service is stopped"): becomes_invalid,
    ("migrate", "the library is removed while the service is stopped"): is_removed,
    ("migrate", "a rollback runs while the service is stopped, which withdraws the migration"): rolled_back_meanwhile,
    ("migrate", "the service cannot be started, with either library"): start_fails,
    ("migrate", "the service is unhealthy with the new library"): new_is_unhealthy,
    ("migrate", "the service is unhealthy with either library"): both_are_unhealthy,
    ("migrate", "nothing is to be deployed, and the service is unhealthy"): nothing_to_deploy,
    ("migrate", "the watch ends with `rollback`"): watch_rolls_back,
    ("migrate", "the watch ends with `fail`"): watch_fails,
    ("migrate", "the controller is killed while the service is stopped"): is_killed,
    ("migrate", "check mode, with a service that is stopped"): check_mode,
    ("migrate", "`dhash_service_manager` is mistyped while the service is stopped"): mistyped_manager,
    ("verify", "`dhash_service_manager` is `none` while the service is stopped"): no_manager,
    ("verify", "the library was never migrated"): never_migrated,
    ("verify", "the service is unhealthy"): migrated_and_unhealthy,
    ("verify", "a rollback was killed after its swap, which is finished"): killed_after_its_swap,
    ("verify", "a rollback was killed before its swap, which is a warning"): killed_before_its_swap,
    ("monitor", "the watch ends with `rollback`"): watched_and_unhealthy,
    ("monitor", "the service is stopped, and is started"): stopped_and_monitored,
    ("rollback", "the rollback is refused"): no_such_backup,
    ("rollback", "the service cannot be stopped"): rollback_cannot_stop,
    ("rollback", "the service is unhealthy with the old library"): rolled_back_is_unhealthy,
    ("rollback", "`monitor.json` cannot be read, which is a warning"): unreadable_watch,
    ("review_import", "the decisions are refused"): refused_decisions,
    ("list_backups", "the service is stopped"): read_only,
}
# Of each playbook the worst; make matrix plays all of them.
SOONER = ("the service cannot be stopped", "the service is unhealthy with either library",
          "nothing is to be deployed, and the service is unhealthy", "the service is unhealthy")
IN_THE_MATRIX = ("monitor: the watch ends with `rollback`",)
NOT_RUN = ("the controller is killed while the service is stopped",)
SUCCEED = ("`dhash_first_images` is set, so nothing is deployed", "check mode, with a service that is stopped", "the service is stopped",
           "`monitor.json` cannot be read, which is a warning", "a rollback was killed after its swap, which is finished",
           "a rollback was killed before its swap, which is a warning", "the service is stopped, and is started")


@pytest.fixture
def place(site: Site) -> Iterator[Place]:
    made = Place(site)
    yield made
    made.service.close()


def test_the_table_of_failures_has_every_moment() -> None:
    assert {(row.playbook, row.moment) for row in rows()} == MOMENTS.keys()


@pytest.mark.parametrize("row", [
    pytest.param(row, id=row.name, marks=[
        *([] if row.moment in SOONER else [pytest.mark.thorough]), *([pytest.mark.matrix] if row.name in IN_THE_MATRIX else [])]) for row in rows()])
def test_a_failed_run_leaves_what_the_table_says(row: Row, place: Place) -> None:
    variables = MOMENTS[row.playbook, row.moment](place)
    options = variables.pop("options", [])
    if row.moment not in NOT_RUN:
        run = place.site.playbook(row.playbook, *options, **{**place.service.settings, **variables})
        output = " ".join(run.output.split())
        assert (run.code == 0) is (row.moment in SUCCEED), run.output
        assert "Traceback" not in run.output and "VARIABLE IS NOT DEFINED" not in run.output
        if place.was_stopped and row.service == "running":
            assert "had been stopped since" in output and "It was started." in output, run.output
            assert not any("The service is stopped" in message for message in run.failures()), run.output
        elif place.was_stopped:
            shown = [record["result"]["msg"] for record in run.results if record["action"].endswith("debug") and record["status"] != "skipped"]
            assert "has been stopped since" in (shown[0] if run.code == 0 else run.failures()[-1]), run.output
        for verb, broken in place.service.broken.items():
            assert not broken.exists() or any(f"{verb} is broken" in message for message in run.failures()), run.output
    left = place.left(row.playbook)
    assert (left["live"], left["service"]) == (row.library, row.service), left
    assert left["next"] == f"ansible-playbook mobius.dhash.{row.command}"
