# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that decodes files: what a worker of worker_pool.py runs.

Each worker compiles what it imports anew, before its first image: this file imports what a decoder needs, and nothing of the pool.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import os
import pickle
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol, Union, cast

from .._errors import ImageError, MissingRequirementError
from . import decoder_limits, image_decoder, sandbox, worker_priority
from .ffmpeg_decoder import end_with_parent

CHUNK_SECONDS = 0.02  # slow images are sent one by one, so that idle workers can take the next ones
CPU_MARGIN_SECONDS = 2  # the limit on CPU time is a fallback: the clock of the parent is checked first
FRAME = 4  # bytes of the length before an answer
DECODING_PACKAGES = ("av", "ffmpeg", "pillow_heif")  # that decoders import at need


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
    """What a pool does with each path: ``read`` returns a ``result`` or raises ImageError. A worker imports its function by name."""

    read: Callable[[str], Timed]
    result: type[tuple[Any, ...]]
    needs_pillow: bool
    limits: decoder_limits.Limits
    temp_dir: str | None
    media_roots: tuple[str, ...]
    plan: sandbox.Plan | None = None


Answer = Union[Timed, Failure]


def work(connection: Connection, progress: ctypes.Array[ctypes.c_double], parent: int, job: Job) -> None:
    """The main function of a worker: answer each path with a result, or with the arguments of an ImageError, until the pipe is closed."""
    from . import pillow_decoder

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.setsid()
    worker_priority.lower(job.limits.nice, job.limits.io_class)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # C libraries print there, and the parent prints the result for Ansible there
        os.dup2(null, standard)
    if job.temp_dir:
        os.environ["TMPDIR"] = job.temp_dir
    try:
        if job.needs_pillow:
            pillow_decoder.require()
    except MissingRequirementError as error:
        _send(connection, (error.cause, error.next_step))
        return
    _import_decoders()
    confinement = sandbox.apply(cast(sandbox.Plan, job.plan))
    end_with_parent()  # after the change of the user, which undoes it
    if os.getppid() != parent:  # the parent ended before end_with_parent took effect
        return
    with contextlib.suppress(EOFError, OSError):
        _send(connection, confinement)
        while True:
            answers: list[Answer] = []
            sent = time.monotonic()
            for path in connection.recv():
                now = time.monotonic()
                if answers and now > sent + CHUNK_SECONDS:
                    _send(connection, answers)
                    answers, sent = [], now
                progress[1] = now
                progress[0] += 1
                answers.append(_answer(path, job))
            progress[1] = math.inf
            _send(connection, answers)


def _send(connection: Connection, message: object) -> None:
    content = pickle.dumps(message)
    with open(connection.fileno(), "wb", closefd=False) as pipe:
        pipe.write(len(content).to_bytes(FRAME, "big") + content)


def _import_decoders() -> None:
    """Import what decoders import at need: another user may not be able to read the files of Python, Pillow or Ansible."""
    package = sys.modules[__name__.rpartition(".")[0]]
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_decoder"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for name in DECODING_PACKAGES:
        with contextlib.suppress(Exception):  # optional, and a broken one is an error of the images that need it
            importlib.import_module(name)


def _answer(path: str, job: Job) -> Answer:
    limit(resource.RLIMIT_CPU, int(time.process_time()) + int(job.limits.seconds) + CPU_MARGIN_SECONDS)
    try:
        return job.read(path)
    except ImageError as error:
        if error.kind == "unreadable":
            error = _outside(path, job.media_roots) or error
        return Failure(error.kind, error.cause, error.next_step)
    except Exception as error:  # a bug in the decoder must not cost more than this image
        return Failure("crashed", f"the decoder failed with {type(error).__name__}", None)


def _outside(path: str, media_roots: Sequence[str]) -> ImageError | None:
    """The error of an image outside the media roots, which the sandbox does not let the decoder open."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]  # Linux only, as this sandbox is
    except (OSError, ValueError, AttributeError):
        return None
    try:
        image_decoder._require_inside(descriptor, media_roots)
    except ImageError as error:
        return error
    finally:
        os.close(descriptor)
    return None


def limit(resource_: int, value: int) -> None:
    """Set the soft and the hard limit of ``resource_`` to ``value``, or to the hard limit where that is lower."""
    hard = resource.getrlimit(resource_)[1]
    resource.setrlimit(resource_, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
