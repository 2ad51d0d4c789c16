# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch over a deploy: its gates, its pauses, its verdicts, and what is left of it when its watcher is killed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable, locking, log_tail
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import service_probes, watch_gates, watch_record, watcher
from conftest import present
from hypothesis import given
from hypothesis import strategies as st


class Host:
    """A host on which a migration was deployed, its service at a health URL, its log, and a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "library.json"
        self.library.write_text(json.dumps({
            "images": [{"path": "a.jpg", "filename": "a.jpg", "dhash": "0123456789ABCDEF"}],
            "dhash_migration": {"average_time_per_image": 0.05, "p95_time_per_image": 0.15}, "dhash_errors": []}))
        self.state = folder / "state"
        self.state.mkdir()
        self.log = folder / "error.log"
        self.log.write_text("ERROR before the watch\n")
        self.record = run_record.Record("run-1", run_record.MIGRATION, run_record.VERIFIED, str(self.library), "output", "kept", "old",
                                        durable.sha256_of_file(str(self.library)), False, {})
        self.keep(self.record)
        self.time = 1_000_000.0
        self.pauses: list[float] = []
        self.shown: list[str] = []
        self.answers = [(200, b"ok")]
        self.asked = 0
        self.before_pause: Callable[[int], object] = lambda poll: None
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, body = host.answers[min(host.asked, len(host.answers) - 1)]
                host.asked += 1
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/health"

    def keep(self, record: run_record.Record) -> None:
        self.record = record
        run_record.write(str(self.state), record)

    def settings(self, gates: dict[str, Any] | None = None, **changes: Any) -> watcher.Settings:
        settings = watcher.Settings(
            library=str(self.library), state=str(self.state), run="watch-1", minutes=30, gates=watch_gates.chosen(gates or {}),
            health_url=self.url, health_body=None, service_manager="none", service_name=None, service_scope="system",
            status_command=None, error_log=None, error_log_pattern=log_tail.PATTERN, log_dir=None)
        return settings._replace(**changes)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.before_pause(len(self.pauses))
        self.time += seconds

    def tell(self, progress: dict[str, Any]) -> None:
        self.shown += [line for number, line in progress["lines"] if number > len(self.shown)]

    def watch(self, gates: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        return watcher.watch(self.settings(gates, **changes), self.tell, self.sleep, lambda: self.time)

    def kept(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.state / watch_record.FILE).read_text(encoding="utf-8"))
        return value


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def judged(result: dict[str, Any]) -> tuple[Any, Any]:
    """The verdict with its reason, so that a test that fails says which check did."""
    return result["verdict"], result["reason"]


# The gates.

@given(st.sampled_from(sorted(watch_gates.GATES)), st.floats(1, 1e9), st.floats(0, 1e9))
def test_a_gate_breaks_just_where_it_says(name: str, limit: float, value: float) -> None:
    limit = min(limit, 1) if name == "failure_rate" else limit
    gates = watch_gates.chosen({name: {"limit": limit, "action": "fail"}})
    kind = gates[name].breaks
    breaks = {watch_gates.IN_A_ROW: value >= limit, watch_gates.ABOVE: value > limit, watch_gates.BELOW: value < limit}[kind]
    found = watch_gates.find_violations(gates, {name: value})
    assert (name in found) is breaks
    assert watch_gates.most_severe(found) == ("fail" if breaks else "ignore")


def test_what_is_not_known_or_ignored_breaks_nothing() -> None:
    gates = watch_gates.chosen({"disk": {"action": "ignore"}})
    assert watch_gates.find_violations(gates, {"disk": 0, "memory": 1e15, "health": None}) == {}


@pytest.mark.parametrize(("name", "limit"), [("health", 0.5), ("failure_rate", 5), ("disk", -1), ("queue", float("nan")), ("p95", float("inf"))])
def test_a_limit_that_is_none_is_refused_by_the_name_of_its_gate(name: str, limit: float) -> None:
    with pytest.raises(DhashError, match=f"gate {name}.*dhash_monitor_gates"):
        watch_gates.chosen({name: {"limit": limit}})


# The watch.

@pytest.mark.slow
def test_healthy_service_is_polled_often_then_seldom_and_passes(host: Host) -> None:
    before = host.library.read_bytes()
    result = host.watch()
    assert (result["verdict"], result["broken"]) == ("passed", [])
    assert host.time == 1_000_000 + 30 * 60
    growing = host.pauses[:-1]
    assert growing == sorted(growing) and growing[0] < 2 and growing[-1] == 60 and len(growing) < 60
    assert len(host.shown) == result["polls"] == host.asked
    assert host.shown[0].startswith("poll 1 at 0:00 of 30:00, health ok, library 1 of 1 hashed")
    assert host.library.read_bytes() == before


def test_failing_service_is_polled_often_and_fails_at_its_limit(host: Host) -> None:
    host.answers = [(200, b"ok")] * 8 + [(503, b"no")]
    result = host.watch()
    assert (result["verdict"], result["polls"]) == ("rollback", 11)
    assert [(gate["gate"], gate["value"]) for gate in result["broken"]] == [("health", 3)] and result["reason"]
    assert host.pauses[-2:] == [1, 1]
    assert "health FAILED (status 503)" in host.shown[-1] and "; ROLLBACK: consecutive failed health checks: 3" in host.shown[-1]


@pytest.mark.slow
def test_a_service_that_gets_well_again_in_time_breaks_nothing(host: Host) -> None:
    host.answers = [(200, b""), (500, b""), (500, b""), (200, b"")] * 20
    assert judged(host.watch(minutes=1)) == ("passed", "")
    assert host.asked > 20


def test_service_failing_at_the_end_is_watched_until_decided(host: Host) -> None:
    host.answers = [(200, b""), (500, b"")]
    result = host.watch(minutes=0.03)
    assert (result["verdict"], result["polls"]) == ("rollback", 4)


@pytest.mark.parametrize(("action", "verdict"), [("warn", "passed"), ("ignore", "passed"), ("fail", "failed"), ("rollback", "rollback")])
def test_a_gate_does_what_it_is_told_to(host: Host, action: str, verdict: str) -> None:
    host.answers = [(500, b"")]
    result = host.watch({"health": {"action": action}}, minutes=1)
    assert result["verdict"] == verdict
    assert [gate["gate"] for gate in result["broken"]] == ([] if action == "ignore" else ["health"])


def test_the_strongest_of_the_gates_that_break_decides(host: Host) -> None:
    result = host.watch({"average": {"limit": 10, "action": "fail"}, "p95": {"limit": 10, "action": "rollback"}, "disk": {"limit": 1e18}})
    (p95,) = (gate["says"] for gate in result["broken"] if gate["gate"] == "p95")
    assert (result["verdict"], result["reason"]) == ("rollback", p95)
    assert {gate["gate"]: gate["action"] for gate in result["broken"]} == {"average": "fail", "p95": "rollback", "disk": "warn"}


def test_a_rollback_is_not_taken_back(host: Host) -> None:
    host.keep(host.record._replace(operation=run_record.RESTORE))
    host.answers = [(500, b"")]
    assert host.watch()["verdict"] == "failed"


def test_unreadable_library_fails_and_is_not_called_restored(host: Host) -> None:
    host.before_pause = lambda poll: host.library.write_text("{") if poll == 2 else None
    result = host.watch()
    assert result["verdict"] == "failed" and [gate["gate"] for gate in result["broken"]] == ["library"]


def test_the_evidence_is_kept(host: Host) -> None:
    host.answers = [(200, b"")] * 2 + [(503, b"")]

    def complain(_poll: int) -> None:
        with host.log.open("a") as log:
            log.write("ERROR cannot bear it \x1b[31m\nfine\n")

    host.before_pause = complain
    result = host.watch(error_log=str(host.log), log_dir=str(host.folder / "logs"))
    kept = host.kept()
    assert kept["verdict"] == "rollback" and kept["evidence"]["poll"]["health"]["problem"] == "status"
    assert kept["evidence"]["lines"] == ["ERROR cannot bear it \\x1b[31m"] * (result["polls"] - 1)
    (log,) = (host.folder / "logs").glob("library.json.monitor-*.log")
    assert result["evidence"] == [str(host.state / watch_record.FILE), str(log)]
    text = log.read_text(encoding="utf-8")
    assert text.count("poll ") >= result["polls"] and "error log: ERROR cannot bear it" in text
    assert "WARN: 1 new lines in the error log, more than 0" in text


def test_a_newer_deploy_ends_the_watch_without_a_judgement(host: Host) -> None:
    def deploy_anew(poll: int) -> None:
        if poll == 3:
            host.keep(host.record._replace(run="run-2", new_sha256="other"))

    host.before_pause = deploy_anew
    result = host.watch()
    assert result["verdict"] == "replaced" and "run-2" in result["reason"]


def test_an_edit_by_the_service_does_not_end_it(host: Host) -> None:
    host.before_pause = lambda poll: poll == 3 and host.library.write_text(host.library.read_text() + "\n")
    assert judged(host.watch(minutes=1)) == ("passed", "")


@pytest.mark.parametrize("record", [None, {"phase": run_record.PREPARED}])
def test_where_nothing_is_deployed_nothing_is_watched(host: Host, record: dict[str, Any] | None) -> None:
    if record is None:
        (host.state / "run.json").unlink()
    else:
        host.keep(host.record._replace(**record))
    result = host.watch()
    assert (result["verdict"], result["polls"]) == (None, 0) and host.asked == 0


def test_a_full_disk_hides_no_verdict(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.answers = [(500, b"")]

    def full(*_args: object, **_options: object) -> NoReturn:
        raise DhashError("could not write the file: No space left on device")

    monkeypatch.setattr(durable, "write", full)
    assert host.watch()["verdict"] == "rollback"


class Killed(BaseException):
    pass


def killed_after(host: Host, polls: int, **changes: Any) -> None:
    def kill(pause: int) -> None:
        if pause == polls:
            raise Killed

    host.before_pause = kill
    with pytest.raises(Killed):
        host.watch(**changes)
    host.before_pause = lambda _pause: None


@pytest.mark.slow
def test_killed_watcher_is_continued_for_the_remaining_time(host: Host) -> None:
    killed_after(host, 5)
    assert host.kept()["verdict"] is None
    host.time += 600
    result = host.watch()
    assert judged(result) == ("passed", "") and host.time == 1_000_000 + 30 * 60
    assert result["polls"] == host.asked > 5


def test_watch_past_its_end_is_decided_by_the_current_state(host: Host) -> None:
    killed_after(host, 5)
    host.time += 24 * 3600
    host.answers = [(503, b"")]
    result = host.watch()
    assert (result["verdict"], result["polls"]) == ("rollback", 8)


def test_a_continued_watch_reads_the_error_log_on_where_it_was(host: Host) -> None:
    killed_after(host, 2, error_log=str(host.log), minutes=1)
    with host.log.open("a") as log:
        log.write("ERROR while nobody watched\n")
    result = host.watch(error_log=str(host.log), minutes=1)
    assert [gate["value"] for gate in result["broken"]] == [1]


def test_a_verdict_is_returned_until_it_is_acknowledged(host: Host) -> None:
    host.answers = [(500, b"")]
    first = host.watch()
    asked = host.asked
    assert host.watch() == first and host.asked == asked
    summary = present(watch_record.summary(str(host.state)))
    assert summary["pending"] and summary["waits"] and summary["verdict"] == "rollback"
    watch_record.acknowledge(str(host.state), "another run")
    assert present(watch_record.summary(str(host.state)))["waits"]
    watch_record.acknowledge(str(host.state), "run-1")
    assert not present(watch_record.summary(str(host.state)))["pending"]
    host.answers = [(200, b"")]
    assert judged(host.watch(minutes=1)) == ("passed", "")


def test_the_verdict_over_what_is_gone_waits_for_nobody(host: Host) -> None:
    host.answers = [(500, b"")]
    host.watch()
    host.keep(host.record._replace(run="rollback-1", operation=run_record.RESTORE))
    summary = present(watch_record.summary(str(host.state)))
    assert summary["verdict"] == "rollback" and not summary["pending"] and not summary["waits"]


def test_second_watcher_follows_the_first_without_a_library_lock(host: Host) -> None:
    first = watch_record.begin(host.record, host.time, 30)
    shown = first._replace(polls=1, evidence={**first.evidence, "polls": ["poll 1 by the first"]})

    def end_of_the_first(pause: int) -> None:
        if pause == 3:
            watch_record.write(str(host.state), shown._replace(verdict="passed", reason="by the first"))
            held.close()

    class Held:
        def __init__(self) -> None:
            self.lock = locking.lock(watch_record.path(str(host.state)), "watch", "first", 0)
            self.lock.__enter__()

        def close(self) -> None:
            self.lock.__exit__(None, None, None)

    held = Held()
    watch_record.write(str(host.state), shown)
    host.before_pause = end_of_the_first
    result = host.watch()
    assert (result["verdict"], result["reason"], host.asked) == ("passed", "by the first", 0)
    assert host.shown == ["poll 1 by the first"]
    assert not Path(f"{host.library}.lock").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"run": 1}', "{" * 10])
def test_a_damaged_record_of_a_watch_is_named(host: Host, content: str) -> None:
    (host.state / watch_record.FILE).write_text(content)
    with pytest.raises(DhashError, match=r"monitor.json: the monitoring record is damaged\. .*run again"):
        host.watch()


@pytest.mark.parametrize(("content", "pending"), [
    ("{", "Whether a run has acted upon the result is unknown. First check the service and the library yourself"),
    ('{"verdict": "rollback", "acknowledged": false,', "Readable in the file: result rollback. Whether a run has acted upon"),
    ('{"verdict": "passed", "acknowledged": true,', "Readable in the file: result passed, acted upon. Rename this file"),
])
def test_a_damaged_watch_says_what_is_still_pending(host: Host, content: str, pending: str) -> None:
    (host.state / watch_record.FILE).write_text(content)
    with pytest.raises(DhashError, match=pending):
        host.watch()


def rewritten(host: Host, **changes: Any) -> watch_record.Watch:
    """What is read of a watch after its fields were changed, or taken out where they are Ellipsis."""
    value = {"format": 1, **watch_record.begin(host.record, 0.0, 5)._asdict(), **changes}
    (host.state / watch_record.FILE).write_text(json.dumps({name: field for name, field in value.items() if field is not ...}))
    return present(watch_record.read(str(host.state)))


@pytest.mark.parametrize("changes", [
    {"more": 1}, {"format": ...}, {"evidence": {}}, {"evidence": {"more": 1, "poll": {}, "lines": []}},
    dict.fromkeys(("operation", "polled", "polls", "in_a_row", "broken", "log_place", "verdict", "reason", "acknowledged", "log",
                   "evidence"), ...)])
def test_a_watch_of_another_version_is_read(host: Host, changes: dict[str, Any]) -> None:
    watch = rewritten(host, **changes)
    assert watch._replace(evidence={}) == watch_record.begin(host.record, 0.0, 5)._replace(evidence={})
    assert watch.evidence["polls"] == []


def test_a_watch_of_a_newer_format_is_refused_as_such(host: Host) -> None:
    with pytest.raises(RefusedError, match=r"written by a newer mobius.dhash \(format 2\)"):
        rewritten(host, format=2)


# What it looks at.

@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts programs of these names first in the path."""
    def put(**scripts: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return put


SYSTEMD = "printf 'LoadState=%s\\nActiveState=%s\\nSubState=%s\\nMainPID=0\\nMemoryCurrent=%s\\n' {}"


@pytest.mark.parametrize(("script", "seen"), [
    (SYSTEMD.format("loaded active running 1048576"), (True, "active (running)", 1048576)),
    (SYSTEMD.format("loaded activating auto-restart '[not set]'"), (False, "activating (auto-restart)", None)),
    (SYSTEMD.format("not-found inactive dead 18446744073709551615"), (False, "not found", None)),
    ("echo 'Failed to connect to bus' >&2; exit 1", (None, "Failed to connect to bus", None))])
def test_what_systemd_says(programs: Callable[..., None], script: str, seen: tuple[bool, str, int] | tuple[bool | None, str, None]) -> None:
    programs(systemctl=script)
    assert service_probes.service("systemd", "mobius.service", "system", None) == seen


def test_the_systemd_of_a_user_is_asked_with_his_runtime_folder(programs: Callable[..., None]) -> None:
    programs(systemctl='[ "$1" = --user ] && [ -n "$XDG_RUNTIME_DIR" ] && ' + SYSTEMD.format("loaded active running 1"))
    assert present(service_probes.service("systemd", "mobius.service", "user", None)).running


@pytest.mark.parametrize(("script", "seen"), [
    ("""echo '{"Status": "running", "Running": true, "Pid": 0}'""", (True, "running", None)),
    ("""echo '{"Status": "restarting", "Running": true, "Restarting": true}'""", (False, "restarting", None)),
    ("echo 'Error: No such container: mobius' >&2; exit 1", (False, "Error: No such container: mobius", None)),
    ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", (None, "Cannot connect to the Docker daemon", None)),
    ("echo '['", (None, "docker did not answer with JSON", None))])
def test_what_docker_says(programs: Callable[..., None], script: str, seen: tuple[bool | None, str, None]) -> None:
    programs(docker=script)
    assert service_probes.service("docker", "mobius", "system", None) == seen


@pytest.mark.parametrize(("script", "seen"), [
    ("""echo '[PM2] Spawning'; echo '[{"name": "mobius", "pm2_env": {"status": "online"}}]'""", (True, "online", None)),
    ("""echo '[{"name": "mobius", "pm2_env": {"status": "online"}}, {"name": "mobius", "pm2_env": {"status": "errored"}}]'""",
     (False, "online, errored", None)),
    ("""echo '[{"name": "other", "pm2_env": {"status": "online"}}, 3]'""", (False, "not found", None)),
    ("echo nothing", (None, "pm2 did not answer with JSON", None))])
def test_what_pm2_says(programs: Callable[..., None], script: str, seen: tuple[bool | None, str, None]) -> None:
    programs(pm2=script)
    assert service_probes.service("pm2", "mobius", "system", None) == seen


def test_status_command_reports_by_exit_code_and_is_optional(programs: Callable[..., None]) -> None:
    programs(status='exit "$1"')
    assert service_probes.service("command", None, "system", "status 0") == (True, "running", None)
    assert service_probes.service("command", None, "system", "status 3") == (False, "exit code 3", None)
    assert service_probes.service("command", None, "system", None) is None
    assert present(service_probes.service("command", None, "system", "'unclosed")).running is None


def test_missing_or_hanging_manager_does_not_mean_service_down(programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    programs(systemctl="exec sleep 60")
    monkeypatch.setattr(service_probes, "SECONDS", 0.3)
    assert present(service_probes.service("systemd", "mobius", "system", None)).running is None
    assert "cannot be run: No such file" in present(service_probes.service("pm2", "mobius", "system", None)).message


def test_the_memory_of_a_process_is_what_the_kernel_says(programs: Callable[..., None]) -> None:
    programs(docker="""printf '{"Status": "running", "Running": true, "Pid": %s}' $PPID""")
    assert present(present(service_probes.service("docker", "mobius", "system", None)).memory) > 1 << 20


# The error log.

@given(st.lists(st.tuples(st.sampled_from(["write", "half", "rename", "truncate", "look"]), st.integers(1, 3)), max_size=12))
def test_each_new_line_counts_once_despite_log_rotation(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    path = tmp_path_factory.mktemp("log") / "error.log"
    path.write_text("ERROR old\n")
    tail = log_tail.Tail(str(path), "ERROR")
    written, half = 0, False
    for step, number in steps:
        if step == "write":
            with path.open("a") as log:
                log.write("\n" * half + "".join(f"ERROR {index}\nfine\n" for index in range(number)))
            written, half = written + number, False
        elif step == "half" and not half:
            with path.open("a") as log:
                log.write("fine so far")
            half = True
        elif step == "rename":  # looked at between two rotations, as logrotate's are a day apart
            tail.look()
            path.rename(f"{path}.1")
            path.write_text("")
            half = False
        elif step == "truncate":
            tail.look()
            if path.stat().st_size:
                path.write_text("")
            tail.look()
            half = False
        tail.look()
        tail = log_tail.Tail(str(path), "ERROR", tail.place)
        assert tail.found == written


def test_lines_that_were_written_just_before_a_rotation_are_read(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("")
    tail = log_tail.Tail(str(path), "ERROR")
    path.write_text("ERROR one\n")
    path.rename(f"{path}.1")
    path.write_text("ERROR two\n")
    tail.look()
    assert tail.found == 2 and list(tail.last) == ["ERROR one", "ERROR two"]


def test_log_growing_beyond_the_read_limit_reports_what_it_skips(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("")
    tail = log_tail.Tail(str(path), "ERROR")
    line = "ERROR " + "x" * 993 + "\n"
    path.write_text(line * 3000)
    tail.look()
    assert 1000 < tail.found < 1100 and tail.skipped == 3_000_000 - log_tail.MAX_BYTES
    assert len(tail.last) == log_tail.KEPT and all(len(kept) <= log_tail.SHOWN for kept in tail.last)


def test_a_log_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "later.log"
    tail = log_tail.Tail(str(path), "ERROR")
    tail.look()
    path.write_text("ERROR\n")
    tail.look()
    assert tail.found == 1


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DhashError, match="dhash_monitor_error_log_pattern"):
        log_tail.Tail(str(tmp_path / "log"), "(")
