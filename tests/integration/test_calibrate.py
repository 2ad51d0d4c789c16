# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A calibration as an operator runs it: only its report is written, and only once."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Site, sha256

WRITE, SHOW = "Calibrate | Measure the library and write the report", "Show the recommendation"
FEW: dict[str, Any] = {"dhash_calibration_pictures": 6}


def without_locks(site: Site) -> dict[str, tuple[Any, ...]]:
    """The files of the site, less the lock, which says who held it last, and folders, whose times tell of the lock."""
    return {name: about for name, about in site.snapshot().items() if about[2] is not None and not name.endswith(".lock")}


@pytest.mark.matrix
@pytest.mark.thorough
def test_calibrate_refuses_a_library_that_is_not_migrated(site: Site) -> None:
    before = site.snapshot()
    for options in (["--check"], []):
        run = site.playbook("calibrate", *options)
        assert run.code != 0 and run.changed() == []
        (failure,) = run.failures()
        assert f"{site.library}: the library has no hashes yet" in failure and "Run the migrate playbook" in failure
    assert site.snapshot() == before


def test_calibrate_writes_only_the_report_and_is_idempotent(site: Site) -> None:
    site.migrate()
    before = without_locks(site)
    report = site.library.with_name("library.json.calibration.html")
    check = site.playbook("calibrate", "--check", **FEW)
    assert check.code == 0 and check.changed() == [WRITE], check.output
    assert without_locks(site) == before

    first = site.playbook("calibrate", "--diff", **FEW)
    assert first.code == 0 and first.changed() == [WRITE], first.output
    after = without_locks(site)
    assert before.keys() <= after.keys()
    (record,) = {name for name in after if after[name] != before.get(name)} - {str(report.relative_to(site.folder))}
    assert record.endswith("/written.json")  # which file is ours
    shown = first.of(SHOW)["msg"]
    assert shown[0] == "Recommended threshold: 10 (now 10)" and shown[-1] == f"Report: {report}"
    assert "+recommended threshold: 10 (too_little_data)" in first.output
    result = first.of(WRITE)
    assert (result["pictures_edited"], result["pictures_unreadable"], result["reason"]) == (6, 0, "too_little_data")
    assert result["thresholds"] == check.of(WRITE)["thresholds"]

    digest = sha256(report)
    again = site.playbook("calibrate", **FEW)
    assert again.code == 0 and again.changed() == [] and sha256(report) == digest, again.output
    assert without_locks(site) == after


def test_an_unusable_folder_of_background_jobs_is_named(site: Site) -> None:
    site.migrate()
    (site.folder / "file").write_bytes(b"")
    run = site.playbook("calibrate", ansible_async_dir=str(site.folder / "file" / "jobs"), **FEW)
    (failure,) = run.failures()
    assert run.code != 0 and str(site.folder / "file" / "jobs") in failure and "Set ansible_async_dir" in failure, run.output


@pytest.mark.thorough
def test_a_file_of_somebody_else_is_set_aside_and_named(site: Site) -> None:
    site.migrate()
    mine = site.library.with_name("report.html")
    mine.write_text("mine", encoding="utf-8")
    run = site.playbook("calibrate", dhash_calibration_report="report.html", **FEW)
    assert run.code == 0, run.output
    (kept,) = mine.parent.glob("report.html.set-aside-*")
    assert kept.read_text(encoding="utf-8") == "mine" and mine.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert f"Renamed, because it was no report of a calibration: {kept}" in run.of(SHOW)["msg"]
