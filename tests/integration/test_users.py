# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs for a user of a service, who has no home directory, and with a Python that does not look for modules beside its script."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HOST_PYTHON, IMAGES, Site

pytestmark = pytest.mark.thorough
NOBODY = 65534  # its home is /nonexistent on Debian, / elsewhere


def runs_for_nobody(python: str) -> bool:
    try:
        subprocess.run([python, "-c", "import numpy, PIL"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.fixture
def of_nobody(drawn: tuple[Path, dict[str, Any]]) -> Iterator[Site]:
    """A library that belongs to nobody, in a folder that everybody can reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    try:
        site = Site(folder)
        shutil.copytree(drawn[0], site.library.parent)
        site.library.write_bytes(site.library.read_bytes().replace(str(drawn[0]).encode(), str(site.library.parent).encode()))
        site.state.mkdir()
        for path in (site.state, site.library.parent, *site.library.parent.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        yield site
    finally:
        shutil.rmtree(folder)


@pytest.mark.matrix
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("su"), reason="only root becomes another user without a password")
def test_a_user_without_a_home_needs_a_background_job_folder(of_nobody: Site) -> None:
    site = of_nobody
    python = next(filter(runs_for_nobody, (HOST_PYTHON, "/usr/bin/python3")), None)
    if not python:
        pytest.skip("needs a Python with Pillow and numpy that nobody can run")
    become: dict[str, Any] = {"ansible_become": True, "ansible_become_method": "su", "ansible_become_user": "nobody", "ansible_become_flags": "-s /bin/sh",
                              "ansible_python_interpreter": python}
    before = site.snapshot()
    refused = site.playbook("migrate", **become)
    assert refused.code != 0 and "ansible_async_dir" in " ".join(refused.failures()), refused.output
    assert site.snapshot() == before

    run = site.playbook("migrate", **become, ansible_async_dir=str(site.state / "jobs"))
    assert run.code == 0, run.output
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
    assert {path.owner() for path in (site.library, *site.backups(), *site.state.rglob("*"))} == {"nobody"}


def test_a_host_with_a_safe_python_path_is_migrated(site: Site) -> None:
    run = site.playbook("migrate", environment={"PYTHONSAFEPATH": "1"}, dhash_verify_sample_size=5)
    assert run.code == 0, run.output
    assert sum("dhash" in image for image in site.read()["images"]) == IMAGES - 5
