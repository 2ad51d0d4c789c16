# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Prometheus and node_exporter after migrations: metrics, alerts, and the queries of the dashboard."""

from __future__ import annotations

import bisect
import json
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import prometheus_text, run_measurements
from hosts import BIN, DAYS, HOURS, PATIENCE, ROOT, Library, Prometheus, wait_for
from PIL import Image

DASHBOARD = json.loads((ROOT / "roles/monitor/files/mobius-dhash-dashboard.json").read_text(encoding="utf-8"))
ODD = 'odd "name"\\ {x="y"}\r\nété'
SLOW = 20  # images, as many as the alerts ask for
EVERYTHING = {"$instance": ".+", "$library": ".+"}


def slow_image(folder: Path) -> Path:
    """A picture that takes any machine more than 200 ms, since it has 144 million pixels."""
    image = Image.new("L", (12000, 12000), 99)
    image.paste(20, (0, 0, 6000, 12000))
    image.save(folder / "slow.png", compress_level=1)
    return folder / "slow.png"


def in_parallel(*jobs: Callable[[], object]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()


def queries() -> list[tuple[str, str]]:
    return [(f"{panel['title']} {target['refId']}", target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


# A fleet of three hosts.


@pytest.fixture(scope="module")
def fleet(prometheus: Prometheus, drawn: Path, textfiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Library]:
    """Three libraries, migrated: the first by the playbook. The pictures of the second are larger."""
    folder = tmp_path_factory.mktemp("fleet")
    one = Library(folder / "one", textfiles["one"], drawn)
    two = Library(folder / "two", textfiles["two"])
    three = Library(folder / ODD, textfiles["three"], drawn)
    for number in range(12):
        light = Image.frombytes("L", (9, 8), bytes((31 * number + 7 * index * index) % 256 for index in range(72)))
        light.resize((1500 + 100 * number, 1200), Image.Resampling.BICUBIC).save(two.folder / f"{number}.png", compress_level=1)
    two.fill([f"{number}.png" for number in range(12)])

    def play() -> None:
        variables = {"dhash_library": str(one.path), "dhash_state_dir": str(one.state), "dhash_metrics_dir": str(one.textfiles),
                     "dhash_max_failure_rate": 0.2, "dhash_fleet_report_dir": ""}
        run = subprocess.run([BIN / "ansible-playbook", "mobius.dhash.migrate", "-i", "localhost,", "-c", "local", "-e", json.dumps(variables)],
                             cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=4 * PATIENCE,
                             env=os.environ | {"HOME": str(folder), "ANSIBLE_HOME": str(folder / ".ansible"), "ANSIBLE_PIPELINING": "1",
                                               "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                                               "ANSIBLE_REMOTE_TEMP": str(folder / ".ansible/tmp")})
        assert run.returncode == 0, run.stdout

    in_parallel(play, lambda: (two.migrate(), three.migrate()))
    in_parallel(*(lambda library=library: library.run("review_export", include_images=False, min_distance=0, confirm=False) for library in (one, two, three)))
    scraped(prometheus)
    return {"one": one, "two": two, "three": three}


def scraped(prometheus: Prometheus) -> None:
    now = time.time()
    wait_for(lambda: prometheus.has_scraped(now), "every host to be scraped")
    then = time.time()
    wait_for(lambda: prometheus.has_evaluated(then), "every rule to be evaluated on that")


def test_every_metric_is_scraped_from_every_host(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    for host, library in fleet.items():
        series = prometheus.get("/api/v1/series", **{"match[]": f'{{instance="{host}",__name__=~"dhash_.+"}}'})
        names = {re.sub(r"^(dhash_hash_duration_seconds)_(bucket|sum|count)$", r"\1", sample["__name__"]) for sample in series}
        assert names == {metric.name for metric in prometheus_text.METRICS}
        assert {sample["library"] for sample in series} == {str(library.path)}


def test_every_metric_is_in_the_documentation_and_no_other(fleet: dict[str, Library]) -> None:
    text = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(dhash_\w+)`", text, re.MULTILINE)
    assert table == [metric.name for metric in prometheus_text.METRICS]


def test_prometheus_knows_the_type_and_the_help_of_every_metric(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    metadata = prometheus.get("/api/v1/metadata")
    for metric in prometheus_text.METRICS:
        assert metadata[metric.name] == [{"type": metric.type, "help": metric.help, "unit": ""}]


def test_no_host_complains_of_its_files(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    assert {sample["metric"]["instance"]: sample["value"][1] for sample in prometheus.query("node_textfile_scrape_error") if
            sample["metric"]["instance"] in fleet} == dict.fromkeys(fleet, "0")


def test_the_figures_are_those_of_the_library(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    for host, library in fleet.items():
        value = library.value()
        of_host = f'{{instance="{host}"}}'
        assert prometheus.value(f"dhash_images{of_host}") == len(value["images"])
        assert prometheus.value(f"dhash_hashed_images{of_host}") == sum("dhash" in image for image in value["images"])
        assert prometheus.value(f"dhash_duplicates{of_host}") == len(value["dhash_duplicates"])
        assert prometheus.value(f"sum(dhash_errors{of_host})") == len(value["dhash_errors"])
        assert prometheus.value(f'dhash_run_phase{{instance="{host}",phase="verified"}}') == 1
        assert prometheus.value(f"time() - dhash_last_success_timestamp_seconds{of_host}") < 600


def test_the_fleets_p95_is_the_exact_one_within_a_bucket(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    seconds = []
    for library in fleet.values():
        (journal,) = library.state.glob("*/journal.sqlite")
        with sqlite3.connect(journal) as connection:
            seconds += [row[0] for row in connection.execute("SELECT seconds FROM images WHERE dhash IS NOT NULL")]
    exact = sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]
    hosts = "|".join(fleet)
    estimate = prometheus.value(f'histogram_quantile(0.95, sum by (le) (dhash_hash_duration_seconds_bucket{{instance=~"{hosts}"}}))')
    bucket = bisect.bisect_left(run_measurements.BUCKETS, exact)
    assert len(seconds) == 35 + 12 + 35
    assert [0, *run_measurements.BUCKETS][bucket] <= estimate <= run_measurements.BUCKETS[bucket]


def test_unchanged_second_run_is_a_success_and_counts_nothing(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    before = prometheus.value('dhash_last_success_timestamp_seconds{instance="two"}')
    counted = prometheus.value('dhash_hash_duration_seconds_count{instance="two"}')
    fleet["two"].migrate()
    wait_for(lambda: prometheus.value('dhash_last_success_timestamp_seconds{instance="two"}') > before, "the success to be scraped")
    assert prometheus.value('dhash_hash_duration_seconds_count{instance="two"}') == counted


# The dashboard.


@pytest.mark.parametrize(("panel", "query"), queries(), ids=[name for name, _query in queries()])
def test_a_query_of_the_dashboard_is_answered(panel: str, query: str, fleet: dict[str, Library], prometheus: Prometheus) -> None:
    assert set(re.findall(r"\$\{?\w+", query)) <= EVERYTHING.keys()
    for name, value in EVERYTHING.items():
        query = query.replace(name, value)
    answer = prometheus.query(query)
    assert answer
    assert all(math.isfinite(float(sample["value"][1])) for sample in answer)


def test_dashboard_variables_offer_every_host_and_library(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    choices = {choice["name"]: choice["query"]["query"] for choice in DASHBOARD["templating"]["list"] if choice["type"] == "query"}
    offered = {}
    for name, query in choices.items():
        parts = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert parts, query
        selector, label = parts.groups()
        offered[name] = set(prometheus.get(f"/api/v1/label/{label}/values", **{"match[]": selector.replace("$instance", ".+")}))
    assert offered["instance"] >= set(fleet)
    assert offered["library"] >= {str(library.path) for library in fleet.values()}


def test_the_dashboard_names_only_metrics_that_exist() -> None:
    known = {metric.name for metric in prometheus_text.METRICS}
    known |= {f"{prometheus_text.DURATIONS}_{suffix}" for suffix in ("bucket", "sum", "count")}
    assert set(re.findall(r"\bdhash_\w+", json.dumps(DASHBOARD))) <= known


def test_dashboard_shows_every_metric_but_three_helpers() -> None:
    shown = set(re.findall(r"\bdhash_\w+", json.dumps(DASHBOARD)))
    told = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {metric.name for metric in prometheus_text.METRICS} - told == {
        "dhash_last_progress_timestamp_seconds", "dhash_last_end_timestamp_seconds", "dhash_run_timed_images"}


@pytest.mark.parametrize("panel", [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"], ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"] in ("none", "short", "s", "percentunit", "bytes", "ops")
    assert all(target["legendFormat"] for target in panel["targets"]) or panel["type"] in ("stat", "table")


def test_no_two_panels_lie_over_one_another() -> None:
    taken = [(panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + line) for panel in DASHBOARD["panels"]
             for column in range(panel["gridPos"]["w"]) for line in range(panel["gridPos"]["h"])]
    assert len(taken) == len(set(taken)) and max(column for column, _line in taken) < 24


# The alerts, each on a library made to trigger it.


class Trouble(NamedTuple):
    """A library, or a host, with what causes an alert and what takes the cause away."""

    subject: str
    cause: Callable[[], object]
    mend: Callable[[], object]


def troubles(folder: Path, drawn: Path, textfiles: dict[str, Path]) -> dict[str, Trouble]:
    """By alert. All libraries but one lie on one host, whose exporter reads all of their files."""
    def library(name: str, source: Path | None = drawn) -> Library:
        return Library(folder / name, textfiles["troubled"], source)

    def without_broken(failing: Library) -> None:
        value = failing.value()
        value["images"] = [image for image in value["images"] if image["filename"] not in failing.truth["broken"]]
        failing.path.write_text(json.dumps(value), encoding="utf-8")
        failing.run("library_migrate")

    def of_slow_images(slow: Library, count: int) -> Library:
        for number in range(count):
            os.link(source, slow.folder / f"{number}.png")
        slow.fill([f"{number}.png" for number in range(count)])
        return slow

    def with_small_images(slow: Library) -> None:
        for number in range(SLOW):
            (slow.folder / f"{number}.png").unlink()
            Image.frombytes("L", (9, 8), bytes((37 * number + 5 * index) % 256 for index in range(72))).save(slow.folder / f"{number}.png")
        slow.run("library_migrate")

    def kill(killed: Library) -> None:
        process = killed.start("library_migrate", late=2 * HOURS, parallel=1)
        wait_for(lambda: 'phase="hashing"} 1' in killed.published(), "the migration to begin")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def damage(damaged: Library) -> None:
        damaged.run("library_migrate")
        shutil.copy(damaged.path, damaged.folder / "kept.json")
        damaged.path.write_bytes(b"{")
        damaged.run("library_migrate", fails=True)

    def restore(damaged: Library) -> None:
        shutil.copy(damaged.folder / "kept.json", damaged.path)
        damaged.run("library_migrate")

    source = slow_image(folder)
    failing, slow, long, stale, damaged, owing = map(library, ("failing", "slow-drawn", "long", "stale", "damaged", "owing"))
    slow, killed = of_slow_images(library("slow", None), SLOW), of_slow_images(library("killed", None), 3)
    no_metrics = textfiles["broken"] / "broken.prom"
    slow_trouble = Trouble(str(slow.path), lambda: slow.run("library_migrate"), lambda: with_small_images(slow))
    return {
        "MobiusDhashFailureRatioHigh": Trouble(str(failing.path), lambda: failing.run("library_migrate"), lambda: without_broken(failing)),
        "MobiusDhashAverageTimeHigh": slow_trouble,
        "MobiusDhashP95TimeHigh": slow_trouble,
        "MobiusDhashReviewQueueLong": Trouble(
            str(long.path),
            lambda: (long.migrate(), long.run("review_export", min_distance=0, max_distance=64, confirm=False, include_images=False)),
            lambda: long.run("review_export", include_images=False)),
        "MobiusDhashStale": Trouble(
            str(stale.path),
            lambda: (stale.run("library_migrate"), stale.run("library_deploy"), stale.run("library_deploy", state="verified", late=10 * DAYS)),
            lambda: stale.run("library_deploy", state="verified")),
        "MobiusDhashMigrationFailed": Trouble(str(damaged.path), lambda: damage(damaged), lambda: restore(damaged)),
        "MobiusDhashNeverFinished": Trouble(str(killed.path), lambda: kill(killed), lambda: killed.run("library_migrate")),
        "MobiusDhashRestartOwed": Trouble(
            str(owing.path), lambda: (owing.run("library_migrate"), owing.run("library_deploy")),
            lambda: owing.run("library_deploy", state="verified")),
        "MobiusDhashScrapeError": Trouble("broken", lambda: no_metrics.write_text("dhash_images{ 1\n", encoding="utf-8"), no_metrics.unlink),
    }


class Seen(NamedTuple):
    """The alerts that are looked for, those that fired while their causes lasted, and those after they were gone."""

    expected: dict[str, str]
    fired: set[tuple[str, str]]
    after: set[tuple[str, str]]


@pytest.fixture(scope="module")
def seen(prometheus: Prometheus, drawn: Path, textfiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    found = troubles(tmp_path_factory.mktemp("troubles"), drawn, textfiles)
    expected = {alert: trouble.subject for alert, trouble in found.items()}
    distinct = {trouble.subject: trouble for trouble in found.values()}.values()

    def ours() -> set[tuple[str, str]]:
        return {pair for pair in prometheus.firing() if pair in expected.items()}

    in_parallel(*(trouble.cause for trouble in distinct))
    scraped(prometheus)
    fired = ours()
    in_parallel(*(trouble.mend for trouble in distinct))
    scraped(prometheus)
    return Seen(expected, fired, ours())


ALERTS = re.findall(r"^ +- alert: (\w+)$", (ROOT / "roles/monitor/files/mobius-dhash.rules.yml").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_fires_on_its_cause_and_then_clears(alert: str, seen: Seen) -> None:
    pair = (alert, seen.expected[alert])
    assert pair in seen.fired
    assert pair not in seen.after


def test_healthy_hosts_raise_only_the_failure_ratio_alert(fleet: dict[str, Library], prometheus: Prometheus) -> None:
    subjects = {str(library.path) for library in fleet.values()}
    raised = {pair for pair in prometheus.firing() if pair[1] in subjects or pair[1] in fleet}
    assert {alert for alert, _subject in raised} == {"MobiusDhashFailureRatioHigh"}  # 5 of 40 images are broken, as drawn
