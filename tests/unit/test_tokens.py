# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the code compares are tokens: a sentence for people can be worded anew without a role or a module noticing."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.mobius.dhash.plugins.module_utils import _recovery
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import threshold_choice
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, library_summary
from ansible_collections.mobius.dhash.plugins.module_utils._files import row_files
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes, watch_record
from jinja2 import nodes

ROOT = Path(__file__).parents[2]
FILES = sorted(str(path.relative_to(ROOT)) for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*")
               if path.suffix in (".yml", ".j2") and "meta" not in path.parts and "files" not in path.parts)
EXPRESSIONS = ("when", "failed_when", "changed_when", "until", "that")  # keys whose text is Jinja without braces
SELECTING = {"select", "reject", "selectattr", "rejectattr", "regex_search", "regex_findall"}
# What programs of others say, who have no token for it.
OF_OTHERS = {"Successfully installed"}  # pip
IN_PYTHON = {"could not find job",  # async_status
             "no such container",  # docker
             "exceeds specified max pixel count", "Cannot allocate memory", "Unknown input format", "does not contain any stream",  # FFmpeg
             "Raw profile type exif"}  # ImageMagick, in PNG files
PYTHON_FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "plugins").rglob("*.py"))
WATCH = [watch_record.PASSED, watch_record.FAILED, watch_record.ROLLBACK, watch_record.REPLACED]
DOCUMENTED = [  # module, where in RETURN, what the code gives
    ("journal_merge", "refused.reason", row_files.REASONS),
    ("library_calibrate", "reason", threshold_choice.REASONS),
    ("health_info", "problem", service_probes.FIXES), ("library_backup_info", "backups.problem", backup_files.PROBLEMS),
    ("library_info", "inconsistencies.id", library_summary.INCONSISTENCIES), ("library_info", "watch.verdict", WATCH),
    ("library_monitor", "verdict", WATCH),
    ("recovery_info", "live", [_recovery.OLD, _recovery.NEW, _recovery.EDITED, _recovery.UNREADABLE, _recovery.MISSING, _recovery.UNRECORDED]),
    ("recovery_info", "service", [_recovery.RUNNING, _recovery.STOPPED, _recovery.UNKNOWN, _recovery.UNMANAGED])]


def templates(value: Any, key: str = "") -> Iterator[str]:
    """Every template of a YAML document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from templates(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from templates(inner, key)
    elif isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
        elif key in EXPRESSIONS:
            yield f"{{{{ {value} }}}}"


def compared(template: str) -> Iterator[str]:
    """The literals that a template compares, tests for or selects by."""
    parsed = jinja2.Environment().parse(template)
    for node in parsed.find_all((nodes.Compare, nodes.Test, nodes.Filter)):
        if isinstance(node, nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
        elif isinstance(node, nodes.Test) or (isinstance(node, nodes.Filter) and node.name in SELECTING):
            sides = list(node.args)
        else:
            continue
        for side in sides:
            literals = [side] if isinstance(side, nodes.Const) else side.find_all(nodes.Const)
            yield from (literal.value for literal in literals if isinstance(literal.value, str))


def sentences(file: str) -> list[str]:
    text = (ROOT / file).read_text(encoding="utf-8")
    found = [text] if file.endswith(".j2") else templates(yaml.safe_load(text))
    return [literal for template in found for literal in compared(template) if re.search(r"\S\s+\S", literal)]


@pytest.mark.parametrize("file", FILES)
def test_no_role_or_playbook_compares_a_sentence(file: str) -> None:
    assert [sentence for sentence in sentences(file) if sentence not in OF_OTHERS] == []


@pytest.mark.parametrize("template", [
    "{{ problem == 'a sentence' }}", "{{ 'a sentence' != problem }}", "{{ 'a sentence' in message }}", "{{ phase in ['token', 'a sentence'] }}",
    "{{ message is search('a sentence') }}", "{% if message is match 'a sentence' %}{% endif %}",
    "{{ problems | selectattr('what', '==', 'a sentence' if is_checked else '') | list }}",
    "{{ problems | rejectattr('what', 'match', 'token|a sentence') | list }}"])
def test_a_sentence_that_is_compared_is_found(template: str) -> None:
    assert any(" " in literal for literal in compared(template))


def test_displayed_sentence_is_not_taken_for_a_compared_one() -> None:
    assert not any(" " in literal for literal in compared("{{ 'a sentence' if phase == 'token' else 'another one' ~ name }}"))


@pytest.mark.parametrize("file", PYTHON_FILES)
def test_no_plugin_compares_a_sentence(file: str) -> None:
    compares = [node for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))) if isinstance(node, ast.Compare)]
    sides = [side for node in compares for side in (node.left, *node.comparators)]
    literals = [literal for side in sides for literal in (side.elts if isinstance(side, (ast.Tuple, ast.List, ast.Set)) else [side])]
    texts = [literal.value.decode("latin-1") if isinstance(literal.value, bytes) else literal.value
             for literal in literals if isinstance(literal, ast.Constant) and isinstance(literal.value, (str, bytes))]
    assert [text for text in texts if re.search(r"\S\s+\S", text) and text not in IN_PYTHON] == []


@pytest.mark.parametrize(("module", "path", "given"), DOCUMENTED)
def test_every_token_that_a_module_returns_is_documented(module: str, path: str, given: Any) -> None:
    documented = importlib.import_module(f"ansible_collections.mobius.dhash.plugins.modules.{module}").RETURN
    first, *rest = path.split(".")
    entry = yaml.safe_load(documented)[first]
    for name in rest:
        entry = entry["contains"][name]
    assert entry["choices"] == list(given)


def test_every_reason_why_a_host_is_left_out_is_documented() -> None:
    """Its result is a dictionary by host, for which RETURN has no choices."""
    documented = importlib.import_module("ansible_collections.mobius.dhash.plugins.modules.fleet_duplicates").RETURN
    text = " ".join(yaml.safe_load(documented)["left_out"]["description"])
    assert [reason for reason in row_files.REASONS if f"V({reason})" not in text] == []


def test_fleet_report_phases_are_documented_and_have_a_text() -> None:
    variables = yaml.safe_load((ROOT / "roles/run/vars/main.yml").read_text(encoding="utf-8"))
    texts = variables["__dhash_phase_texts"]
    given = {literal for literal in re.findall("'([a-z_]+)' (?:if|else|}})|else '([a-z_]+)'", variables["__dhash_phase"]) for literal in literal if literal}
    assert given | {"unreachable", "not_started", "awaiting_approval"} == texts.keys()
    documented = (ROOT / "docs/fleet.md").read_text(encoding="utf-8").partition("| `phase` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", documented, re.M)) == texts.keys()
    used = set(re.findall("'phase', '==', '([a-z_]+)'", (ROOT / "roles/notify/vars/main.yml").read_text(encoding="utf-8")))
    assert used and used <= texts.keys()


def test_names_of_tests_are_short_enough_to_type() -> None:
    long = [name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w{56,})\(", path.read_text(encoding="utf-8"), re.M)]
    assert not long, "at most 60 characters"
