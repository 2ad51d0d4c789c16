# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The alert rules, by promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import prometheus_text
from hosts import ROOT, RULES

TESTS = Path(__file__).with_name("rules.test.yml")
ALERTS = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def promtool(*arguments: object) -> None:
    run = subprocess.run(["promtool", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout


def test_promtool_accepts_the_rules(programs: None) -> None:
    promtool("check", "rules", RULES)


def test_each_alert_fires_and_is_silent_as_it_promises(programs: None) -> None:
    promtool("test", "rules", TESTS)


def test_no_alert_is_left_out_of_those_tests() -> None:
    tested = {case["alertname"] for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"] for case in test["alert_rule_test"]
              if case["exp_alerts"]}
    assert tested == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert {"summary", "description", "runbook"} <= rule["annotations"].keys()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_asks_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    known = {metric.name for metric in prometheus_text.METRICS}
    assert set(re.findall(r"\bdhash_\w+", rule["expr"])) <= known
