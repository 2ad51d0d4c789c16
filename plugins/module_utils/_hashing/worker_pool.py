# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool of processes that decode files, with a time limit for each file. It survives a decoder that dies.

``concurrent.futures`` and ``multiprocessing.Pool`` lose all running tasks, or hang, when one worker dies, and cannot end one task.
Here each worker has its own pipe and its own process group. Shared memory tells which image a worker is decoding, and a worker
can be killed together with the FFmpeg that it started. A worker (worker_process.py) confines itself before its first image, and the parent
trusts nothing that it sends. Images are sent, and results returned, in chunks that take a worker
CHUNK_SECONDS, because one message per image would cost a tenth of the time of a small picture. A worker has one chunk in
advance, so it does not wait while the caller writes a checkpoint.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from multiprocessing.connection import wait
from typing import Any, TypeVar, cast

from .._errors import ImageError, MissingRequirementError, from_os_error
from .._files import file_stamps
from . import decoder_limits, difference_hash, host_throttle, image_decoder, preview_maker, sandbox
from .ffmpeg_decoder import signal_name
from .worker_process import CHUNK_SECONDS, FRAME, Answer, Failure, Job, Timed, limit, work

MAX_CHUNK = 16  # images
START_SECONDS = 60  # for a worker to start, which takes 0.2 to 0.4 s on an idle machine
END_SECONDS = 5  # for a killed process to disappear; a process that waits for a dead file server stays
START_ADVICE = "Run `import PIL.Image` in the Python that runs the modules and fix the error that it reports."
TRIED_IMAGES = 20  # that are opened as another user, before the workers start
MAX_ANSWER_BYTES = 64 << 20  # a chunk of previews has less than 2 MB
PACKAGE = __name__.rpartition("._hashing.")[0]
FIELD_TYPES: dict[str, tuple[type, ...]] = {  # by annotation, of the results of a worker
    "bytes": (bytes,), "str": (str,), "int": (int,), "float": (int, float), "int | None": (int, type(None)), "str | None": (str, type(None)),
    "tuple[bytes, ...]": (tuple,), "file_stamps.Stamp": (file_stamps.Stamp,),
}

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result", bound=Timed)
_confinements: list[sandbox.Confinement] = []  # of the workers that this process has started; a module does one job


def sandbox_in_force() -> dict[str, Any] | None:
    """What was in force in every worker that this process has started, in the form of a module's result; None without a worker."""
    return sandbox.as_result(sandbox.weakest(_confinements))


def hash_files(
    paths: Iterable[tuple[Key, str]],
    algorithm: str,
    media_roots: Sequence[str],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
    throttle: host_throttle.Throttle = host_throttle.NEVER,
) -> Generator[tuple[Key, difference_hash.Pixels | ImageError], None, None]:
    """Decode ``paths``, pairs of a key and a path, in up to ``parallel`` processes; yields (key, result) in the order of completion.

    The result of an image that cannot be decoded, takes too long or kills its worker is its ImageError. ``paths`` is read
    as workers become free. Once ``throttle`` lets no image begin, the generator ends after the images in progress, without the others.
    Closing the generator ends the workers. Raises MissingRequirementError if a worker cannot start.
    """
    read = functools.partial(image_decoder.read_pixels, algorithm=algorithm, media_roots=tuple(media_roots), limits=limits)
    return cast("Generator[tuple[Key, difference_hash.Pixels | ImageError], None, None]",
                _work_through(paths, Job(read, difference_hash.Pixels, algorithm != "ffmpeg", limits, temp_dir, tuple(media_roots)), parallel,
                              throttle))


def make_previews(
    paths: Iterable[tuple[Key, str]],
    edge: int,
    media_roots: Sequence[str],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
    throttle: host_throttle.Throttle = host_throttle.NEVER,
) -> Generator[tuple[Key, preview_maker.Preview | ImageError], None, None]:
    """Make previews of ``paths``, at most ``edge`` pixels wide and high, in the same way as :func:`read_files`."""
    read = functools.partial(preview_maker.read_preview, edge=edge, media_roots=tuple(media_roots), limits=limits)
    return read_files(paths, read, preview_maker.Preview, media_roots, limits, parallel, temp_dir, throttle)


def read_files(
    paths: Iterable[tuple[Key, str]],
    read: Callable[[str], Result],
    result: type[Result],
    media_roots: Sequence[str],
    limits: decoder_limits.Limits,
    parallel: int,
    temp_dir: str | None = None,
    throttle: host_throttle.Throttle = host_throttle.NEVER,
) -> Generator[tuple[Key, Result | ImageError], None, None]:
    """Call ``read``, a function of a module or a partial of one, with each of ``paths`` in a worker, as :func:`hash_files` does.

    It returns a ``result``, a NamedTuple whose fields are of FIELD_TYPES. While ``throttle`` lets no image begin, this waits.
    """
    job = Job(read, cast("type[tuple[Any, ...]]", result), True, limits, temp_dir, tuple(media_roots))
    left = dict(paths)
    while left:
        throttle.wait()
        with contextlib.closing(_work_through(list(left.items()), job, parallel, throttle)) as results:
            for key, found in results:
                del left[cast("Key", key)]
                yield cast("Key", key), cast("Result | ImageError", found)


def _work_through(paths: Iterable[tuple[Hashable, str]], job: Job, parallel: int,
                  throttle: host_throttle.Throttle) -> Generator[tuple[Hashable, Timed | ImageError], None, None]:
    if resource.RLIM_INFINITY != resource.getrlimit(resource.RLIMIT_NOFILE)[0] < decoder_limits.files_needed(parallel):
        limit(resource.RLIMIT_NOFILE, decoder_limits.files_needed(parallel))
    remaining = iter(paths)
    first = list(islice(remaining, TRIED_IMAGES))
    if not first:
        return
    plan = sandbox.make_plan(job.media_roots, job.limits, parallel, [path for _key, path in first])
    pool = _Pool(job._replace(plan=plan), parallel)
    try:
        yield from pool.results(takewhile(lambda _path: throttle.may_begin(), chain(first, remaining)))
        if pool.refused and throttle.may_begin():  # by the file system, to the other user
            pool.end()
            plan = plan._replace(user=None, reads_all=True, stays="some images can be read by root only")
            pool = _Pool(job._replace(plan=plan), min(parallel, len(pool.refused)), pool.refused)
            yield from pool.results(iter(()))
    finally:
        pool.end()


class _Pool:
    def __init__(self, job: Job, parallel: int, first: Iterable[tuple[Hashable, str]] = ()) -> None:
        self.job = job
        self.parallel = parallel
        self.workers: list[_Worker] = []
        self.requeued = deque(first)  # besides these: sent to a worker that ended before it decoded them
        self.may_refuse = job.plan is not None and (job.plan.user is not None or (os.geteuid() == 0 and not job.plan.reads_all))
        self.refused: list[tuple[Hashable, str]] = []  # that a worker with fewer privileges than this process could not open

    def end(self) -> None:
        for worker in self.workers:
            worker.end()

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
        """Send images until each worker has a chunk in advance. A missing worker is started before another gets a second chunk."""
        while True:
            least = min(self.workers, key=lambda worker: len(worker.images) / worker.chunk, default=None)
            if least is None or (least.images and len(self.workers) < self.parallel):
                least = None  # another one starts
            elif len(least.images) > least.chunk:
                return
            count = least.chunk if least else 1
            images = [self.requeued.popleft() for _image in range(min(count, len(self.requeued)))]
            images += islice(paths, count - len(images))
            if not images:
                return
            if least is None:
                least = _Worker(self.job)
                self.workers.append(least)
            least.give(images)

    def _receive(self, worker: _Worker) -> Iterator[tuple[Hashable, Timed | ImageError]]:
        try:
            answers = worker.receive()
        except (EOFError, OSError):
            yield from self._drop(worker, self._death(worker))
            return
        except Exception:  # from unpickling: no worker of this collection sends such a thing
            yield from self._drop(worker, ImageError("crashed", "the decoder sent an invalid answer"))
            return
        for answer in answers:
            if worker.ready:
                if not _is_valid(answer, worker, self.job.result):
                    yield from self._drop(worker, ImageError("crashed", "the decoder sent an invalid answer"))
                    return
                for (key, path), result in worker.take(answer):
                    if not isinstance(result, Failure):
                        yield key, result
                    elif result.kind == "unreadable" and self.may_refuse:
                        self.refused.append((key, path))
                    else:
                        yield key, ImageError(*result)
            elif isinstance(answer, sandbox.Confinement):
                if self.job.limits.require_sandbox:
                    sandbox.require_complete(answer)
                _confinements.append(answer)
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
            self.requeued.extend(worker.images)
            yield key, error


@contextlib.contextmanager
def _main_left_out() -> Iterator[None]:
    """Have spawned processes not import the main module (multiprocessing does so for functions that it defines): it is a module of Ansible,
    and compiling all that it imports takes longer than everything else that a worker does before its first image."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker:
    """The parent's side of a worker process."""

    def __init__(self, job: Job) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.images: deque[tuple[Hashable, str]] = deque()  # sent and not answered
        self.answered = 0
        self.chunk = 1
        self.seconds = job.limits.seconds
        self.ready = False
        self.unread = bytearray()
        self.last_answer = math.inf  # or the time at which it was given an image while it had none
        self.folder = _make_temp_dir(job)
        if job.plan and self.folder:
            job = job._replace(temp_dir=self.folder, plan=job.plan._replace(write=(*job.plan.write, self.folder)))
        self.start_deadline = time.monotonic() + START_SECONDS
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the worker inherits this, and ignores the signal later
        try:
            self.progress = spawn.RawArray("d", (0, math.inf))  # the number of images begun; the time at which the current one was begun
            self.process = spawn.Process(target=work, args=(theirs, self.progress, os.getpid(), job), daemon=True)
            with _main_left_out():
                self.process.start()
        except OSError as error:
            raise from_os_error(error, "start a worker process") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            theirs.close()

    def receive(self) -> list[Any]:
        """The messages that have arrived as a whole. Raises EOFError or OSError if the worker has ended, and anything for an invalid one."""
        data = os.read(self.connection.fileno(), 1 << 20)
        if not data:
            raise EOFError
        self.unread += data
        messages = []
        while len(self.unread) >= FRAME:
            length = int.from_bytes(self.unread[:FRAME], "big")
            if length > MAX_ANSWER_BYTES:
                raise ValueError("too long")
            if len(self.unread) < FRAME + length:
                break
            messages.append(_Unpickler(io.BytesIO(self.unread[FRAME:FRAME + length])).load())
            del self.unread[:FRAME + length]
        return messages

    def give(self, images: list[tuple[Hashable, str]]) -> None:
        if not self.images:
            self.last_answer = time.monotonic()
        self.images += images
        with contextlib.suppress(OSError):  # the worker has died: its images are queued again when that is noticed
            self.connection.send([path for _key, path in images])

    def take(self, answers: list[Answer]) -> Iterator[tuple[tuple[Hashable, str], Answer]]:
        """The answers to the first images that were sent, each with its image."""
        self.answered += len(answers)
        self.last_answer = time.monotonic()
        images = [self.images.popleft() for _answer in answers]
        seconds = sum(0.0 if isinstance(answer, Failure) else answer.seconds for answer in answers)
        self.chunk = max(1, min(MAX_CHUNK, int(CHUNK_SECONDS * len(answers) / max(seconds, 1e-6))))
        yield from zip(images, answers)

    def at(self) -> int:
        """The index in ``images`` of the image that the worker was decoding when it ended."""
        begun = self.progress[0]
        return max(0, min(int(begun) - 1 - self.answered, len(self.images) - 1)) if math.isfinite(begun) else 0

    def deadline(self) -> float:
        """The time at which the current image is late. A worker that a hostile file has taken over may write a wrong time."""
        if not self.ready:
            return self.start_deadline
        latest = self.last_answer + self.seconds * len(self.images) if self.images else math.inf
        begun = self.progress[1]
        return latest if math.isnan(begun) else min(begun + self.seconds, latest)

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
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
        code = self.process.exitcode
        return -signal.SIGKILL if code is None else code


class _Unpickler(pickle.Unpickler):
    """Reads what a worker sends. A hostile file may have taken the worker over, so only NamedTuples of this collection are created."""

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(sys.modules.get(module), name, None)
        if module.startswith(f"{PACKAGE}.") and isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields"):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is not the result of a decoder")


def _is_valid(answers: Any, worker: _Worker, result: type[tuple[Any, ...]]) -> bool:
    """Whether a worker has sent one result, or one error, for each of its first images."""
    if not isinstance(answers, list) or not 0 < len(answers) <= len(worker.images):
        return False
    return all(type(answer) in (result, Failure) and _has_types(answer) for answer in answers)


def annotations_of(kind: type[tuple[Any, ...]]) -> list[str]:
    """The annotations of the fields of a NamedTuple, as text."""
    return [str(getattr(annotation, "__forward_arg__", annotation)) for annotation in kind.__annotations__.values()]


def _has_types(value: Any) -> bool:
    """Whether the fields of a NamedTuple have the types of their annotations."""
    for annotation, field in zip(annotations_of(type(value)), value):
        if not isinstance(field, FIELD_TYPES[annotation]) or (hasattr(field, "_fields") and not _has_types(field)):
            return False
        if isinstance(field, float) and not math.isfinite(field):
            return False
        if isinstance(field, tuple) and not hasattr(field, "_fields") and not all(isinstance(item, bytes) for item in field):
            return False
    return not isinstance(value, difference_hash.Pixels) or len(value.horizontal) == len(value.vertical) == 72


def _make_temp_dir(job: Job) -> str | None:
    """The folder for the temporary files of a worker; None if none can be created."""
    try:
        folder = tempfile.mkdtemp(prefix="mobius-dhash-", dir=job.temp_dir)
    except OSError:
        return None
    if job.plan and job.plan.user:
        with contextlib.suppress(OSError):
            os.chown(folder, *job.plan.user)
    return folder
