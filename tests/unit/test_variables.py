# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of variables as the command line gives them: text, and numbers that make no sense."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.mobius.dhash.plugins.filter.as_list import as_list
from ansible_collections.mobius.dhash.plugins.filter.batch_sizes import batch_sizes
from ansible_collections.mobius.dhash.plugins.lookup.invalid_variables import (
    OF_PLAYBOOKS,
    WANTED,
    check,
    mistyped,
    options_of_all_roles,
    unwritable,
)
from ansible_collections.mobius.dhash.plugins.module_utils._errors import RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._module import number_ranges

pytestmark = pytest.mark.matrix
ROOT = Path(__file__).parents[2]
OPTIONS = options_of_all_roles()
TYPED = {name: option["type"] for name, option in OPTIONS.items() if option["type"] in ("bool", "int", "float", "list", "dict")}
CONVERSIONS = {"bool": r"bool\b", "int": r"(int|float)\b", "float": r"float\b", "list": r"mobius\.dhash\.as_list\b"}
EXPRESSION_KEYS = {"when", "that", "until", "failed_when", "changed_when"}


def given(**variables: Any) -> list[str]:
    return check(OPTIONS, {"dhash_library": "/srv/library.json", **variables})


def expressions(node: Any, key: str | None = None) -> Iterator[str]:
    """The Jinja expressions of a task file, without the texts in them."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from expressions(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value, key)
    elif isinstance(node, str):
        found = [node] if key in EXPRESSION_KEYS else re.findall(r"\{[{%](.*?)[%}]\}", node, re.DOTALL)
        yield from (re.sub(r"'[^']*'", "''", expression).strip() for expression in found)


def unconverted(expression: str) -> Iterator[str]:
    """The variables in ``expression`` whose text would be taken for a boolean, a number or a list."""
    if re.fullmatch(r"dhash_[a-z0-9_]+( \| default\(omit(, true)?\))?", expression) and TYPED.get(expression.split(" ", maxsplit=1)[0]) != "list":
        return  # as it is: shown to people, or given to something that converts it
    for use in re.finditer(r"(?<![A-Za-z0-9_])dhash_[a-z0-9_]+", expression):
        kind, before, after = TYPED.get(use[0]), expression[:use.start()], expression[use.end():]
        if kind in CONVERSIONS and not before.rstrip().endswith("~") and not re.match(
                rf" \| (default\([^)]*\) \| )?{CONVERSIONS[kind]}| is (not )?defined", after):
            yield use[0]


@pytest.mark.parametrize("file", sorted(str(path.relative_to(ROOT)) for pattern in (
    "roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml") for path in ROOT.glob(pattern)))
def test_every_typed_variable_is_converted_where_used(file: str) -> None:
    found = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert [(name, expression) for expression in expressions(found) for name in unconverted(expression)] == []


@pytest.mark.parametrize("file", sorted(str(path.relative_to(ROOT)) for pattern in ("roles/*/*/*.yml", "playbooks/*.yml") for path in ROOT.glob(pattern)))
def test_a_path_that_may_be_unset_is_expanded_as_text(file: str) -> None:
    """Up to ansible-core 2.18 each variable that an expression names is templated, whether or not its branch is taken."""
    assert not re.findall(r"dhash_\w+ \| expanduser", (ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", ["false", "no", "0"])
@pytest.mark.parametrize("name", sorted(name for name, kind in TYPED.items() if kind == "bool"))
def test_booleans_given_as_text_are_accepted(name: str, text: str) -> None:
    assert given(**{name: text}) == []


@pytest.mark.parametrize("name", sorted(name for name, kind in TYPED.items() if kind in ("int", "float")))
def test_numbers_given_as_text_are_checked(name: str) -> None:
    least = number_ranges.RANGES[name].least
    assert (given(**{"dhash_review_min_distance": 0, name: "0"}) == []) == (least <= 0)
    most = number_ranges.RANGES[name].most
    assert given(**{name: "-1"}) == [f"{name} must be {f'between {least:g} and {most:g}' if math.isfinite(most) else f'at least {least:g}'}, got -1."]
    for text in ("no", "false", "nan"):
        assert len(given(**{name: text})) == 1


@pytest.mark.parametrize(("name", "value", "problem"), [
    ("dhash_max_load", "", "dhash_max_load must be a number, got ''"),
    ("dhash_max_pressure", "0.5x", "dhash_max_pressure must be a number, got '0.5x'"),
    ("dhash_approval_minutes", [1], "dhash_approval_minutes must be a number, got [1]"),
    ("dhash_first_images", "1.5", "dhash_first_images must be a whole number, got '1.5'"),
    ("dhash_auto_rollback", "ja", "dhash_auto_rollback must be true or false, got 'ja'"),
    ("dhash_media_roots", {"a": 1}, "dhash_media_roots must be a list, got {'a': 1}"),
    ("dhash_media_roots", ["/srv", ["/x"]], "each item of dhash_media_roots must be a path, got ['/x']"),
    ("dhash_health_status", "200,ok", "each item of dhash_health_status must be a whole number, got 'ok'"),
    ("dhash_monitor_gates", 7, "dhash_monitor_gates must be a dictionary, got 7"),
    ("dhash_monitor_gates", {"health": 3}, "dhash_monitor_gates.health must be a dictionary, got 3"),
    ("dhash_monitor_gates", {"health": {"limit": "x"}}, "dhash_monitor_gates.health.limit must be a number, got 'x'"),
    ("dhash_hooks", ["hooks"], "dhash_hooks must be a path, got ['hooks']"),
    ("dhash_hooks", 7, "dhash_hooks must be a path, got 7"),
    ("dhash_hooks", False, "dhash_hooks must be a path, got False"),
    ("dhash_service_name", ["mobius"], "dhash_service_name must be text, got ['mobius']"),
])
def test_a_value_of_another_type_is_named(name: str, value: object, problem: str) -> None:
    assert given(**{name: value}) == [f"{problem}. Correct the value, or remove it."]


@pytest.mark.parametrize("name", sorted(name for name, kind in TYPED.items() if kind in ("int", "float")))
def test_an_infinite_number_is_refused(name: str) -> None:
    for value in ("inf", "1e400", float("inf")):
        (found,) = given(**{name: value})
        assert name in found


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_null_is_refused_where_a_default_would_count(name: str) -> None:
    """An empty key in YAML is null: dhash_backup without a value would be no backup."""
    if OPTIONS[name].get("default") is None:
        assert given(**{name: None}) == (["missing required arguments: dhash_library"] if OPTIONS[name].get("required") else [])
    else:
        (found,) = given(**{name: None})
        assert found.startswith(f"{name} is set, but has no value (null).") and f"({json.dumps(OPTIONS[name]['default'])})" in found


def test_every_type_of_an_option_has_a_name() -> None:
    kinds = {kind for name, option in OPTIONS.items() for kind in (option["type"], option.get("elements")) if kind and name != "dhash_notify"}
    assert kinds == WANTED.keys()


def test_a_wrong_type_hides_no_other_problem() -> None:
    assert len(given(dhash_max_load="", dhash_monitor_gates={"health": 3}, dhash_service_manager="runit")) == 3


@pytest.mark.parametrize(("name", "value", "problem"), [
    ("dhash_max_failure_rate", "5", "dhash_max_failure_rate must be between 0 and 1, got 5. For 5 percent give 0.05."),
    ("dhash_threshold", 65, "dhash_threshold must be between 0 and 64, got 65."),
    ("dhash_first_images", "-1", "dhash_first_images must be at least 1, got -1."),
    ("dhash_monitor_gates", '{"failure_rate": {"limit": 5}}',
     "the limit of the gate failure_rate must be between 0 and 1, got 5. Correct dhash_monitor_gates."),
    ("dhash_monitor_gates", {"health": {"limit": 0}},
     "the limit of the gate health must be at least 1, got 0. Correct dhash_monitor_gates."),
])
def test_numbers_out_of_range_are_named(name: str, value: object, problem: str) -> None:
    assert given(**{name: value}) == [problem]


@pytest.mark.parametrize("variables", [{}, {"dhash_rollback_remove_dhash": "true"}, {"dhash_rollback_to": "library.json.bak.20260131T120000Z"}])
def test_defaults_contradict_nothing_that_is_set(variables: dict[str, Any]) -> None:
    defaults = {name: option["default"] for name, option in OPTIONS.items() if option.get("default") is not None}
    assert given(**{**defaults, **variables}) == []


def test_a_missing_library_is_named() -> None:
    assert check(OPTIONS, {"dhash_first_images": "3"}) == ["missing required arguments: dhash_library"]


@pytest.mark.parametrize("value", [0.0, 1, 0.05])
def test_rates_between_zero_and_one_are_accepted(value: float) -> None:
    assert given(dhash_max_failure_rate=value) == []


def test_modules_refuse_numbers_out_of_range() -> None:
    number_ranges.require({"threshold": 64, "limit": None, "images": ["a.jpg"], "lock_timeout": 0})
    with pytest.raises(RefusedError, match=r"lock_timeout must be at least 0, got -1.*threshold must be between 0 and 64, got 65") as caught:
        number_ranges.require({"threshold": 65, "lock_timeout": -1})
    assert caught.value.next_step


@pytest.mark.parametrize(("value", "items"), [
    (None, []), ("", []), ("a.json", ["a.json"]), ("a.json, b.json", ["a.json", "b.json"]), ('["a.json", "b.json"]', ["a.json", "b.json"]),
    (["a.json"], ["a.json"])])
def test_lists_given_as_text_are_converted(value: object, items: list[Any]) -> None:
    assert as_list(value) == items


@pytest.mark.parametrize(("value", "sizes"), [
    (None, [1, "25%", "100%"]), ("", [1, "25%", "100%"]), ([], [1, "25%", "100%"]), (3, [3]), ("1,4,100%", ["1", "4", "100%"]),
    ('[1, "25%"]', [1, "25%"]), ([2, "9%"], [2, "9%"]),
    ([" 2", "9% "], ["2", "9%"]), ('["9% "]', ["9%"])])
def test_batches_without_a_size_are_those_of_the_default(value: object, sizes: list[Any]) -> None:
    assert batch_sizes(value) == sizes


@pytest.mark.parametrize("value", [0, "0", -1, "0%", "101%", "abc", "1.5", True, {"a": 1}, [None], ["1", "x"]])
def test_batch_that_ansible_would_take_for_all_hosts_is_refused(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"dhash_serial: .* is neither a number of hosts nor a percentage\. Correct it"):
        batch_sizes(value)


def test_batches_that_are_no_json_array_name_their_variable() -> None:
    with pytest.raises(AnsibleFilterError, match=r"dhash_serial: not a JSON array: \[1 .* Correct it"):
        batch_sizes("[1")


def test_text_that_is_no_json_array_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="not a JSON array"):
        as_list('["a.json"')


@pytest.mark.parametrize(("variables", "said"), [
    ({"dhash_service_manager": "command", "dhash_stop_command": "true"}, "dhash_start_command is not set, and dhash_service_manager is command"),
    ({"dhash_service_manager": "systemd"}, "dhash_service_name is not set, and dhash_service_manager is systemd"),
    ({"dhash_health_body": "(["}, "dhash_health_body is not a regular expression"),
    ({"dhash_monitor_error_log_pattern": "*"}, "dhash_monitor_error_log_pattern is not a regular expression"),
    ({"dhash_verify_compare": "/srv/one.png"}, "dhash_verify_compare names 1 images. Name two images."),
    ({"dhash_verify_compare_min_distance": "12"}, "dhash_verify_compare_min_distance (12) is greater than dhash_verify_compare_max_distance (10)."),
    ({"dhash_review_max_distance": 7}, "dhash_review_min_distance (8) is greater than dhash_review_max_distance (7)."),
    ({"dhash_rollback_to": "library.json.bak.20260131T120000Z", "dhash_rollback_remove_dhash": "yes"},
     "dhash_rollback_to and dhash_rollback_remove_dhash contradict each other, because the latter restores no backup."),
])
def test_variables_that_need_each_other_are_refused_at_once(variables: dict[str, Any], said: str) -> None:
    (found,) = given(**variables)
    assert said in found


@pytest.mark.parametrize("path", ["$HOME/library.json", "/srv/${APP}/x", "/srv/a$b/library.json"])
@pytest.mark.parametrize("name", sorted(name for name, option in OPTIONS.items() if "path" in (option["type"], option.get("elements"))))
def test_path_that_a_host_would_expand_is_refused_as_given(name: str, path: str) -> None:
    (found,) = given(**{name: path})
    assert found.startswith(f"{name}: {path} contains an environment variable")


PATHS = {name for name, option in OPTIONS.items() if "path" in (option["type"], option.get("elements"))}
FROM_THE_LIBRARY = {"dhash_backup_copy_dir", "dhash_backup_dir", "dhash_calibration_report", "dhash_dry_run_report", "dhash_log_dir", "dhash_metrics_dir",
                    "dhash_monitor_error_log", "dhash_output", "dhash_report", "dhash_review_dir"}
FROM_THE_CURRENT_DIRECTORY = {"dhash_approval_file", "dhash_backup_fetch_dir", "dhash_fleet_duplicates_dir", "dhash_fleet_report_dir", "dhash_hooks",
                              "dhash_review_decisions", "dhash_review_fetch_dir", "dhash_rollback_identity_file"}


@pytest.mark.parametrize("path", ["x/y.json", "./x", "../x", "x"])
@pytest.mark.parametrize("name", sorted(PATHS - FROM_THE_LIBRARY - FROM_THE_CURRENT_DIRECTORY))
def test_relative_path_from_no_documented_folder_is_refused(name: str, path: str) -> None:
    (found,) = given(**{name: path})
    assert found.startswith(f"{name}: {path} is a relative path")


@pytest.mark.parametrize("path", ["/srv/x", "~/x", "~ada/x"])
@pytest.mark.parametrize("name", sorted(PATHS - {"dhash_hooks", "dhash_verify_compare"}))
def test_a_whole_path_is_taken(name: str, path: str) -> None:
    assert given(**{name: path}) == []


@pytest.mark.parametrize("name", sorted(FROM_THE_LIBRARY | FROM_THE_CURRENT_DIRECTORY))
def test_relative_path_from_a_documented_folder_is_accepted(name: str) -> None:
    assert given(**{name: "./x"}) == []


def test_a_dollar_sign_that_stands_for_itself_is_taken() -> None:
    assert given(dhash_library="/srv/100$/~/$.json") == []


def test_variables_that_complete_each_other_are_taken() -> None:
    assert given(dhash_service_manager="command", dhash_start_command="true", dhash_health_body='"status": *"ok"',
                 dhash_verify_compare="/srv/one.png,/srv/other.png",
                 dhash_verify_compare_min_distance="5", dhash_verify_compare_max_distance="5", dhash_rollback_remove_dhash="yes",
                 dhash_rollback_to="latest") == []


@pytest.mark.parametrize(("given", "meant"), [
    ("dhash_first_image", "dhash_first_images"), ("dhash_helth_url", "dhash_health_url"), ("dhash_review_validateonly", "dhash_review_validate_only"),
    ("dhash_review_validate_olny", "dhash_review_validate_only"), ("dhash_servce_manager", "dhash_service_manager"),
    ("dhash_media_root", "dhash_media_roots"), ("dhash_host", "dhash_hosts"), ("dhash_backup_dirs", "dhash_backup_dir")])
def test_a_name_that_is_almost_that_of_a_variable_is_refused(given: str, meant: str) -> None:
    assert mistyped(OPTIONS.keys() | OF_PLAYBOOKS, [given, "dhash_library"]) == [f"{given} is not a variable of mobius.dhash. Did you mean {meant}?"]


@pytest.mark.parametrize("name", ["dhash_env", "dhash_site", "dhash_team", "dhash_service_port", "dhash_library_url", "dhash_library_path",
                                  "dhash_service_user", "__dhash_first_image", "my_dhash_first_image", "first_image"])
def test_a_name_that_an_operator_has_made_up_is_left_alone(name: str) -> None:
    assert mistyped(OPTIONS.keys() | OF_PLAYBOOKS, [name]) == []


def test_variables_of_playbooks_and_roles_are_all_known() -> None:
    text = "".join(path.read_text(encoding="utf-8") for pattern in ("playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/vars/*.yml")
                   for path in ROOT.glob(pattern))
    used = set(re.findall(r"(?<![A-Za-z0-9_.])dhash_[a-z0-9_]+", text))
    assert mistyped(OPTIONS.keys() | OF_PLAYBOOKS, used) == [] and used >= OF_PLAYBOOKS


def test_unwritable_controller_folder_is_named(tmp_path: Path) -> None:
    assert unwritable({"dhash_backup_fetch_dir": str(tmp_path / "new"), "dhash_review_fetch_dir": ""}) == []
    assert unwritable({"dhash_backup_fetch_dir": "/proc/x"}) == [
        "dhash_backup_fetch_dir: /proc/x on the controller: /proc is not writable. Set dhash_backup_fetch_dir to another path, then run again."]
    (found,) = unwritable({"dhash_review_fetch_dir": __file__})
    assert f"{__file__} is not a folder. Move this file away, or set dhash_review_fetch_dir to another path" in found
