# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill an operation before each change that it makes, or let one of its system calls fail, and run it again."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import operate
import tracing
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, library_summary, pending_marker, run_record, unfinished_work
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, RefusedError
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import plan_cache

ERRORS = ["EIO", "ENOSPC", "EROFS", "EACCES"]
SEEN = re.compile("rename|unlink|mkdir")
CHANGING = re.compile("openat|p?write|f(data)?sync|rename|unlink|mkdir|fchmod|fchown|f?setxattr|ftruncate")
LEAVES_ALL_AS_IT_IS = re.compile("(newf|f|l)?stat(at|x)?|p?read(64|v)?|readlink(at)?|f?access(at2?)?|getdents64|[fl]?(get|list)xattr|statfs"
                                 "|lseek|close|ioctl|fcntl|flock|fadvise64")  # a lock ends with its process


class Outcome(NamedTuple):
    """``points``: how many calls the operation makes on the site; ``problems``: what was not as it should be."""

    points: int
    reads: int
    problems: list[str]


class Reader(threading.Thread):
    """Opens and reads the live library over and over: it has to be one of ``contents``, whole."""

    def __init__(self, path: Path, contents: Iterable[bytes]) -> None:
        super().__init__()
        self.path = path
        self.contents = set(contents)
        self.reads = 0
        self.problems: set[str] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.001):
            self.reads += 1
            try:
                content = self.path.read_bytes()
            except OSError as error:
                self.problems.add(f"a reader found {error}")
            else:
                if content not in self.contents:
                    self.problems.add(f"a reader found neither the old nor the new library but {content[:80]!r}")

    def stop(self) -> None:
        self.done.set()
        self.join()


AtEachPoint = Callable[[Callable[[Path, str, int, int], Outcome], str], Outcome]


class Bench:
    """A site, prepared for one operation, and how that operation ends when nothing goes wrong."""

    def __init__(self, folder: Path, name: str) -> None:
        self.operation = operate.OPERATIONS[name]
        self.log = folder / "strace.log"
        self.site = operate.Site(folder / "site")
        operate.prepare(self.site, name)
        self.old = self.site.library.read_bytes()
        self.carry_out()
        self.new = self.site.library.read_bytes()
        self.after = self.site.snapshot()
        self.run_again()
        self.finished = self.site.library.read_bytes()
        self.expected = self.site.snapshot()
        self.calls = self.touching(self.trace())  # only now: what is imported on the way has been imported

    def trace(self, *inject: str, change: Callable[[], object] = lambda: None, **options: Any) -> tracing.Ended:
        """Carry out the operation on a fresh site under strace, in a process to which ``change`` has happened."""
        def carry_out_changed() -> str:
            change()
            return self.carry_out()

        operate.restore(self.site)
        return tracing.run(carry_out_changed, self.log, *inject, **options)

    def carry_out(self) -> str:
        """The operation as its module ends: "ok", or failed with a message."""
        operate.set_clock(operate.START + 60)
        try:
            for step in self.operation.steps:
                step(self.site)
        except DhashError as error:
            return f"failed: {error}" if error.path and error.next_step else f"failed without a path and a next step: {error}"
        return "ok"

    def run_again(self) -> None:
        """What an operator does after a failure, an hour later."""
        operate.set_clock(operate.START + 3600)
        for step in self.operation.again:
            step(self.site)

    def touching(self, ended: tracing.Ended) -> list[tracing.Call]:
        """Those of its calls that touch the site."""
        return [call for call in ended.calls if str(self.site.folder) in call.arguments]

    def differing(self) -> list[tuple[int, tracing.Call]]:
        """Its calls, with their index, before which a kill leaves different files: those that change a file, and the last."""
        return [(number, call) for number, call in enumerate(self.calls) if _changes_a_file(call) or number == len(self.calls) - 1]

    def gives_a_backup_its_owner(self, call: tracing.Call) -> bool:
        """Whether that is the call that is not needed where this user has no right to it."""
        return call.name == "fchown" and call.path is not None and call.path.startswith((f"{self.site.backups}/", f"{self.site.copies}/"))

    def is_what_came_out(self, path: str) -> bool:
        """Whether that is the replaced library, just out of the exchange, which the next run keeps."""
        return (path == cutover.incoming(str(self.site.library)) and Path(path).read_bytes() == self.old
                and self.site.library.read_bytes() == self.new)

    def problems_now(self) -> list[str]:
        """What is wrong with the site whatever has happened to the operation."""
        problems = []
        live = self.site.library.read_bytes()
        if live not in (self.old, self.new):
            problems.append(f"the live library is neither the old nor the new one but {live[:80]!r}")
        files = [path for path in self.site.folder.rglob("*") if path.is_file()]
        if all(path.read_bytes() != self.old for path in files):
            problems.append("the old library is nowhere any more")
        for note in self.site.backups.glob("*.sha256"):
            backup = note.with_suffix("")
            if backup.exists() and hashlib.sha256(backup.read_bytes()).hexdigest() != note.read_text().split()[0]:
                problems.append(f"{backup.name} is not what its digest says")
        return problems

    def problems_with_success(self, failed: tracing.Call) -> list[str]:
        """What is wrong with an operation that ended well although one call failed."""
        # A run goes on without them, and a damaged one counts as none.
        is_cache = failed.path is not None and any(name in failed.path for name in (plan_cache.FILE, library_summary.FILE))
        if failed.name == "fsync" and failed.path != self.site.state and not is_cache:
            return ["it ended well without its fsync"]  # the state folder's is SQLite's, which goes on as well
        now = {name: files for name, files in self.site.snapshot().items() if not name.endswith(".lock")}
        done = {name: files for name, files in self.after.items() if not name.endswith(".lock")}
        if failed.path is not None and failed.path.startswith(f"{self.site.backups}/"):  # a backup that cannot be read is not pruned
            return [f"not made: {name}" for name, files in done.items() if any(file not in now.get(name, []) for file in files)]
        if now != done:
            return ["it ended well, but not as it should have"]
        return []

    def problems_after_running_again(self) -> list[str]:
        """Run it again; what is not as after a run that nothing went wrong in."""
        self.run_again()
        problems = [f"{name}: {found.get(name)} instead of {self.expected.get(name)}"
                    for found in [self.site.snapshot()] for name in sorted(found.keys() | self.expected.keys())
                    if found.get(name) != self.expected.get(name)]
        return problems + [f"left behind: {path}" for path in self.site.temporary_files()]

    def problems_after_another(self, play: Callable[[operate.Site], None]) -> list[str]:
        """Run another playbook than the one that was killed, then finish that; what is lost, discarded or left stopped."""
        operate.set_clock(operate.START + 3600)
        library, state = str(self.site.library), self.site.state
        waiting = unfinished_work.waiting(library, state)
        must_stay = waiting is not None and waiting.operation != run_record.MIGRATION and not waiting.undoes
        must_refuse = must_stay and play is not operate.Site.play_verify  # a verification deploys nothing else
        problems, refused = [], False
        try:
            play(self.site)
        except RefusedError:
            refused = True
        self.site.start()  # however it ended
        record = run_record.read(state)
        if record is not None and record.stopped_at:
            problems.append("the service is left stopped")
        if waiting is not None and must_stay and (
                record is None or record.run != waiting.run or not (run_record.is_deployed(record) or Path(waiting.output).exists())):
            problems.append(f"the unfinished {waiting.operation} was discarded")
        if refused is not must_refuse:
            problems.append("it was refused, and nothing was unfinished" if refused else "it was not refused, and an operation was unfinished")
        if self._paths() not in (self._paths(self.old), self._paths(self.new)):
            problems.append(f"images are lost: {self._paths()} are left")
        if refused or run_record.is_unfinished(record):
            self.run_again()
            if self.site.library.read_bytes() != self.finished:
                problems.append("the operation that was killed cannot be finished")
        self.site.play_verify()
        if run_record.is_pending(run_record.read(state)) or Path(pending_marker.path(library)).exists():
            problems.append("something is still pending")
        return problems

    def _paths(self, content: bytes | None = None) -> list[str]:
        """The paths of the images of a library, by default the live one."""
        return [image["path"] for image in json.loads(content or self.site.library.read_bytes())["images"]]


def _changes_a_file(call: tracing.Call) -> bool:
    if call.name == "openat":
        return "O_CREAT" in call.arguments or "O_TRUNC" in call.arguments
    return LEAVES_ALL_AS_IT_IS.fullmatch(call.name) is None


def kill_at_each(folder: Path, name: str, share: int, shares: int) -> Outcome:
    """Kill the operation ``name`` before every change to its site whose turn it is: each ``shares``-th from ``share`` on."""
    bench = Bench(folder, name)
    points = bench.differing()
    reads = 0
    problems = []
    for number, call in points[share::shares]:
        reader = Reader(bench.site.library, [bench.old, bench.new])
        try:
            ended = bench.trace(f"{call.name}:signal=SIGKILL:when={call.ordinal}", before=reader.start)
        finally:
            reader.stop()
        reads += reader.reads
        found = sorted(reader.problems) + bench.problems_now()
        if not ended.killed or len(bench.touching(ended)) != number + 1 or ended.calls[-1].path != call.path:
            found.append(f"it was not killed there but {ended.status} {ended.told} {ended.calls[-1]}")
        found += bench.problems_after_running_again()
        problems += [f"killed at {call.name}({call.arguments[:200]}): {problem}" for problem in found]
    return Outcome(len(points), reads, problems)


def fail_at_each(folder: Path, name: str, share: int, shares: int) -> Outcome:
    """Let every call of the operation ``name`` on its site fail once, those whose turn it is: a call that changes something
    with one error after another, so that each error meets a part of them."""
    bench = Bench(folder, name)
    return _fail_at(bench, bench.calls, share, shares)


def fail_at_different(folder: Path, name: str, share: int, shares: int) -> Outcome:
    """As :func:`fail_at_each`, but of all calls of one name at one path that change nothing only the first and the last fail."""
    bench = Bench(folder, name)
    first = {(call.name, call.path): call for call in reversed(bench.calls)}
    last = {(call.name, call.path): call for call in bench.calls}
    ends = {*first.values(), *last.values()}
    return _fail_at(bench, [call for call in bench.calls if CHANGING.match(call.name) or call in ends], share, shares)


def _fail_at(bench: Bench, calls: Sequence[tracing.Call], share: int, shares: int) -> Outcome:
    changing = itertools.cycle(ERRORS)
    faults = [(call, next(changing) if CHANGING.match(call.name) else ERRORS[0]) for call in calls]
    faults = [(call, "EIO" if error == "EACCES" and bench.gives_a_backup_its_owner(call) else error) for call, error in faults]
    problems = []
    for call, error in faults[share::shares]:
        ended = bench.trace(f"{call.name}:error={error}:when={call.ordinal}", traced=call.name)
        found = bench.problems_now()
        injected = [(made.ordinal, made.path) for made in ended.calls if "(INJECTED)" in made.result]
        if injected != [(call.ordinal, call.path)]:
            found.append(f"it did not fail there but at {injected}")
        if ended.told == "ok":
            found += bench.problems_with_success(call)
        elif not ended.told.startswith("failed: "):
            found.append(ended.told)
        found += [f"left behind: {path}" for path in bench.site.temporary_files()
                  if path != call.path and not bench.is_what_came_out(path)]
        found += bench.problems_after_running_again()
        problems += [f"{error} at {call.name}({call.arguments[:200]}): {problem}" for problem in found]
    return Outcome(len(faults), 0, problems)


def another_after_each(folder: Path, name: str, share: int, shares: int) -> Outcome:
    """Kill an operation before each call that other processes see the effect of, and run another playbook after it."""
    bench = Bench(folder, name.split(" after ")[1])
    problems = []
    points = [call for call in bench.calls if SEEN.match(call.name) or (call.name == "openat" and "O_CREAT" in call.arguments)]
    for call in points[share::shares]:
        ended = bench.trace(f"{call.name}:signal=SIGKILL:when={call.ordinal}")
        found = bench.problems_now()
        if not ended.killed:
            found.append(f"it was not killed there but {ended.status} {ended.told}")
        found += bench.problems_after_another(operate.OTHERS[name])
        problems += [f"killed at {call.name}({call.arguments[:200]}): {problem}" for problem in found]
    return Outcome(len(points), 0, problems)
