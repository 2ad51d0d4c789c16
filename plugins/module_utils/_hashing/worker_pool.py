# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool of processes that decode files, with a time limit for each file. It survives a decoder that dies.

``concurrent.futures`` and ``multiprocessing.Pool`` lose all running tasks, or hang, when one worker dies, and cannot end one task.
Here each worker has its own pipe and its own process group. Shared memory tells which image a worker is decoding, and a worker
can be killed together with the FFmpeg that it started. Images are sent, and results returned, in parcels that take a worker
PARCEL_SECONDS, because one message per image would cost a tenth of the time of a small picture. A worker has one parcel in
advance, so it does not wait while the caller writes a checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, Protocol, TypeVar, Union, cast

from .._errors import ImageError, MissingRequirementError, from_os_error
from . import decoder_limits, difference_hash, image_decoder, preview_maker
from .ffmpeg_decoder import end_with_parent, signal_name

PARCEL_SECONDS = 0.02  # slow images are sent one by one, so that idle workers can take the next ones
MAX_PARCEL = 16  # images
START_SECONDS = 60  # for a worker to start, which takes 0.2 to 0.4 s on an idle machine
END_SECONDS = 5  # for a killed process to disappear; a process that waits for a dead file server stays
START_ADVICE = "Run `import PIL.Image` in the Python that runs the modules and fix the error that it reports."
CPU_MARGIN_SECONDS = 2  # the limit on CPU time is a fallback: the clock of the parent is checked first


class Timed(Protocol):
    """The result of a file."""

    @property
    def seconds(self) -> float:
        """The time that the file took."""


class Failure(NamedTuple):
    """The arguments of an ImageError, as a worker sends them."""

    kind: str
    cause: str
    next_step: str | None


class Job(NamedTuple):
    """What a pool does with each path: ``read`` returns the result or raises ImageError. A worker imports its function by name."""

    read: Callable[[str], Timed]
    needs_pillow: bool
    limits: decoder_limits.Limits
    temp_dir: str | None


_Answer = Union[Timed, Failure]
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result", bound=Timed)


def hash_files(
    paths: Iterable[tuple[Key, str]],
    algorithm: str,
    media_roots: Sequence[str],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
) -> Generator[tuple[Key, difference_hash.Pixels | ImageError], None, None]:
    """Decode ``paths``, pairs of a key and a path, in up to ``parallel`` processes; yields (key, result) in the order of completion.

    The result of an image that cannot be decoded, takes too long or kills its worker is its ImageError. ``paths`` is read
    as workers become free. Closing the generator ends the workers. Raises MissingRequirementError if a worker cannot
    start.
    """
    read = functools.partial(image_decoder.read_pixels, algorithm=algorithm, media_roots=tuple(media_roots), limits=limits)
    return cast("Generator[tuple[Key, difference_hash.Pixels | ImageError], None, None]",
                _work_through(paths, Job(read, algorithm != "ffmpeg", limits, temp_dir), parallel))


def make_previews(
    paths: Iterable[tuple[Key, str]],
    edge: int,
    media_roots: Sequence[str],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
) -> Generator[tuple[Key, preview_maker.Preview | ImageError], None, None]:
    """Make previews of ``paths``, at most ``edge`` pixels wide and high, in the same way as :func:`hash_files`."""
    read = functools.partial(preview_maker.read_preview, edge=edge, media_roots=tuple(media_roots), limits=limits)
    return read_files(paths, read, limits, parallel, temp_dir)


def read_files(
    paths: Iterable[tuple[Key, str]],
    read: Callable[[str], Result],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
) -> Generator[tuple[Key, Result | ImageError], None, None]:
    """Call ``read``, a function of a module or a partial of one, with each of ``paths`` in a worker, as :func:`hash_files` does."""
    return cast("Generator[tuple[Key, Result | ImageError], None, None]",
                _work_through(paths, Job(read, True, limits, temp_dir), parallel))


def _work_through(paths: Iterable[tuple[Hashable, str]], job: Job,
                  parallel: int) -> Generator[tuple[Hashable, Timed | ImageError], None, None]:
    if resource.RLIM_INFINITY != resource.getrlimit(resource.RLIMIT_NOFILE)[0] < decoder_limits.files_needed(parallel):
        _limit(resource.RLIMIT_NOFILE, decoder_limits.files_needed(parallel))
    pool = _Pool(job, parallel)
    try:
        yield from pool.results(iter(paths))
    finally:
        for worker in pool.workers:
            worker.end()


class _Pool:
    def __init__(self, job: Job, parallel: int) -> None:
        self.job = job
        self.parallel = parallel
        self.workers: list[_Worker] = []
        self.put_back: deque[tuple[Hashable, str]] = deque()  # sent to a worker that ended before it decoded them

    def results(self, paths: Iterator[tuple[Hashable, str]]) -> Iterator[tuple[Hashable, Timed | ImageError]]:
        while True:
            self._give(paths)
            if not any(worker.images for worker in self.workers):
                return
            patience = min(worker.deadline() for worker in self.workers) - time.monotonic()
            # A worker may begin an image at any moment, so no deadline is later than a whole limit from now.
            ready = wait([worker.connection for worker in self.workers], max(0.0, min(patience, self.job.limits.seconds)))
            for worker in [worker for worker in self.workers if worker.connection in ready]:
                yield from self._receive(worker)
            for worker in list(self.workers):
                if worker.is_late():
                    if not worker.ready:
                        raise MissingRequirementError(f"a worker process did not start in {START_SECONDS} s",
                                                      next_step=START_ADVICE)
                    yield from self._drop(worker, image_decoder.timed_out(self.job.limits))

    def _give(self, paths: Iterator[tuple[Hashable, str]]) -> None:
        """Send images until each worker has a parcel in advance. A missing worker is started before another gets a second parcel."""
        while True:
            least = min(self.workers, key=lambda worker: len(worker.images) / worker.parcel, default=None)
            if least is None or (least.images and len(self.workers) < self.parallel):
                least = None  # another one starts
            elif len(least.images) > least.parcel:
                return
            count = least.parcel if least else 1
            images = [self.put_back.popleft() for _image in range(min(count, len(self.put_back)))]
            images += islice(paths, count - len(images))
            if not images:
                return
            if least is None:
                least = _Worker(self.job)
                self.workers.append(least)
            least.give(images)

    def _receive(self, worker: _Worker) -> Iterator[tuple[Hashable, Timed | ImageError]]:
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._drop(worker, self._death(worker))
            return
        if worker.ready:
            for key, result in worker.take(answer):
                yield key, ImageError(*result) if isinstance(result, Failure) else result
        elif answer is None:
            worker.ready = True
        else:
            cause, next_step = answer
            raise MissingRequirementError(cause, next_step=next_step)

    def _death(self, worker: _Worker) -> ImageError:
        code = worker.end()
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        if not worker.ready:
            raise MissingRequirementError(f"a worker process {how} while it started", next_step=START_ADVICE)
        if code == -signal.SIGXCPU:
            return image_decoder.timed_out(self.job.limits)
        return ImageError("crashed", f"the decoder {how}")

    def _drop(self, worker: _Worker, error: ImageError) -> Iterator[tuple[Hashable, ImageError]]:
        """End a worker. ``error`` is the result of the image that it was decoding; its other images are queued again."""
        worker.end()
        self.workers.remove(worker)
        if worker.images:
            key, _path = worker.images[worker.at()]
            del worker.images[worker.at()]
            self.put_back.extend(worker.images)
            yield key, error


class _Worker:
    """The parent's side of a worker process."""

    def __init__(self, job: Job) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.images: deque[tuple[Hashable, str]] = deque()  # sent and not answered
        self.answered = 0
        self.parcel = 1
        self.seconds = job.limits.seconds
        self.ready = False
        self.start_deadline = time.monotonic() + START_SECONDS
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the worker inherits this, and ignores the signal later
        try:
            self.progress = spawn.RawArray("d", (0, math.inf))  # the number of images begun; the time at which the current one was begun
            self.process = spawn.Process(target=_work, args=(theirs, self.progress, os.getpid(), job), daemon=True)
            self.process.start()
        except OSError as error:
            raise from_os_error(error, "start a worker process") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()

    def give(self, images: list[tuple[Hashable, str]]) -> None:
        self.images += images
        with contextlib.suppress(OSError):  # the worker has died: its images are queued again when that is noticed
            self.connection.send([path for _key, path in images])

    def take(self, answers: list[_Answer]) -> Iterator[tuple[Hashable, _Answer]]:
        """The answers to the first images that were sent, each with the key of its image."""
        self.answered += len(answers)
        keys = [self.images.popleft()[0] for _answer in answers]
        seconds = sum(0.0 if isinstance(answer, Failure) else answer.seconds for answer in answers)
        self.parcel = max(1, min(MAX_PARCEL, int(PARCEL_SECONDS * len(answers) / max(seconds, 1e-6))))
        yield from zip(keys, answers)

    def at(self) -> int:
        """The index in ``images`` of the image that the worker was decoding when it ended."""
        return max(0, min(int(self.progress[0]) - 1 - self.answered, len(self.images) - 1))

    def deadline(self) -> float:
        return self.progress[1] + self.seconds if self.ready else self.start_deadline

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline() and not self.connection.poll()

    def end(self) -> int:
        """Kill the process and its children; returns its exit code, negative for a signal."""
        if self.process.pid is not None and not self.connection.closed:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS raises it for a group that has ended
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()  # the process may not have its own group yet
            self.process.join(END_SECONDS)
            self.connection.close()
        code = self.process.exitcode
        return -signal.SIGKILL if code is None else code


def _work(connection: Connection, progress: ctypes.Array[ctypes.c_double], parent: int, job: Job) -> None:
    """The main function of a worker: answer each path with a result, or with the arguments of an ImageError, until the pipe is closed."""
    from . import pillow_decoder

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.setsid()
    end_with_parent()
    if os.getppid() != parent:  # the parent ended before end_with_parent took effect
        return
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # C libraries print there, and the parent prints the result for Ansible there
        os.dup2(null, standard)
    if job.temp_dir:
        os.environ["TMPDIR"] = job.temp_dir
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, job.limits.memory_bytes)
    try:
        if job.needs_pillow:
            pillow_decoder.require()
    except MissingRequirementError as error:
        connection.send((error.cause, error.next_step))
        return
    connection.send(None)
    with contextlib.suppress(EOFError, OSError):
        while True:
            answers: list[_Answer] = []
            sent = time.monotonic()
            for path in connection.recv():
                now = time.monotonic()
                if answers and now > sent + PARCEL_SECONDS:
                    connection.send(answers)
                    answers, sent = [], now
                progress[1] = now
                progress[0] += 1
                answers.append(_answer(path, job))
            progress[1] = math.inf
            connection.send(answers)


def _answer(path: str, job: Job) -> _Answer:
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + int(job.limits.seconds) + CPU_MARGIN_SECONDS)
    try:
        return job.read(path)
    except ImageError as error:
        return Failure(error.kind, error.cause, error.next_step)
    except Exception as error:  # a bug in the decoder must not cost more than this image
        return Failure("crashed", f"the decoder failed with {type(error).__name__}", None)


def _limit(resource_: int, value: int) -> None:
    hard = resource.getrlimit(resource_)[1]
    resource.setrlimit(resource_, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
