# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When hashing waits, with readings and a clock that are passed in, and what others may do meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import path_rules, rollback_plan
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError, LockedError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._files import locking
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, hash_batches, host_throttle, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._hashing.host_throttle import Answer, Host, Settings, Throttle
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_run
from conftest import SmallLibrary

LOADS = [9.14, 9.14, 9.14, 0.5]  # the first of them is read to find out whether there is one


class Clock:
    """A clock that stands still but for sleeps, and for a ``tick`` at each reading."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 100.0, tick
        self.at_sleep: list[Callable[[], None]] = []  # what happens during the next sleeps

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.at_sleep:
            self.at_sleep.pop(0)()


IDLE = Host(lambda: 0.0, lambda _resource: 0.0, lambda _command: Answer(0, ""))


def quiet(**readings: Any) -> Host:
    return IDLE._replace(**readings)


def series(*values: float | None) -> Callable[[], float | None]:
    left = iter(values)
    last: list[float | None] = [0.0]

    def read() -> float | None:
        last[0] = next(left, last[0])
        return last[0]

    return read


def pressures(resource: str, first: float) -> Callable[[str], float | None]:
    read = series(first, first, 0)
    return lambda wanted: read() if wanted == resource else 0.0


def exit_codes(*codes: int) -> Callable[[str], Answer]:
    left = iter(codes)
    return lambda _command: Answer(next(left, 0), "replica lags")


def throttle(settings: Settings, host: Host) -> tuple[Throttle, Clock]:
    clock = Clock()
    return Throttle(settings, host, clock, clock.sleep), clock


@pytest.mark.parametrize(("settings", "host", "token", "text"), [
    (Settings(max_load=2), quiet(load=series(*LOADS)), "load", "throttled (load 9.1)"),
    (Settings(max_pressure=20), quiet(pressure=pressures("cpu", 30.04)),
     "cpu_pressure", "throttled (cpu pressure 30.0 %)"),
    (Settings(max_pressure=20), quiet(pressure=pressures("io", 20.1)),
     "io_pressure", "throttled (io pressure 20.1 %)"),
    (Settings(command="check"), quiet(command=exit_codes(1, 0)), "command",
     "throttled (dhash_throttle_command: exit code 1: replica lags)"),
])
def test_it_waits_while_a_host_is_busy_and_says_why_and_how_long(settings: Settings, host: Host, token: str, text: str) -> None:
    waits, clock = throttle(settings, host)
    told: list[tuple[str | None, bool, float]] = []
    waits.tell = lambda text, is_new, seconds: told.append((text, is_new, seconds))
    waits.wait()
    seconds = clock.now - 100
    assert seconds == (2 if token == "load" else 1)
    assert told[0] == (text, True, 0.0) and told[-1] == (None, True, seconds)
    assert waits.result() == {"seconds": seconds, "reasons": {token: seconds}, "unavailable": []}
    assert waits.may_begin()


def test_a_limit_that_is_reached_lets_images_begin() -> None:
    waits, _clock = throttle(Settings(max_load=2, max_pressure=20), quiet(load=lambda: 2.0, pressure=lambda _resource: 20.0))
    assert waits.may_begin()


def test_the_host_is_looked_at_once_a_second() -> None:
    looks: list[str] = []

    def look(command: str) -> Answer:
        looks.append(command)
        return Answer(0, "")

    waits, clock = throttle(Settings(command="check"), quiet(command=look))
    for step in range(100):
        clock.now = 100 + step / 20  # 5 s
        assert waits.may_begin()
    assert len(looks) == 5


def test_without_settings_the_host_is_never_looked_at() -> None:
    def refuse(*_any: object) -> Any:
        raise AssertionError

    waits, clock = throttle(Settings(), Host(refuse, refuse, refuse))
    waits.wait()
    assert waits.may_begin() and clock.now == 100


def test_a_reading_that_a_host_lacks_limits_nothing_and_is_named() -> None:
    waits, _clock = throttle(Settings(max_load=0.01, max_pressure=0.01), quiet(load=lambda: None, pressure=lambda _resource: None))
    assert waits.may_begin()
    assert waits.result() == {"seconds": 0.0, "reasons": {}, "unavailable": ["load", "cpu_pressure", "io_pressure"]}


def test_a_pause_file_pauses_as_long_as_it_exists(tmp_path: Path) -> None:
    flag = tmp_path / "pause"
    flag.touch()
    waits, clock = throttle(Settings(pause_file=str(flag)), quiet())
    clock.at_sleep = [lambda: None, lambda: None, flag.unlink]
    waits.wait()
    assert waits.result()["reasons"] == {"pause_file": 3.0}


def test_a_pause_file_that_is_a_dangling_link_pauses(tmp_path: Path) -> None:
    (tmp_path / "pause").symlink_to("nowhere")
    assert not throttle(Settings(pause_file=str(tmp_path / "pause")), quiet())[0].may_begin()


def test_the_locks_are_free_during_a_wait_and_others_see_why(tmp_path: Path) -> None:
    flag, library, state = tmp_path / "pause", tmp_path / "library.json", tmp_path / "state"
    flag.touch()
    library.touch()
    state.mkdir()
    waits, clock = throttle(Settings(pause_file=str(flag)), quiet())
    seen: list[Any] = []

    def another() -> None:
        with locking.lock(str(library), "restore", "other", 0):
            seen.append(locking.holder(str(state / locking.WAITING)))
        flag.unlink()

    clock.at_sleep = [another]
    with locking.lock(str(library), "migration", "run", 0) as lock:
        waits.locks, waits.state = [lock], str(state)
        waits.wait()
        assert locking.holder(str(library)) is not None
        with pytest.raises(LockedError, match="in use by migration"), locking.lock(str(library), "restore", "other", 0):
            pass
    assert (seen[0]["operation"], seen[0]["run"], seen[0]["reason"]) == ("migration", "run", "pause_file")
    assert seen[0]["text"] == f"paused ({flag} exists)"
    assert locking.holder(str(state / locking.WAITING)) is None and locking.holder(str(library)) is None


def take(stack: contextlib.ExitStack, library: Path) -> None:
    stack.enter_context(locking.lock(str(library), "restore", "other", 0))


def test_it_waits_for_an_operation_that_has_taken_the_lock(tmp_path: Path) -> None:
    library = tmp_path / "library.json"
    library.touch()
    waits, clock = throttle(Settings(max_load=2), quiet(load=series(9, 9, 0)))
    told: list[str | None] = []
    waits.tell = lambda text, _is_new, _seconds: told.append(text)
    stack = contextlib.ExitStack()
    clock.at_sleep = [lambda: take(stack, library), lambda: None, stack.close]
    with locking.lock(str(library), "migration", "run", 0) as lock:
        waits.locks = [lock]
        waits.wait()
    assert "in use by restore" in str(told[1])
    assert waits.result()["reasons"] == {"load": 1.0, "lock": 2.0}


def test_an_interrupted_wait_leaves_the_lock_to_its_new_holder(tmp_path: Path) -> None:
    library = tmp_path / "library.json"
    library.touch()
    waits, clock = throttle(Settings(max_load=2), quiet(load=lambda: 9.0))

    def interrupt() -> None:
        raise KeyboardInterrupt

    stack = contextlib.ExitStack()
    clock.at_sleep = [lambda: take(stack, library), interrupt]
    with pytest.raises(KeyboardInterrupt), locking.lock(str(library), "migration", "run", 0) as lock:
        waits.locks = [lock]
        waits.wait()
    assert (locking.holder(str(library)) or {}).get("operation") == "restore"
    stack.close()


@pytest.fixture
def pictures(library: SmallLibrary, decoded_here: list[str]) -> tuple[SmallLibrary, list[str]]:
    for number in range(5):
        library.add(f"{number}.png", seed=number)
    library.write()
    return library, decoded_here


def test_what_is_hashed_is_yielded_before_a_wait(pictures: tuple[SmallLibrary, list[str]]) -> None:
    library, decoded = pictures
    waits, clock = throttle(Settings(command="check"), quiet(command=exit_codes(0, 0, 1, 1, 0)))
    seen: list[int] = []
    clock.at_sleep = [lambda: seen.append(len(decoded)), lambda: seen.append(len(decoded))]

    def done(_path: str, _result: object) -> None:
        clock.now += 1

    paths = [str(library.folder / f"{number}.png") for number in range(5)]
    batches = [[path for path, _result, _entry in batch] for batch in hash_batches.hash_in_batches(
        paths, "pillow", [str(library.folder)], decoder_limits.Limits(), 1, None, 100, done, waits)]
    assert batches == [paths[:2], paths[2:]] and decoded == paths and seen == [2, 2]


def migrate(library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, at_sleep: list[Callable[[], None]], **settings: Any) -> dict[str, Any]:
    clock = Clock(tick=0.0001)
    clock.at_sleep = at_sleep
    made = host_throttle.Throttle

    def throttle_of(given: Settings) -> Throttle:
        return made(given, quiet(), clock, clock.sleep)

    monkeypatch.setattr(host_throttle, "Throttle", throttle_of)
    return migration_run.run(library.settings(**settings), lambda _state: None)


def test_a_paused_migration_has_the_result_of_one_that_was_not(
        pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, decoded = pictures
    flag = tmp_path / "pause"
    flag.touch()
    free: list[bool] = []

    def others() -> None:
        with locking.lock(str(library.path), "restore", "other", 0):
            free.append(True)

    result = migrate(library, monkeypatch, [others, flag.unlink], throttle=Settings(pause_file=str(flag)), log_dir=str(tmp_path / "logs"))
    assert free == [True] and len(decoded) == 5
    assert (result["hashed_now"], result["hashed"]) == (5, 5)
    assert result["images_per_second"] > 5
    assert result["throttled"] == {"seconds": 2.0, "reasons": {"pause_file": 2.0}, "unavailable": []}
    log = Path(result["log"]).read_text(encoding="utf-8")
    assert f"Hashing waits: paused ({flag} exists)" in log and "Hashing goes on after 2 s" in log
    assert "Waited while the host was busy or the run was paused: 2 s (pause_file 2 s)" in log
    assert len(library.migrated()["images"]) == 5


def test_a_library_that_changes_during_a_wait_is_surveyed_again(
        pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, decoded = pictures
    flag = tmp_path / "pause"
    flag.touch()

    def change() -> None:
        library.value["images"] = library.value["images"][:2]
        library.add("new.png", seed=9)
        library.write()
        flag.unlink()

    result = migrate(library, monkeypatch, [change], throttle=Settings(pause_file=str(flag)))
    assert (result["images"], result["hashed_now"]) == (3, 3)
    assert [Path(path).name for path in decoded] == ["0.png", "1.png", "new.png"]


def test_what_others_hash_during_a_wait_is_not_hashed_again(
        pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, decoded = pictures
    flag = tmp_path / "pause"
    flag.touch()

    def hash_all() -> None:
        flag.unlink()
        library.run(dry_run=True)

    result = migrate(library, monkeypatch, [hash_all], throttle=Settings(pause_file=str(flag)))
    assert (result["hashed"], result["hashed_now"], len(decoded)) == (5, 0, 5)


def test_a_file_that_others_place_in_a_wait_is_not_overwritten(
        pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, _decoded = pictures
    flag = tmp_path / "pause"
    flag.touch()
    output = library.folder / "library.dhash.json"

    def place() -> None:
        output.write_text('{"images": []}', encoding="utf-8")
        flag.unlink()

    with pytest.raises(RefusedError, match=r"library\.dhash\.json"):
        migrate(library, monkeypatch, [place], throttle=Settings(pause_file=str(flag)))
    assert output.read_text(encoding="utf-8") == '{"images": []}'


def test_a_wait_before_the_sample_is_told(pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, decoded = pictures
    library.run(dry_run=True)
    decoded.clear()
    flag = tmp_path / "pause"
    flag.touch()
    result = migrate(library, monkeypatch, [lambda: None, flag.unlink], throttle=Settings(pause_file=str(flag)), sample=2,
                     log_dir=str(tmp_path / "logs"))
    assert (result["hashed_now"], len(decoded), result["throttled"]["seconds"]) == (0, 2, 2.0)
    assert f"Hashing waits: paused ({flag} exists)" in Path(result["log"]).read_text(encoding="utf-8")


def test_the_log_and_the_report_name_a_limit_without_a_reading(pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch,
                                                               tmp_path: Path) -> None:
    library, _decoded = pictures
    monkeypatch.setattr(host_throttle, "read_pressure", lambda _resource: None)
    result = library.run(throttle=Settings(max_pressure=1), log_dir=str(tmp_path / "logs"))
    assert result["hashed"] == 5
    text = "This host does not have /proc/pressure/cpu, /proc/pressure/io, so no limit on it makes the hashing wait"
    log = Path(result["log"]).read_text(encoding="utf-8")
    assert f"WARNING {text}" in log and log.count(text) == 2


def test_an_operation_unfinished_after_a_wait_stops_a_migration(
        pictures: tuple[SmallLibrary, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library, _decoded = pictures
    library.run()
    library.deploy()
    flag = tmp_path / "pause"
    flag.touch()
    library.value = library.reload()
    library.add("new.png", seed=9)
    library.write()

    def prepare_a_rollback() -> None:
        request = rollback_plan.RollbackRequest(rollback_plan.LATEST, True, False)
        planned = rollback_plan.make_plan(str(library.path), str(library.state), str(library.folder), request)
        rollback_plan.prepare(str(library.path), str(library.state), planned, force=False, run="other")
        flag.unlink()

    with pytest.raises(RefusedError):
        migrate(library, monkeypatch, [prepare_a_rollback], throttle=Settings(pause_file=str(flag)))


def test_a_check_neither_waits_nor_runs_the_command(pictures: tuple[SmallLibrary, list[str]], tmp_path: Path) -> None:
    library, decoded = pictures
    (tmp_path / "pause").touch()
    checked = library.check(throttle=Settings(pause_file=str(tmp_path / "pause"), command=f"touch {tmp_path}/ran"))
    assert checked["to_hash"] == 5 and decoded == [] and not (tmp_path / "ran").exists()


def test_a_command_that_cannot_be_run_stops_it_before_it_writes(pictures: tuple[SmallLibrary, list[str]]) -> None:
    library, _decoded = pictures
    before = sorted(library.folder.parent.rglob("*"))
    with pytest.raises(DhashError, match=r"no-such-program: dhash_throttle_command cannot be run: exit code 127: .*not found\. Correct the command"):
        library.run(throttle=Settings(command="no-such-program"))
    assert sorted(library.folder.parent.rglob("*")) == before


def test_a_command_that_hangs_is_killed_with_what_it_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_throttle, "COMMAND_SECONDS", 0.5)
    with pytest.raises(DhashError, match=r"dhash_throttle_command did not end within 0\.5 s\. Correct the command"):
        host_throttle.run_command(f"sleep 60 & echo $! > {tmp_path}/child; wait")
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_command_that_leaves_a_child_behind_has_answered() -> None:
    assert host_throttle.run_command("sleep 5 & exit 4") == Answer(4, "")


@pytest.mark.parametrize(("command", "answer"), [
    ("true", Answer(0, "")), ("exit 3", Answer(3, "")), ("test 5 -gt 4 && echo noise", Answer(0, "")),
    ("true # isn't it", Answer(0, "")), ("printf 'replica\nlags\\033' >&2; exit 2", Answer(2, "replica lags\\x1b"))])
def test_a_command_is_run_by_the_shell(command: str, answer: Answer) -> None:
    assert host_throttle.settings_of({"throttle_command": command}).command == command
    assert host_throttle.run_command(command) == answer


def test_a_command_that_is_killed_is_an_error() -> None:
    with pytest.raises(DhashError, match=f"exit code {-signal.SIGKILL}"):
        host_throttle.run_command("kill -9 $$")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_pause_file_that_cannot_be_looked_for_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o000)
    with pytest.raises(DhashError, match=r"closed/pause: could not look for dhash_pause_file: Permission denied"):
        host_throttle.settings_of({"pause_file": str(folder / "pause")})


def test_a_pause_file_with_an_impossible_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DhashError, match=r"could not look for dhash_pause_file: File name too long"):
        host_throttle.settings_of({"pause_file": str(tmp_path / ("a" * 300))})


@pytest.mark.parametrize("name", ["missing/pause", "file/pause"])
def test_a_pause_file_whose_folder_is_missing_pauses_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert throttle(host_throttle.settings_of({"pause_file": str(tmp_path / name)}), quiet())[0].may_begin()


@pytest.mark.parametrize(("params", "message"), [
    ({"pause_file": "pause"}, "dhash_pause_file: this is a relative path"),
    ({"throttle_command": "/no/such/program --now"}, "/no/such/program: dhash_throttle_command: no program that this user can run"),
    ({"throttle_command": "test 'a"}, r"test 'a: dhash_throttle_command: not a command of /bin/sh \(exit code 2: .*nterminated quoted string\)"),
    ({"throttle_command": "if true"}, "dhash_throttle_command: not a command of /bin/sh"),
])
def test_settings_that_cannot_be_meant_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        host_throttle.settings_of(params)


def test_empty_settings_are_none() -> None:
    assert host_throttle.settings_of({"max_load": None, "throttle_command": "", "pause_file": ""}) == Settings()


@pytest.mark.parametrize(("name", "cause"), [
    ("library.json", "this is the library itself"), ("library.json.lock", "this name belongs to the library"), ("", "this is a folder")])
def test_a_pause_file_that_a_run_would_meet_anyway_is_refused(library: SmallLibrary, name: str, cause: str) -> None:
    library.write()
    with pytest.raises(RefusedError, match=f"dhash_pause_file: {cause}"):
        path_rules.require(str(library.path), str(library.state), {"pause_file": str(library.folder / name)})


def test_a_pause_file_that_a_run_writes_is_refused(library: SmallLibrary) -> None:
    library.write()
    with pytest.raises(RefusedError, match="dhash_pause_file: dhash_output names the same file"):
        path_rules.require(str(library.path), str(library.state), {"pause_file": str(library.folder / "new.json"), "output": "new.json", "limit": None})


def test_the_results_of_several_runs_are_added_up() -> None:
    one = {"seconds": 1.5, "reasons": {"load": 1.5}, "unavailable": ["io_pressure"]}
    assert host_throttle.together([one, one, {"seconds": 2.0, "reasons": {"lock": 2.0}, "unavailable": []}]) == {
        "seconds": 5.0, "reasons": {"load": 3.0, "lock": 2.0}, "unavailable": ["io_pressure"]}


def read_nothing(path: str) -> difference_hash.Pixels:
    raise ImageError("damaged", os.path.basename(path))


@pytest.mark.slow
def test_workers_begin_no_image_in_a_wait_and_answer_each_once() -> None:
    answered: list[int] = []
    at_sleep: list[int] = []

    def refuse_until_two_sleeps(_command: str) -> Answer:
        return Answer(1 if answered and len(at_sleep) < 2 else 0, "")

    waits, clock = throttle(Settings(command="check"), quiet(command=refuse_until_two_sleeps))
    clock.at_sleep = [lambda: at_sleep.append(len(answered)), lambda: at_sleep.append(len(answered))]
    for key, result in worker_pool.read_files([(number, f"/{number}") for number in range(300)], read_nothing, difference_hash.Pixels, [],
                                              decoder_limits.Limits(), 1, None, waits):
        assert isinstance(result, ImageError)
        answered.append(key)
        clock.now += 0.1
    assert sorted(answered) == list(range(300)) and 0 < at_sleep[0] == at_sleep[1] < 300
