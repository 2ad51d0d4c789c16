# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that are encrypted and copied elsewhere, from the first check to the rollback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Run, Site, sha256, snapshot

pytestmark = [pytest.mark.thorough, pytest.mark.skipif(shutil.which("age") is None, reason="the program age is not installed")]


class Way(NamedTuple):
    site: Site
    before: str
    identity: Path
    variables: dict[str, Any]
    untouched: dict[str, Any]
    checked: dict[str, Any]
    check: Run
    first: Run
    second: Run
    check_after: Run


@pytest.fixture(scope="module")
def way(make_site: Callable[[str], Site]) -> Way:
    site = make_site("encryption")
    identity = site.folder / "identity.txt"
    subprocess.run(["age-keygen", "-o", identity], capture_output=True, check=True)
    variables: dict[str, Any] = {
        "dhash_backup_encrypt_to": [identity.read_text().partition("# public key: ")[2].splitlines()[0]],
        "dhash_backup_copy_dir": str(site.folder / "share"), "dhash_backup_fetch_dir": str(site.folder / "controller")}
    before, untouched = sha256(site.library), site.snapshot()
    check = site.playbook("migrate", "--check", **variables)
    checked = site.snapshot()
    first, second = (site.playbook("migrate", **variables) for _time in range(2))
    return Way(site, before, identity, variables, untouched, checked, check, first, second, site.playbook("migrate", "--check", **variables))


def test_check_mode_says_what_would_be_copied_and_writes_nothing(way: Way) -> None:
    assert way.check.code == 0, way.check.output
    assert way.checked == way.untouched
    assert "Backup | Show the copy that a run would make on the controller" in way.check.changed()


def test_a_second_run_changes_nothing(way: Way) -> None:
    assert way.first.code == way.second.code == way.check_after.code == 0, way.first.output
    assert way.second.changed() == way.check_after.changed() == []


def test_backup_has_the_same_bytes_and_checksum_in_three_places(way: Way) -> None:
    (backup,) = way.site.library.parent.glob("library.json.bak.*.age")
    places = [backup.parent, way.site.folder / "share", Path(f"{way.site.folder}/controller/localhost{way.site.library.parent}")]
    for place in places:
        assert {path.name for path in place.glob("library.json.bak.*")} == {f"{backup.name}{suffix}" for suffix in ("", ".json", ".sha256")}
        check = ["sha256sum", "--strict", "-c", f"{backup.name}.sha256"]
        assert subprocess.run(check, cwd=place, capture_output=True, check=False).returncode == 0
        assert (place / backup.name).stat().st_mode & 0o777 == 0o600


def test_no_clear_text_stays(way: Way) -> None:
    name = way.site.read()["images"][0]["filename"].encode()
    files = [path for path in way.site.folder.rglob("*") if path.is_file() and "library.json" in path.name]
    assert [path for path in files if name in path.read_bytes()] == [way.site.library]


def test_the_list_tells_what_is_in_it_without_an_identity(way: Way) -> None:
    shown = way.site.playbook("list_backups").of("Show them, the newest first")["msg"]
    assert len(shown) == 1 and "40 images, 0 hashed  encrypted  digest good" in shown[0]


def test_rollback_without_the_identity_asks_for_it_and_stops(way: Way) -> None:
    tree = snapshot(way.site.library.parent, without=way.site.library.parent / "logs")
    run = way.site.playbook("rollback", **way.variables)
    assert run.code != 0 and "dhash_rollback_identity_file" in " ".join(run.failures())
    assert snapshot(way.site.library.parent, without=way.site.library.parent / "logs") == tree


def test_rollback_with_the_identity_keeps_it_on_the_controller(way: Way) -> None:
    variables = way.variables | {"dhash_rollback_identity_file": str(way.identity)}
    check = way.site.playbook("rollback", "--check", "-vvv", **variables)
    run = way.site.playbook("rollback", "-vvv", **variables)
    again = way.site.playbook("rollback", **variables)
    assert check.code == run.code == 0, run.output
    assert again.code == 0 and again.changed() == []
    assert sha256(way.site.library) == way.before
    secret = next(line for line in way.identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY"))
    assert secret not in check.output + run.output
    assert not [path for path in way.site.folder.rglob("*") if path.is_file() and path != way.identity and secret.encode() in path.read_bytes()]


def test_recipient_refused_by_age_stops_the_run_before_changes(site: Site) -> None:
    tree = site.snapshot()
    run = site.playbook("migrate", dhash_backup_encrypt_to=["nobody"])
    assert run.code != 0 and 'unknown recipient type: "nobody"' in " ".join(run.failures())
    assert site.snapshot() == tree
