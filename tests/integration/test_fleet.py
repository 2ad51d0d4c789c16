# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several hosts in batches: where a run stops, what it says of each host, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site, sha256, snapshot

HOSTS = ("canary", "second", "mate", "third")


class Fleet:
    """Four hosts, all of them this machine, each with a library of its own."""

    def __init__(self, make_site: Callable[[str], Site]) -> None:
        self.sites = {host: make_site(host) for host in HOSTS}
        self.site = self.sites["canary"]
        self.reports = self.site.home / "reports"
        self.variables = {host: {"dhash_library": str(site.library), "dhash_state_dir": str(site.state)}
                          for host, site in self.sites.items()}

    def run(
            self, playbook: str, *options: str, hosts: dict[str, Any] | None = None, everywhere: dict[str, Any] | None = None,
            **variables: Any) -> Run:
        """Run a playbook; ``hosts`` are variables of single hosts, ``everywhere`` of the inventory's group all."""
        return self.site.playbook(playbook, *options, inventory=self._inventory(hosts or {}, everywhere or {}), **self._of_the_fleet, **variables)

    def command(self, playbook: str, *options: str, **variables: Any) -> list[str]:
        """The command that runs a playbook on all hosts."""
        return self.site.command(playbook, *options, inventory=self._inventory({}, {}), **self._of_the_fleet, **variables)

    @property
    def _of_the_fleet(self) -> dict[str, Any]:
        return {"dhash_library": None, "dhash_state_dir": None, "dhash_fleet_report_dir": str(self.reports)}

    def _inventory(self, hosts: dict[str, Any], everywhere: dict[str, Any]) -> Path:
        inventory = self.site.home / "hosts.yml"
        inventory.write_text(json.dumps({"all": {
            "hosts": {host: {**self.variables.get(host, {}), **hosts.get(host, {})} for host in [*HOSTS, *(set(hosts) - set(HOSTS))]},
            "vars": everywhere}}))
        return inventory

    def report(self) -> dict[str, Any]:
        """The newest report: what it says of each host."""
        data = json.loads((max(self.reports.iterdir()) / "fleet.json").read_text(encoding="utf-8"))
        return {host["host"]: host for host in data["hosts"]}

    def page(self) -> str:
        return (max(self.reports.iterdir()) / "index.html").read_text(encoding="utf-8")


class Stopped(NamedTuple):
    fleet: Fleet
    before: dict[str, Any]
    run: Run


@pytest.fixture(scope="module")
def stopped(make_site: Callable[[str], Site]) -> Stopped:
    """A run in which the second host's service does not start again. Another host, which is well, is of the same batch."""
    fleet = Fleet(make_site)
    before = {host: (sha256(site.library), snapshot(site.folder, without=site.home)) for host, site in fleet.sites.items()}
    broken = {"dhash_service_manager": "command", "dhash_start_command": "sh -c 'echo <b>broken</b> >&2; exit 1'"}
    log = fleet.sites["mate"].home / "service.log"
    well = {"dhash_service_manager": "command", **{f"dhash_{verb}_command": f"sh -c 'echo {verb} >> {log}'" for verb in ("stop", "start")}}
    return Stopped(fleet, before, fleet.run("migrate", hosts={"second": broken, "mate": well}, dhash_serial=[1, 2, "100%"]))


@pytest.mark.matrix
@pytest.mark.thorough
def test_a_run_stops_at_the_first_batch_in_which_a_host_fails(stopped: Stopped) -> None:
    assert stopped.run.code != 0
    assert stopped.run.recap["canary"]["failures"] == 0 and stopped.run.recap["second"]["failures"] == 1
    assert "third" not in stopped.run.recap
    site = stopped.fleet.sites["third"]
    assert snapshot(site.folder, without=site.home) == stopped.before["third"][1]


@pytest.mark.thorough
@pytest.mark.matrix
def test_failed_host_is_rolled_back_and_earlier_ones_keep_hashes(stopped: Stopped) -> None:
    assert sha256(stopped.fleet.sites["second"].library) == stopped.before["second"][0]
    assert sum("dhash" in image for image in stopped.fleet.sites["canary"].read()["images"]) == IMAGES - 5


@pytest.mark.matrix
def test_healthy_host_of_a_failing_batch_is_finished_and_started(stopped: Stopped) -> None:
    mate = stopped.fleet.sites["mate"]
    assert "another host of this batch failed; this one is migrated and verified" in stopped.run.output
    told = (mate.home / "service.log").read_text(encoding="utf-8").split()
    assert (told[0], told[-1]) == ("stop", "start")
    assert sum("dhash" in image for image in mate.read()["images"]) == IMAGES - 5
    record = mate.module("library_info", library=str(mate.library), state_dir=str(mate.state), check_media=False)["run"]
    assert (record["phase"], record["restart_owed"]) == ("verified", False)


@pytest.mark.matrix
def test_the_report_tells_how_far_each_host_came_and_why(stopped: Stopped) -> None:
    report = stopped.fleet.report()
    assert {host: entry["phase"] for host, entry in report.items()} == {
        "canary": "verified", "second": "rolled_back", "mate": "verified", "third": "not_started"}
    assert "Restart | Run the restart command" in report["second"]["cause"]
    assert report["second"]["put_back"] == f"{stopped.fleet.sites['second'].library}.pre-dhash"
    assert "The rollback failed, too, at Restart | Fail because the service was not started" in report["second"]["cause"]
    assert report["second"]["left"]["live"] == "old"
    assert (report["canary"]["images"], report["canary"]["hashed"], report["canary"]["errors"]) == (IMAGES, IMAGES - 5, 5)
    assert sum(report["canary"]["times"].values()) == IMAGES - 5
    folder = max(stopped.fleet.reports.iterdir())
    assert [name.startswith("library.json.migration-") and (folder / "canary" / name).exists() for name in report["canary"]["logs"]] == [True]
    assert len(report["second"]["logs"]) == 2


@pytest.mark.matrix
def test_fleet_page_loads_nothing_and_treats_hosts_data_as_text(stopped: Stopped) -> None:
    page = stopped.fleet.page()
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Tags().feed(page)
    assert not {tag for tag, _attributes in tags} & {"script", "img", "link", "iframe", "b"}
    assert "default-src 'none'" in page and "2 of 4 hosts are done, 1 failed" in page
    assert all(entry["phase_text"] in page for entry in stopped.fleet.report().values())
    links = [attributes["href"] or "" for tag, attributes in tags if tag == "a"]
    assert links and not any(":" in link or link.startswith("/") for link in links)


@pytest.mark.thorough
def test_fleet_rerun_continues_and_a_third_run_is_quick_and_idle(stopped: Stopped) -> None:
    mended = {"dhash_service_manager": "command", "dhash_start_command": "true"}
    again = stopped.fleet.run("migrate", hosts={"second": mended}, dhash_serial=2)
    assert again.code == 0, again.output
    assert {host: entry["phase"] for host, entry in stopped.fleet.report().items()} == dict.fromkeys(HOSTS, "verified")
    assert [entry["changed"] for entry in stopped.fleet.report().values()] == [False, True, False, True]
    third = stopped.fleet.run("migrate")
    assert third.code == 0 and third.changed() == []
    for host in HOSTS:
        assert 3 < len(third.on_the_host(host)) <= 8, third.on_the_host(host)


@pytest.mark.thorough
def test_unreachable_host_is_reported_apart_from_a_failed_one(make_site: Callable[[str], Site]) -> None:
    fleet = Fleet(make_site)
    gone = {"gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "dhash_library": "/srv/library.json"}}
    hosts = {**gone, "canary": {}, "second": {}}
    run = fleet.run("migrate", "-e", '{"dhash_serial": [1, 4]}', hosts=hosts, everywhere={"ansible_ssh_timeout": 2})
    assert run.code == 4, run.output
    assert run.recap["gone"]["unreachable"] == 1 and run.recap["gone"]["failures"] == 0
    report = fleet.report()
    assert report["canary"]["phase"] == "verified"
    assert report["gone"]["phase"] == "unreachable"
    assert report["second"]["phase"] == "aborted"

    status = fleet.run("fleet_status", hosts=gone, everywhere={"ansible_ssh_timeout": 2}, dhash_fleet_status_file=str(fleet.site.home / "status.json"))
    assert status.code == 0, status.output
    found = {entry["host"]: entry for entry in json.loads((fleet.site.home / "status.json").read_text(encoding="utf-8"))}
    assert (found["canary"]["hashed"], found["canary"]["good_backups"], found["canary"]["problems"]) == (IMAGES - 5, 1, [])
    assert (found["canary"]["phase"], found["gone"]["problems"]) == ("verified", ["unreachable"])
    lines = status.of("Show all hosts", "canary")["msg"]
    assert len(lines) == 3 + len(HOSTS) and lines[-1].endswith("! unreachable")


def test_unreachable_canary_stops_the_run_like_a_failed_one(make_site: Callable[[str], Site]) -> None:
    fleet = Fleet(make_site)
    before = {host: snapshot(site.folder, without=site.home) for host, site in fleet.sites.items()}
    run = fleet.run("migrate", hosts={"canary": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}},
                    everywhere={"ansible_ssh_timeout": 2})
    assert run.code != 0 and "No answer from canary. The run stops here" in " ".join(run.output.split())
    assert {host: snapshot(site.folder, without=site.home) for host, site in fleet.sites.items()} == before
    assert [entry["phase"] for entry in fleet.report().values()] == ["unreachable", *["not_started"] * (len(HOSTS) - 1)]


def test_batch_size_in_the_inventory_is_refused_at_once(make_site: Callable[[str], Site]) -> None:
    fleet = Fleet(make_site)
    before = snapshot(fleet.site.folder, without=fleet.site.home)
    run = fleet.run("migrate", everywhere={"dhash_serial": 2})
    assert run.code != 0 and "dhash_serial is set in the inventory" in run.output
    assert snapshot(fleet.site.folder, without=fleet.site.home) == before


@pytest.mark.thorough
def test_a_check_writes_no_report(make_site: Callable[[str], Site]) -> None:
    fleet = Fleet(make_site)
    assert fleet.run("migrate", "--check").code == 0
    assert not fleet.reports.exists()


@pytest.mark.thorough
def test_no_report_is_written_without_a_folder(site: Site) -> None:
    reports = site.home / "reports"
    assert site.playbook("migrate", dhash_fleet_report_dir=str(reports)).code == 0
    assert site.playbook("migrate", dhash_fleet_report_dir="").code == 0
    assert len(list(reports.iterdir())) == 1
