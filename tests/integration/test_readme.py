# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation does as it says.

In README.md the blocks marked ``bash`` are run one after the other in a fresh copy of the clone, ``make demo`` first; each line of a
block marked ``console`` has to be in the output of the ``bash`` block before it, whatever its numbers. ``text`` is neither. The blocks of
CONTRIBUTING.md are run in the same way, in a copy that has the ``.venv`` of these tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import prometheus_text
from readme_tables import documentation_of_modules, specs_of_roles, stale_files

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LONGEST_README = 150
CLONE_IN_README = "/home/ada/mobius.dhash"
BLOCK_SECONDS = 600
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("roles/*/README.md")),
             *sorted(ROOT.glob("inventory/**/*.yml"))]
FIELDS_OF_A_LIBRARY = {"dhash_generated_at", "dhash_low_detail", "dhash_migration", "dhash_duplicates", "dhash_errors"}
METRICS = {metric.name for metric in prometheus_text.METRICS} | {f"{prometheus_text.DURATIONS}_bucket"}
GIVEN_TO_TEMPLATES = {"dhash_notification"}
OF_MAINTAINERS = [ROOT / "CONTRIBUTING.md", ROOT / "docs/design.md", ROOT / "docs/algorithm.md"]
ENGINE = ROOT / "plugins/module_utils"
VARIABLES_OF_PLAYBOOKS = {"dhash_fleet_status_file", "dhash_shards", "dhash_serial", "dhash_hosts"}


class Block(NamedTuple):
    commands: str
    shown: list[str]


def blocks(document: str) -> list[Block]:
    found: list[Block] = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", document, re.DOTALL | re.MULTILINE):
        if language == "bash":
            found.append(Block(text, []))
        elif language == "console":
            found[-1].shown.extend(text.splitlines())
    return found


def as_compared(text: str) -> str:
    """``text`` without what differs from run to run: numbers and times, the width of the terminal."""
    return re.sub(r"[\s*]+", " ", re.sub(r"\d+(T\d+Z|[-:.T]\d+|Z)*", "0", text)).strip()


def name_of(block: Block) -> str:
    return " ".join(block.commands.split("\n", 1)[0].split())


def require_output(block: Block, clone: Path) -> None:
    """Run ``block`` in ``clone``. Raises ``AssertionError`` if it fails, or does not print what the document shows."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAKE", "MFLAGS", "PYTEST_"))}
    environment |= {"PATH": f"{clone}/.venv/bin{os.pathsep}{os.environ['PATH']}", "ANSIBLE_HOME": str(clone.parent / "ansible-home"),
                    "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", block.commands], cwd=clone, env=environment, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BLOCK_SECONDS, check=False)
    assert run.returncode == 0, run.stdout
    output, place = as_compared(run.stdout.replace(str(clone), CLONE_IN_README)), 0
    for line in block.shown:
        place = output.find(as_compared(line), place)
        assert place >= 0, f"{line!r} is not, or not in this place, in\n{run.stdout}"


def copy_of_the_clone(folder: Path) -> Path:
    subprocess.run(["bash", ROOT / "tests/copy_checkout.sh", folder], check=True)
    return folder / "ansible_collections/mobius/dhash"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_clone(tmp_path_factory.mktemp("clone").resolve())


@pytest.fixture(scope="module")
def prepared_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with all that `make .venv/.dev` makes."""
    copy = copy_of_the_clone(tmp_path_factory.mktemp("prepared").resolve())
    (copy / ".venv").symlink_to(sys.prefix)
    link = copy / ".ansible/collections/ansible_collections/mobius/dhash"
    link.parent.mkdir(parents=True)
    link.symlink_to(copy)
    return copy


@pytest.mark.parametrize("block", blocks(README), ids=name_of)
def test_a_command_of_the_readme_does_what_the_readme_shows(block: Block, clone: Path) -> None:
    require_output(block, clone)


@pytest.mark.parametrize("block", blocks(CONTRIBUTING), ids=name_of)
def test_a_command_of_contributing_works(block: Block, prepared_clone: Path) -> None:
    require_output(block, prepared_clone)


def test_the_readme_begins_with_the_demo() -> None:
    assert blocks(README)[0].commands == "make demo\n"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= LONGEST_README


def test_its_tables_are_up_to_date() -> None:
    assert [str(file) for file in stale_files(ROOT)] == [], "run tests/support/readme_tables.py --write"


def test_every_playbook_is_in_the_readme() -> None:
    assert [file.stem for file in ROOT.glob("playbooks/*.yml") if f"`mobius.dhash.{file.stem}`" not in README] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_it_names_nothing_that_does_not_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    roles = specs_of_roles(ROOT)
    names = {*roles, *documentation_of_modules(ROOT), *(file.stem for file in ROOT.glob("playbooks/*.yml"))}
    assert set(re.findall(r"mobius\.dhash\.([a-z]\w+)", text)) - names == set()
    variables = {name for spec in roles.values() for name in spec["options"]}
    known = variables | FIELDS_OF_A_LIBRARY | VARIABLES_OF_PLAYBOOKS | GIVEN_TO_TEMPLATES | METRICS
    assert set(re.findall(r"\bdhash_[a-z0-9_]+", text)) - known == set()
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = document.parent / link if link else document
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}#{anchor} leads nowhere"


@pytest.mark.parametrize("document", OF_MAINTAINERS, ids=lambda document: document.name)
def test_every_path_that_it_names_exists(document: Path) -> None:
    named = re.findall(r"`((?:\.ci|extensions|meta|playbooks|plugins|roles|tests|web)/[\w./-]*)`", document.read_text(encoding="utf-8"))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_design_lists_the_files_of_every_package() -> None:
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| (?:`(\w+)/`|.*?) \| .*? \| (.*) \|$", text, re.MULTILINE)
    listed = {(package, file) for package, files in rows for file in re.findall(r"`(\w+)`", files)}
    present = {(file.parent.relative_to(ENGINE).name, file.stem) for file in ENGINE.rglob("*.py") if file.stem != "__init__"}
    assert listed == present


def anchors(document: Path) -> set[str]:
    """What the headings of a document are called in a link to it."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
