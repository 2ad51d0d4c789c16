# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The job templates of docs/awx.md and the rulebooks fit the playbooks, the variables and the alerts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mobius.dhash.plugins.lookup.invalid_variables import OF_PLAYBOOKS, check, options_of_all_roles

ROOT = Path(__file__).parents[2]
OPTIONS = options_of_all_roles()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/awx.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
TEMPLATES: dict[str, dict[str, Any]] = {task["awx.awx.job_template"]["name"]: task["awx.awx.job_template"] for block in BLOCKS
                                        for task in yaml.safe_load(block) if "awx.awx.job_template" in task}
QUESTIONS = [pytest.param(question, id=f"{name}: {question['variable']}") for name, template in TEMPLATES.items()
             for question in template.get("survey_spec", {"spec": []})["spec"]]
RULES = [(path.stem, rule) for path in sorted(ROOT.glob("extensions/eda/rulebooks/*.yml"))
         for ruleset in yaml.safe_load(path.read_text(encoding="utf-8")) for rule in ruleset["rules"]]


def test_there_are_templates_and_rulebooks() -> None:
    assert {template["playbook"] for template in TEMPLATES.values()} == {"migrate.yml", "dry_run.yml", "rollback.yml"}
    assert [stem for stem, _rule in RULES] == ["alerts", "new_files"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_job_template_runs_an_existing_playbook_and_variables(name: str) -> None:
    template = TEMPLATES[name]
    assert (ROOT / "playbooks" / template["playbook"]).exists()
    assert check(OPTIONS, {"dhash_library": "/srv/library.json", **template.get("extra_vars", {})}) == []
    assert template.get("extra_vars", {}).keys() <= OPTIONS.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_answer_of_a_survey_is_valid_as_text(question: dict[str, Any]) -> None:
    assert question["variable"] in OPTIONS.keys() | OF_PLAYBOOKS
    answers = [str(answer) for answer in (question["default"], *question.get("choices", []))]
    if question["variable"] in OPTIONS:
        assert [check(OPTIONS, {"dhash_library": "/srv/library.json", question["variable"]: answer}) for answer in answers] == [[]] * len(answers)
    assert question["required"], "an answer that is left out may be an empty text"


@pytest.mark.parametrize("rule", [pytest.param(rule, id=stem) for stem, rule in RULES])
def test_a_rule_starts_a_job_template_that_takes_what_it_gives(rule: dict[str, Any]) -> None:
    action = rule["action"]["run_job_template"]
    template = TEMPLATES[action["name"]]
    assert action["organization"] == template["organization"]
    arguments = action["job_args"]
    assert arguments["limit"] and template["ask_limit_on_launch"]
    given = arguments.get("extra_vars", {})
    assert given.keys() <= OPTIONS.keys() and (not given or template["ask_variables_on_launch"])
    asked = {question["variable"] for question in template.get("survey_spec", {"spec": []})["spec"]}
    assert asked <= given.keys(), "AWX demands the answers of a survey from a job that is started without its form"


def test_the_rulebook_acts_on_an_alert_that_is_shipped() -> None:
    shipped = yaml.safe_load((ROOT / "roles/monitor/files/mobius-dhash.rules.yml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in shipped["groups"] for rule in group["rules"]}
    (condition,) = (rule["condition"] for stem, rule in RULES if stem == "alerts")
    assert set(re.findall(r"MobiusDhash\w+", condition)) and set(re.findall(r"MobiusDhash\w+", condition)) <= alerts
