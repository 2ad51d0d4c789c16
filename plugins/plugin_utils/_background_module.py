# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base class of action plugins that run their module in the background of the host and show its progress."""

from __future__ import annotations

import json
import posixpath
import secrets
import time
from typing import Any, Protocol

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MAX_RUN_SECONDS = 10 * 365 * 24 * 3600  # seconds after which async_wrapper kills the module, even one that only waits
FIRST_POLL = 0.25
LONGEST_POLL = 2.0
POLLS_WITHOUT_STATUS = 5
SECONDS_BETWEEN_LINES = 5
SECONDS_BETWEEN_LINES_WHILE_WAITING = 60
SECONDS_WITHOUT_CONNECTION = 60
SECONDS_WITHOUT_SIGN = 60  # a module without a result and a progress file for so long has died, or has not started
MAX_PROGRESS = 1 << 16  # bytes that are read of what a host says of its progress
POLLS_AFTER_DEATH = 2  # the process of a module ends a moment before its result is written

display = Display()


class Lines(Protocol):
    """What an operator sees while the module runs."""

    def show(self, progress: dict[str, Any] | None) -> bool:
        """Show what is new in the progress file; whether the work goes on."""

    def end(self, result: dict[str, Any]) -> None:
        """Show what the result adds."""


class BackgroundModule(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """Run ``MODULE``. Poll the module's progress file, which costs a ``cat``, and its job, which costs a module, less often."""

    MODULE: str  # its full name
    WORK: str  # the name of its work in messages
    DOES = "hashing"  # what it does with images, in the lines of its progress
    KEPT = "Hashed images are kept. Run the playbook again."

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        self._task_vars = task_vars or {}
        if self._is_in_foreground():
            return self._run_module(self.MODULE, dict(self._task.args), wrap_async=bool(self._task.async_val))
        async_dir = self.get_shell_option("async_dir", default="~/.ansible_async")
        progress_name = f"mobius-dhash-{secrets.token_hex(8)}.progress"
        arguments = {**self._task.args, "progress_file": self._connection._shell.join_path(async_dir, progress_name)}
        self._task.async_val = MAX_RUN_SECONDS
        try:
            job = self._run_module(self.MODULE, arguments, wrap_async=True)
        finally:
            self._task.async_val = 0
        if job.get("failed") or "ansible_job_id" not in job:
            if "msg" in job and "module_stderr" not in job:  # of async_wrapper, which makes the folder
                job["msg"] = (f"The {self.WORK} could not be started in the background, in the folder {async_dir}: {job['msg']}."
                              " Set ansible_async_dir to a folder that the user of this task can write, then run again.")
            return job
        # The job on the host has expanded a ~.
        async_dir = posixpath.dirname(job["results_file"])
        return self._follow(job["ansible_job_id"], async_dir, posixpath.join(async_dir, progress_name))

    def _is_in_foreground(self) -> bool:
        """Whether the module is run like one without an action plugin: in check mode, and in a task with ``async``, which Ansible follows."""
        return bool(self._task.check_mode or self._task.async_val)

    def _run_module(self, name: str, arguments: dict[str, Any], wrap_async: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(name, arguments, task_vars=self._task_vars, wrap_async=wrap_async)
        return result

    def _follow(self, job_id: str, async_dir: str, progress_file: str) -> dict[str, Any]:
        line = self._line()
        started = time.monotonic()
        pause, polls, gone, heard, seen = FIRST_POLL, 0, 0, started, started
        while True:
            time.sleep(pause)
            pause = min(pause * 1.3, LONGEST_POLL)
            polls += 1
            try:
                progress = self._read(progress_file)
                heard = time.monotonic()
                if progress is not None:
                    seen = heard
                continues = line.show(progress) or polls == 1  # at the first poll the module has hardly started
                if continues and not gone and polls % POLLS_WITHOUT_STATUS:
                    continue
                result = self._job(job_id, async_dir, "status")
                silent = heard - seen > SECONDS_WITHOUT_SIGN
                gone = gone + 1 if not result.get("finished") and (silent or self._is_dead(progress)) else 0
            except AnsibleConnectionFailure:
                if time.monotonic() - heard > SECONDS_WITHOUT_CONNECTION:
                    raise
                self._connection.reset()
                continue
            # async_wrapper answers after 2.5 s even if the job has not written its file yet.
            if result.get("msg") == "could not find job" and time.monotonic() - started < SECONDS_WITHOUT_SIGN:
                continue
            if result.get("failed") and "ansible_job_id" not in result:
                raise AnsibleActionFail(f"The {self.WORK} continues in the background, but its state cannot be read: {result.get('msg')}")
            if gone > POLLS_AFTER_DEATH or "data" in result:  # the result of async_wrapper for a module without a result
                self._job(job_id, async_dir, "cleanup")
                raise AnsibleActionFail(f"{self._task.args.get('library') or self.MODULE}: the {self.WORK} was interrupted (killed, out of"
                                        f" memory, or the host went down). {self.KEPT}")
            if result.get("finished"):
                self._job(job_id, async_dir, "cleanup")
                line.end(result)
                for key in ("ansible_job_id", "started", "finished", "results_file", "stdout", "stderr",
                            "stdout_lines", "stderr_lines"):
                    result.pop(key, None)
                return result

    def _line(self) -> Lines:
        return ProgressLine(self._task_vars["inventory_hostname"], self.DOES)

    def _job(self, job_id: str, async_dir: str, mode: str) -> dict[str, Any]:
        return self._run_module("ansible.legacy.async_status", {"jid": job_id, "mode": mode, "_async_dir": async_dir})

    def _read(self, progress_file: str) -> dict[str, Any] | None:
        quoted = self._connection._shell.quote(progress_file)
        shown = self._low_level_execute_command(f"head -c {MAX_PROGRESS} {quoted} 2>/dev/null || true")["stdout"]
        try:
            progress = json.loads(shown)
        except (ValueError, RecursionError):
            return None
        return progress if isinstance(progress, dict) and isinstance(progress.get("process"), int) else None

    def _is_dead(self, progress: dict[str, Any] | None) -> bool:
        """Whether the module's process has ended and left its progress file."""
        if progress is None:
            return False
        return bool(self._low_level_execute_command(f"kill -0 {int(progress['process'])} 2>/dev/null || echo gone")["stdout"])


class ProgressLine:
    """Shows a line of progress while a host hashes (or ``does`` something else with images), at most every few seconds."""

    def __init__(self, host: str, does: str) -> None:
        self._host, self._does = host, does
        self._shown_at: float | None = None
        self._shown_done = -1
        self._wait_shown_at: float | None = None
        self._wait_shown: str | None = None

    def show(self, progress: dict[str, Any] | None) -> bool:
        """Show ``progress`` if a line is due; returns whether images are left."""
        if progress is None or "total" not in progress:
            return False
        done, total = progress["done"], progress["total"]
        if self._show_wait(progress):
            return True
        due = self._shown_at is None or time.monotonic() - self._shown_at >= SECONDS_BETWEEN_LINES or done == total
        if due and total and done > self._shown_done:
            self._shown_at, self._shown_done = time.monotonic(), done
            left = progress["seconds_left"]
            show_line(f"[{self._host}] {self._does}: {done} of {total} images, {progress['images_per_second']:g} per second,"
                      f" {progress['errors']} failed" + (f", {clock(left)} left" if left and done < total else ""))
        return bool(done < total)

    def _show_wait(self, progress: dict[str, Any]) -> bool:
        """Show why and how long the host has waited, at the beginning and every minute; returns whether it waits."""
        text = progress.get("waiting")
        kind = text and text.partition("(")[0]
        due = self._wait_shown_at is None or time.monotonic() - self._wait_shown_at >= SECONDS_BETWEEN_LINES_WHILE_WAITING
        if text and (due or kind != self._wait_shown):
            self._wait_shown_at = time.monotonic()
            images = f"{progress['done']} of {progress['total']} images, " if progress["total"] else ""  # none: a sample is hashed
            show_line(f"[{self._host}] {self._does}: {images}{text}"
                      + (f" for {clock(progress['waited'])}" if progress["waited"] else ""))
        self._wait_shown = kind
        return bool(text)

    def end(self, result: dict[str, Any]) -> None:
        """Show the counts, if anything was hashed."""
        if result.get("hashed_now"):
            show_line(f"[{self._host}] hashed: {result['hashed_now']} images, {result['errors']} of {result['images']} have no hash")


def show_line(text: str) -> None:
    """Show ``text`` on stderr, because the output of the callback on stdout may have to be valid JSON."""
    display.display(text, stderr=True)


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
