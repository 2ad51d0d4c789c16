# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that are asked for metrics promise besides, and what the playbook installs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hosts import BIN, ROOT, Library

FILES = {"dhash_monitoring_rules_dir": "mobius-dhash.rules.yml", "dhash_monitoring_dashboard_dir": "mobius-dhash-dashboard.json"}


@pytest.fixture
def library(drawn: Path, tmp_path: Path) -> Library:
    """A library that nothing has touched, and an empty folder for its metrics."""
    (tmp_path / "textfiles").mkdir()
    return Library(tmp_path / "library", tmp_path / "textfiles", drawn)


def test_a_check_publishes_nothing(library: Library) -> None:
    library.run("library_migrate", _ansible_check_mode=True)
    assert list(library.textfiles.iterdir()) == []
    library.migrate()
    published = library.published()
    for module, arguments in (("library_migrate", {}), ("library_deploy", {}), ("library_deploy", {"state": "verified"}),
                              ("library_rollback", {"remove_dhash": True}), ("review_export", {}), ("review_import", {"state": "absent"})):
        library.run(module, _ansible_check_mode=True, **arguments)
    assert library.published() == published


def test_a_dry_run_and_a_trial_publish_nothing(library: Library) -> None:
    library.run("library_migrate", dry_run=True)
    library.run("library_migrate", limit=3)
    assert list(library.textfiles.iterdir()) == []


def test_metrics_are_no_change(library: Library) -> None:
    library.migrate()
    before = library.published()
    assert library.run("library_deploy", state="verified")["changed"] is False
    assert library.published() != before


def test_missing_metrics_folder_is_a_warning_with_the_next_step(library: Library) -> None:
    library.textfiles.rmdir()
    shown, _complaints = library.start("library_migrate").communicate()
    result = json.loads(shown)
    assert (result["changed"], result["hashed"]) == (True, 35)
    (warning,) = result["warnings"]  # a text, or from ansible-core 2.19 on a structure that holds it
    assert (f"The metrics were not published: {library.textfiles}: the folder for metrics does not exist."
            " Create this folder, or correct dhash_metrics_dir.") in json.dumps(warning)


def test_a_rollback_shows_in_the_figures(library: Library) -> None:
    library.migrate()
    assert f'dhash_hashed_images{{library="{library.path}"}} 35\n' in library.published()
    library.run("library_rollback", remove_dhash=True)
    library.run("library_deploy")
    library.run("library_deploy", state="verified")
    assert f'dhash_hashed_images{{library="{library.path}"}} 0\n' in library.published()


def test_an_import_of_decisions_shortens_the_queue(library: Library) -> None:
    library.migrate()
    found = library.run("review_export", min_distance=0, confirm=False, include_images=False)["total_matches"]
    assert found > 1 and f'dhash_review_queue_pairs{{library="{library.path}"}} {found}\n' in library.published()
    queue = library.folder / "library.json.review/queue.json"
    value = json.loads(queue.read_text(encoding="utf-8"))
    value["matches"][0] |= {"reviewStatus": "rejected", "isDuplicate": False, "needsReview": False}
    queue.write_text(json.dumps(value), encoding="utf-8")
    assert library.run("review_import", queues=[str(queue)])["different"] == 1
    assert f'dhash_review_queue_pairs{{library="{library.path}"}} {found - 1}\n' in library.published()


def install(home: Path, *options: str, **variables: str) -> str:
    run = subprocess.run([BIN / "ansible-playbook", "mobius.dhash.install_monitoring", "-i", "localhost,", "-c", "local", "-e", json.dumps(variables),
                          *options],
                         cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
                         env=os.environ | {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_NOCOLOR": "1",
                                           "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_REMOTE_TEMP": str(home / ".ansible/tmp")})
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_rules_and_dashboard_are_installed_once_where_configured(tmp_path: Path) -> None:
    folders = {variable: tmp_path / variable for variable in FILES}
    for folder in folders.values():
        folder.mkdir()
    variables = {variable: str(folder) for variable, folder in folders.items()}
    install(tmp_path, "--check", **variables)
    assert [*folders["dhash_monitoring_rules_dir"].iterdir(), *folders["dhash_monitoring_dashboard_dir"].iterdir()] == []
    assert "reload Prometheus" in install(tmp_path, **variables)
    for variable, name in FILES.items():
        assert (folders[variable] / name).read_bytes() == (ROOT / "roles/monitor/files" / name).read_bytes()
    assert "changed=0" in install(tmp_path, **variables)


def test_nothing_is_installed_that_is_not_asked_for(tmp_path: Path) -> None:
    assert "changed=0" in install(tmp_path)


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_rules_that_promtool_refuses_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "bin/promtool"
    refusing.parent.mkdir()
    refusing.write_text('#!/bin/sh\n[ "$1" = --version ]\n', encoding="utf-8")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "rules").mkdir()
    with pytest.raises(AssertionError, match="failed to validate"):
        install(tmp_path, dhash_monitoring_rules_dir=str(tmp_path / "rules"))
    assert list((tmp_path / "rules").iterdir()) == []
