# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody gets who installs the tarball, away from the checkout and its ansible.cfg."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import build_collection
import pytest
import yaml
from check_library import problems
from conftest import HOST_PYTHON
from draw_library import draw_library

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
REPOSITORY = "https://git.example.org/mobius/dhash"


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build_collection.build(folder, REPOSITORY)
    return next(folder.iterdir())


class Elsewhere:
    """A folder that has nothing but the tarball installed. Called, it runs a program of Ansible's there; returns what that printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def __call__(self, program: str, *arguments: str) -> str:
        done = subprocess.run([BIN / program, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def run(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "ansible.cfg").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"PWD": "/nowhere", "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_HOME": str(folder / "home"),
                    "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
                    "ANSIBLE_REMOTE_TEMP": str(folder / "home/tmp")}  # Ansible takes ~ there for the home in the system's list of users

    run = Elsewhere(folder, environment)
    run("ansible-galaxy", "collection", "install", "--offline", str(tarball), "-p", str(folder / "collections"))
    return run


def test_it_holds_the_collection_and_nothing_of_the_workshop(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    top = {name.split("/")[0] for name in names}
    assert top == {"CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "SECURITY.md",
                   "bindep.txt", "changelogs", "docs", "examples", "extensions", "inventory", "meta", "playbooks", "plugins", "requirements.txt", "roles",
                   "tests"}
    assert {"meta/runtime.yml", "playbooks/migrate.yml", "inventory/production.example/hosts.yml"} <= set(names)
    assert {name for name in names if name.startswith(("tests/", "changelogs/"))} == {"tests/config.yml", "changelogs/config.yaml"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_it_names_the_repository_that_it_was_built_for(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        texts = {name: archive.extractfile(name).read().decode() for name in ("MANIFEST.json", "README.md")}  # type: ignore[union-attr]
    about = json.loads(texts["MANIFEST.json"])["collection_info"]
    assert {about[key] for key in ("repository", "homepage")} == {REPOSITORY}
    assert (about["issues"], about["documentation"]) == (f"{REPOSITORY}/issues", f"{REPOSITORY}/tree/main/docs")
    links = re.findall(r"\]\(([^)]*)\)", texts["README.md"])
    assert f"{REPOSITORY}/blob/main/docs/operations.md#promises" in links
    assert [link for link in links if not link.startswith("https://")] == []


def test_build_without_a_repository_keeps_the_readmes_links(tmp_path: Path) -> None:
    build_collection.build(tmp_path)
    with tarfile.open(next(tmp_path.iterdir())) as archive:
        assert archive.extractfile("README.md").read() == (ROOT / "README.md").read_bytes()  # type: ignore[union-attr]
        assert {"tests/config.yml"} == {name for name in archive.getnames() if name.startswith("tests/")}


def test_a_repository_without_https_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the https URL"):
        build_collection.build(tmp_path, "git.example.org/mobius dhash")
    assert list(tmp_path.iterdir()) == []


def test_ansible_builder_accepts_the_execution_environment(tarball: Path, run: Elsewhere, tmp_path: Path) -> None:
    builder = shutil.which("ansible-builder")
    if not builder:
        pytest.skip("needs ansible-builder (requirements-dev.txt)")
    example = "examples/execution-environment/execution-environment.yml"
    definition = tmp_path / example
    definition.parent.mkdir(parents=True)
    shutil.copy(ROOT / example, definition)
    (tmp_path / "dist").mkdir()
    shutil.copy(tarball, tmp_path / "dist")
    subprocess.run([builder, "create", "--file", definition, "--context", tmp_path / "context"], check=True)
    assert (tmp_path / "context/_build/collections" / tarball.name).read_bytes() == tarball.read_bytes()

    found = subprocess.run([builder, "introspect", "--sanitize", run.folder / "collections"], capture_output=True, text=True, check=True).stdout
    needs = yaml.safe_load(found)
    assert [line.split("  #")[0] for line in needs["python"]] == ["numpy>=1.24"]
    assert [line.split("  #")[0] for line in needs["system"]] == ["openssh-client [platform:dpkg]", "openssh-clients [platform:rpm]"]


@pytest.mark.matrix
@pytest.mark.skipif(not shutil.which("gpg"), reason="needs gpg")
def test_its_signature_is_what_ansible_galaxy_verifies(tarball: Path, run: Elsewhere, tmp_path: Path) -> None:
    home, keyring = Path(tempfile.mkdtemp(dir="/tmp")), tmp_path / "keyring.gpg"  # the socket of its agent may have 107 bytes
    gpg = ["gpg", "--homedir", str(home), "--batch"]
    signature = f"{shutil.copy(tarball, tmp_path)}.asc"
    try:
        subprocess.run([*gpg, "--passphrase", "", "--quick-generate-key", "maintainers@example.org"], check=True)
        subprocess.run([*gpg, "--export", "--output", str(keyring)], check=True)
        subprocess.run([ROOT / "tests/sign.sh", signature.removesuffix(".asc")], env=os.environ | {"GNUPGHOME": str(home)}, check=True)
        verify = ("ansible-galaxy", "collection", "verify", "--offline", "mobius.dhash", "-p", str(run.folder / "collections"),
                  "--keyring", str(keyring), "--required-valid-signature-count", "+1", "--signature", f"file://{signature}")
        assert "Successfully verified" in run(*verify)
        subprocess.run([*gpg, "--yes", "--armor", "--output", signature, "--detach-sign", keyring], check=True)
        with pytest.raises(AssertionError, match="signature"):
            run(*verify)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=True)
        shutil.rmtree(home, ignore_errors=True)  # the agent removes its sockets meanwhile


@pytest.mark.matrix
def test_every_module_has_its_documentation(run: Elsewhere) -> None:
    modules = {f"mobius.dhash.{file.stem}" for file in (ROOT / "plugins/modules").glob("[!_]*.py")}
    listed = json.loads(run("ansible-doc", "-t", "module", "--json", "--list", "mobius.dhash"))
    assert listed.keys() == modules
    shown = json.loads(run("ansible-doc", "-t", "module", "--json", *modules))
    assert {name for name, page in shown.items() if page["doc"]["short_description"]} == modules


@pytest.mark.matrix
def test_its_migrate_playbook_runs_by_name(run: Elsewhere, tmp_path: Path) -> None:
    truth = draw_library(tmp_path / "library", count=120)  # of 60, the 5 broken ones would be more than dhash_max_failure_rate
    library = tmp_path / "library/library.json"
    before = tmp_path / "before.json"
    before.write_bytes(library.read_bytes())
    run("ansible-playbook", "mobius.dhash.migrate", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={HOST_PYTHON}",
        "-e", f"dhash_library={library}", "-e", f"dhash_state_dir={tmp_path / 'state'}")
    assert problems(library, before, truth) == []


@pytest.mark.thorough
def test_documented_relative_paths_count_from_current_directory(run: Elsewhere, tmp_path: Path) -> None:
    """The commands of the documentation, called away from the collection, with a PWD that is wrong."""
    draw_library(tmp_path / "library", count=120)
    common = ("-i", "images1,", "-c", "local", "-e", json.dumps({
        "ansible_python_interpreter": HOST_PYTHON, "dhash_library": str(tmp_path / "library/library.json"),
        "dhash_state_dir": str(tmp_path / "state"), "dhash_monitor_minutes": 0, "dhash_verify_sample_size": 0}))
    run("ansible-playbook", "mobius.dhash.migrate", *common, "-e", "dhash_backup_fetch_dir=fetched/backups")
    run("ansible-playbook", "mobius.dhash.review_export", *common, "-e", "dhash_review_fetch_dir=./reviews", "-e", "dhash_review_min_distance=0",
        "-e", "dhash_confirm=false", "-e", "dhash_review_include_images=false")
    queue = json.loads((run.folder / "reviews/images1/queue.json").read_text(encoding="utf-8"))
    queue["matches"][0].update(reviewStatus="approved", isDuplicate=True, keepImage="image1", needsReview=False)
    (run.folder / "decisions.json").write_text(json.dumps(queue), encoding="utf-8")
    run("ansible-playbook", "mobius.dhash.review_import", *common, "-e", "dhash_review_decisions=decisions.json")
    (run.folder / "mobius-backup-key.txt").write_text("AGE-SECRET-KEY-1\n", encoding="utf-8")
    run("ansible-playbook", "mobius.dhash.rollback", *common, "-e", "dhash_rollback_identity_file=mobius-backup-key.txt", "--check")
    run("ansible-playbook", "mobius.dhash.fleet_status", *common, "-e", "dhash_fleet_status_file=status.json")
    run("ansible-playbook", "mobius.dhash.fleet_duplicates", *common)
    assert [path.name for path in (run.folder / "fetched/backups").iterdir()] == ["images1"]
    assert list((run.folder / "mobius-dhash-reports").glob("*/fleet.json"))
    assert json.loads((run.folder / "status.json").read_text(encoding="utf-8"))[0]["host"] == "images1"
    assert (run.folder / "mobius-dhash-reports/duplicates/duplicates.json").exists()
    installed = run.folder / "collections/ansible_collections/mobius/dhash"
    assert not [path for path in installed.rglob("*") if path.name in ("reviews", "fetched", "status.json", "mobius-dhash-reports")]


@pytest.mark.matrix
def test_module_defaults_of_the_action_group_reach_every_module(run: Elsewhere, tmp_path: Path) -> None:
    draw_library(tmp_path / "library", count=20)
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "module_defaults": {
        "group/mobius.dhash.dhash": {"library": str(tmp_path / "library/library.json"), "state_dir": str(tmp_path / "state")},
        "group/mobius.dhash.dhash_locking": {"lock_timeout": 5}},
        "tasks": [{"mobius.dhash.library_info": {}}, {"mobius.dhash.library_backup": {}, "check_mode": True}]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    run("ansible-playbook", str(tmp_path / "play.yml"), "-e", f"ansible_python_interpreter={HOST_PYTHON}")


@pytest.mark.matrix
@pytest.mark.thorough
def test_monitoring_is_installed_once(run: Elsewhere, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "dashboards").mkdir()
    command = ("ansible-playbook", "mobius.dhash.install_monitoring", "-i", "localhost,", "-c", "local", "-e", json.dumps({
        "ansible_python_interpreter": HOST_PYTHON, "dhash_monitoring_rules_dir": str(tmp_path / "rules"),
        "dhash_monitoring_dashboard_dir": str(tmp_path / "dashboards")}))
    assert "changed=2 " in run(*command, "--check") and not list(tmp_path.glob("*/*"))
    assert "changed=2 " in run(*command) and len(list(tmp_path.glob("*/*"))) == 2
    assert "changed=0 " in run(*command)
