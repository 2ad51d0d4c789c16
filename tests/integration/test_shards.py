# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One library that several hosts hash, and what several hosts hold; all of these hosts are this machine."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES, Run, Site, sha256

pytestmark = pytest.mark.thorough

HOSTS = ("leader", "second", "third")
# It answers until the shares are fixed: it has one then, and does not hash it.
DIES = {"ansible_connection": "{{ 'ssh' if __dhash_shard_hosts | default([]) | length > 1 else 'local' }}", "ansible_host": "127.0.0.1",
        "ansible_port": 1, "ansible_ssh_timeout": 2, "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
NEW = ("new-1.jpg", "new-2.jpg", "new-3.jpg")
CHANGES_WITH_TIME = re.compile(rb'("(?:migration_timestamp|dhash_generated_at|processing_time_seconds|average_time_per_image|'
                               rb'p95_time_per_image)": )[^,\n]+')


class Hosts:
    """Hosts that are all this machine: each with variables of its own."""

    def __init__(self, site: Site, variables: dict[str, dict[str, Any]]) -> None:
        self.site = site
        self.variables = variables

    def run(self, playbook: str, *options: str, more: dict[str, Any] | None = None, **variables: Any) -> Run:
        """Run a playbook; ``more`` are further variables of single hosts."""
        inventory = self.site.home / "hosts.yml"
        inventory.write_text(json.dumps({"dhash_shards": {"hosts": {
            host: {**given, **(more or {}).get(host, {})} for host, given in self.variables.items()}}}))
        return self.site.playbook(playbook, *options, inventory=inventory, dhash_library=None, dhash_state_dir=None, **variables)


class Sharded(NamedTuple):
    """``first`` is a run in which a host dies, ``library`` what it made; ``second`` one in which it is back."""

    hosts: Hosts
    checked: Run
    check_left_all: bool
    first: Run
    library: bytes
    second: Run


def timeless(site: Site) -> bytes:
    """The library's bytes, timestamps and timings and the place of the site aside."""
    content = site.library.read_bytes().replace(str(site.folder).encode(), b"")
    return CHANGES_WITH_TIME.sub(rb"\1...", content)


@pytest.fixture(scope="module")
def sharded(make_site: Callable[[str], Site]) -> Sharded:
    site = make_site("shards")
    states = {host: str(site.folder / f"state-{host}") for host in HOSTS}
    hosts = Hosts(site, {host: {"dhash_library": str(site.library), "dhash_state_dir": states[host]} for host in HOSTS})
    before = site.snapshot()
    checked = hosts.run("migrate_sharded", "--check")
    left_all = site.snapshot() == before
    # What the host that dies has in its temporary folder stays there.
    first = hosts.run("migrate_sharded", more={"third": DIES}, environment={"TMPDIR": str(site.home)})
    library = timeless(site)

    value = site.read()
    picture = next(image for image in value["images"] if "dhash" in image)
    for name in NEW:
        shutil.copy(site.library.parent / picture["path"], site.library.parent / name)
        value["images"].append({"path": name, "filename": name})
    site.library.write_text(json.dumps(value, indent=2), encoding="utf-8")
    # The host that died has hashed the new ones before, in a run that was cut short: nobody else knows of it.
    listed = site.module("journal_merge", library=str(site.library), state_dir=states["leader"])
    hashed = site.module("library_hash", library=str(site.library), state_dir=states["third"], pending=listed["list"], shard=0)
    assert hashed["hashed_now"] == len(NEW), hashed
    return Sharded(hosts, checked, left_all, first, library, hosts.run("migrate_sharded"))


def test_shard_check_writes_nothing_and_counts_the_work_per_host(sharded: Sharded) -> None:
    assert sharded.checked.code == 0, sharded.checked.output
    assert sharded.check_left_all
    plan = sharded.checked.of("Show how many images each host gets", "leader")["msg"]
    assert plan[0].endswith(f": {IMAGES - 1} of {IMAGES} images are to be hashed, by 3 hosts")
    assert plan[1:] == ["leader: 13 images, and it merges and migrates", "second: 13 images", "third: 13 images"]


def test_sharded_library_equals_one_hosts_despite_a_dead_host(sharded: Sharded, make_site: Callable[[str], Site]) -> None:
    single = make_site("single")
    for module in ("library_migrate", "library_deploy"):
        assert not single.module(module, library=str(single.library), state_dir=str(single.state)).get("failed")
    assert sharded.library == timeless(single)
    assert sharded.first.code == 4
    assert sharded.first.recap["third"]["unreachable"] == 1
    assert sharded.first.recap["leader"]["failures"] == 0


def test_each_host_hashes_its_shard_and_the_leader_the_rest(sharded: Sharded) -> None:
    assert [sharded.first.of("Shard | Hash a shard", host)["hashed_now"] for host in ("leader", "second")] == [13, 13]
    assert sharded.first.of("Merge what was hashed and list what is left", "leader")["taken"] == 13
    assert sharded.first.of("Hash and write the migrated library", "leader")["hashed_now"] == 13


def test_only_the_leader_migrates(sharded: Sharded) -> None:
    changed = {record["host"] for record in sharded.first.results if record["status"] == "changed"}
    assert changed == {"leader"}
    assert set(sharded.first.recap) == set(HOSTS)


def test_hashes_of_an_interrupted_run_are_not_computed_again(sharded: Sharded) -> None:
    assert sharded.second.code == 0, sharded.second.output
    merges = [record["result"] for record in sharded.second.results if record["task"].endswith("Merge what was hashed and list what is left")]
    assert [(merge["taken"], merge["pending"]) for merge in merges][:2] == [(0, len(NEW)), (len(NEW), 0)]
    assert sharded.second.of("Hash and write the migrated library", "leader")["hashed_now"] == 0
    images = sharded.hosts.site.read()["images"]
    assert [("dhash" in image) for image in images[-len(NEW):]] == [True] * len(NEW)


def test_nothing_is_left_on_the_hosts_but_their_state(sharded: Sharded) -> None:
    beside = {path.name for path in sharded.hosts.site.folder.iterdir()}
    assert beside == {"home", "library", *(f"state-{host}" for host in HOSTS)}


@pytest.mark.matrix
def test_a_refused_sharded_run_says_once_why(site: Site) -> None:
    run = Hosts(site, {"leader": {"dhash_library": str(site.library)}}).run("migrate_sharded", dhash_first_images=1)
    message, end = run.failures("leader")
    assert run.code != 0 and "Remove dhash_hosts and dhash_first_images." in message
    assert end == 'leader: the hashing in shards failed at "Refuse variables that this playbook does not support".'


def test_two_hosts_share_a_small_library_once(site: Site) -> None:
    value = site.read()
    value["images"] = [image for image in value["images"] if image["filename"] not in site.truth["broken"]][:6]
    site.library.write_text(json.dumps(value), encoding="utf-8")
    hosts = Hosts(site, {host: {"dhash_library": str(site.library), "dhash_state_dir": str(site.folder / host)} for host in HOSTS[:2]})
    run = hosts.run("migrate_sharded")
    assert run.code == 0, run.output
    assert [run.of("Shard | Hash a shard", host)["hashed_now"] for host in HOSTS[:2]] == [3, 3]
    assert sum("dhash" in image for image in site.read()["images"]) == 6
    again = hosts.run("migrate_sharded")
    assert again.code == 0 and again.changed() == [], again.output


def within(one: str, other: str) -> bool:
    return bin(int(one, 16) ^ int(other, 16)).count("1") <= 10


@pytest.mark.matrix
def test_images_on_several_hosts_are_reported_and_left_alone(make_site: Callable[[str], Site]) -> None:
    sites = {host: make_site(host) for host in ("one", "two", "new")}
    for host, part in (("one", slice(0, 25)), ("two", slice(15, None))):
        value = sites[host].read()
        value["images"] = value["images"][part]
        sites[host].library.write_text(json.dumps(value), encoding="utf-8")
        for module in ("library_migrate", "library_deploy"):
            assert not sites[host].module(module, library=str(sites[host].library), state_dir=str(sites[host].state)).get("failed")
    home = sites["one"].home
    hosts = Hosts(sites["one"], {host: {"dhash_library": str(site.library), "dhash_state_dir": str(site.state)} for host, site in sites.items()})
    before = {host: sha256(site.library) for host, site in sites.items()}
    reports = home / "mobius-dhash-reports/duplicates"
    reports.mkdir(parents=True)
    reports.chmod(0o1777)
    run = hosts.run("fleet_duplicates", dhash_confirm=False, dhash_fleet_duplicates_dir=str(reports))

    assert run.code == 2 and "the library has no hashes yet" in run.failures("new")[0], run.output
    assert run.changed() == [] and {host: sha256(site.library) for host, site in sites.items()} == before
    held = {host: [(image["path"], image["dhash"]) for image in sites[host].read()["images"] if "dhash" in image and "dhash_low_detail" not in image]
            for host in ("one", "two")}
    expected = [(path, other_path) for path, dhash in held["one"] for other_path, other in held["two"] if within(dhash, other)]
    assert expected
    found = run.of("Compare them", "one")
    assert (found["pairs"], found["hosts"], found["images"]) == (len(expected), 2, sum(map(len, held.values())))
    assert reports.stat().st_mode & 0o7777 == 0o1777
    report = json.loads((reports / "duplicates.json").read_text(encoding="utf-8"))
    rows = {(image["host"], image["path"]) for group in report["groups"] for image in group["images"]}
    assert rows == {("one", path) for path, _other in expected} | {("two", other) for _path, other in expected}
    with open(reports / "duplicates.csv", encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
