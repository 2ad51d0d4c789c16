# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the engine share: small libraries, trees to compare, and processes that die when they are told to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, durable
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, host_throttle, image_decoder, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import library_assembly, migration_run, migration_settings
from PIL import Image

FORK = multiprocessing.get_context("fork")
NOBODY = 65534
GOLDEN = Path(__file__).parent / "golden" / "state-before-format"
CHANGED = 1769860800  # when the golden pictures were changed, as their journal has it
MOUNT, UMOUNT = shutil.which("mount"), shutil.which("umount")
# What changes a file or a folder, or makes a change last, on its way to the kernel; and an open that does.
STEPS = ("fsync", "rename", "unlink", "mkdir", "fchmod", "fchown", "setxattr", "ftruncate", "pwrite")
CHANGING_OPEN = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES_WITH_TIME = re.compile(rb'("(?:migration_timestamp|dhash_generated_at|processing_time_seconds|average_time_per_image|'
                               rb'p95_time_per_image)": )[^,\n]+')
Value = TypeVar("Value")


def present(value: Value | None) -> Value:
    """``value``, which the test expects to be there."""
    assert value is not None
    return value


def timeless(content: bytes) -> bytes:
    """A library's bytes, timestamps and timings aside."""
    return CHANGES_WITH_TIME.sub(rb"\1...", content)


class SmallLibrary:
    """A library of tiny pictures, and the state folder of the host that it lies on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "srv"
        self.folder.mkdir(parents=True)
        self.path = self.folder / "library.json"
        self.output = self.folder / "library.dhash.json"
        self.state = folder / "state"
        self.value: dict[str, Any] = {"version": 3, "images": [], "settings": {"ratio": 0.5}}

    def add(self, name: str, content: bytes | None = None, seed: int | None = None, size: tuple[int, int] = (48, 40), **fields: Any) -> Path:
        """Add an image: of ``content``, or drawn after ``seed``, or without a file where both are None."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if seed is not None:
            light = Image.frombytes("L", (9, 8), random.Random(seed).randbytes(72))
            light.resize(size, Image.Resampling.BICUBIC).save(file, quality=90)
        elif content is not None:
            file.write_bytes(content)
        self.value["images"].append({"path": name, "filename": file.name, **fields})
        return file

    def write(self) -> bytes:
        """Write ``value`` as the live library; returns its bytes."""
        self.path.write_text(json.dumps(self.value, indent=2, ensure_ascii=False), encoding="utf-8")
        return self.path.read_bytes()

    def reload(self) -> dict[str, Any]:
        """What the live library holds now, kept as ``value``."""
        self.value = json.loads(self.path.read_text(encoding="utf-8"))
        return self.value

    def migrated(self) -> dict[str, Any]:
        """What the migrated library holds."""
        value: dict[str, Any] = json.loads(self.output.read_text(encoding="utf-8"))
        return value

    def settings(self, threshold: int = 10, batch_size: int = 100, **changes: Any) -> migration_settings.Settings:
        settings = migration_settings.Settings(
            library=str(self.path), output=str(self.output), state=str(self.state), run="20260131T120000Z-7",
            terms=library_assembly.MatchOptions("pillow", threshold, batch_size), parallel=1, temp_dir=None,
            media_roots=(str(self.folder),), limits=decoder_limits.Limits(), limit=None, lock_timeout=0, dry_run=False,
            report=None, log_dir=None)
        return settings._replace(**changes)

    def check(self, **changes: Any) -> dict[str, Any]:
        return migration_run.check(self.settings(**changes))

    def run(self, **changes: Any) -> dict[str, Any]:
        return migration_run.run(self.settings(**changes), lambda run_record: None)

    def deploy(self) -> bool:
        return cutover.deploy(str(self.path), str(self.state))

    def record(self) -> run_record.Record | None:
        return run_record.read(str(self.state))


@pytest.fixture
def library(tmp_path: Path) -> SmallLibrary:
    """A library that has no images yet."""
    return SmallLibrary(tmp_path)


@pytest.fixture
def migrated(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    """A library of which every image is hashed, but one that is missing, and one is another's duplicate."""
    for name, seed in (("a.png", 1), ("b.png", 2), ("copy of a.png", 1)):
        library.add(name, seed=seed)
    library.add("gone.png")
    library.write()
    library.run()
    library.deploy()
    library.reload()
    return library


@pytest.fixture
def new_library(tmp_path: Path) -> Callable[[object], SmallLibrary]:
    """Make libraries that have no images yet, each in a folder of its own."""
    return lambda name: SmallLibrary(tmp_path / str(name))


@pytest.fixture
def golden_host(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Copy a golden case, an operation and its phase, to a library's folder; returns the library and its state folder."""
    def copy(case: str) -> tuple[str, str]:
        folder, state = tmp_path / "mobius", tmp_path / "mobius" / "state"
        shutil.copytree(GOLDEN / "host", state)
        for file in [*(GOLDEN / case).iterdir(), *GOLDEN.glob("*.png")]:
            shutil.copy(file, folder / file.name)
            os.utime(folder / file.name, (CHANGED, CHANGED))
        (state / "run.json").write_text((folder / "run.json").read_text().replace("/srv/mobius", str(folder)))
        (folder / "run.json").unlink()
        return str(folder / "library.json"), str(state)

    return copy


@pytest.fixture
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have images decoded in this process, since a worker takes long to start; lists the files that were."""
    decoded: list[str] = []

    def hash_files(paths: Iterable[tuple[Hashable, str]], algorithm: str, media_roots: Sequence[str], limits: decoder_limits.Limits,
                   _parallel: int, _temp_dir: str | None = None,
                   throttle: host_throttle.Throttle = host_throttle.NEVER) -> Iterator[tuple[Hashable, difference_hash.Pixels | ImageError]]:
        for key, path in paths:
            if not throttle.may_begin():
                return
            decoded.append(path)
            try:
                yield key, image_decoder.read_pixels(path, algorithm, media_roots, limits)
            except ImageError as error:
                yield key, error

    monkeypatch.setattr(worker_pool, "hash_files", hash_files)
    return decoded


@pytest.fixture
def tree() -> Callable[[Path], dict[str, tuple[Any, ...]]]:
    """Tell a folder and all that is in it: types, modes, times of change, and contents by their digests."""
    def describe(path: Path) -> tuple[Any, ...]:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else None
        return stat.filemode(status.st_mode), status.st_mtime_ns, status.st_size, content

    return lambda folder: {str(path): describe(path) for path in [folder, *sorted(folder.rglob("*"))]}


@pytest.fixture
def killed_at() -> Callable[[int, Callable[[], object]], bool]:
    """Run an action in a process that is killed before its n-th step on disk; tells whether it came to that."""
    def killed_at(number: int, action: Callable[[], object]) -> bool:
        def count_steps() -> None:
            steps = iter(range(number))

            def counting(function: Callable[..., Any], is_step: Callable[..., Any] = lambda *args, **kwargs: True) -> Callable[..., Any]:
                def step(*args: Any, **kwargs: Any) -> Any:
                    if is_step(*args, **kwargs) and next(steps, None) is None:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return function(*args, **kwargs)
                return step

            def changes(_path: object, flags: int, *_args: Any, **_kwargs: Any) -> int:
                return flags & CHANGING_OPEN

            for name in STEPS:
                setattr(os, name, counting(getattr(os, name)))
            os.open = counting(os.open, changes)
            durable.exchange = counting(durable.exchange)
            action()

        process = FORK.Process(target=count_steps)
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0

    return killed_at


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mount for the length of a test; skips it where this user may not."""
    mounted: list[Path] = []

    def mount(*arguments: str, on: Path) -> None:
        if MOUNT is None or os.geteuid() != 0 or \
                subprocess.run([MOUNT, *arguments, str(on)], capture_output=True, check=False).returncode:
            pytest.skip("only where this user may mount")
        if "remount" not in ",".join(arguments):
            mounted.append(on)

    yield mount
    for place in reversed(mounted):
        subprocess.run([UMOUNT or "umount", "-l", str(place)], check=True)


@pytest.fixture
def as_nobody() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Act as a user without rights, where the tests run as root."""
    @contextlib.contextmanager
    def act() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(user)

    return act


@pytest.fixture(scope="session")
def age_key() -> tuple[str, str]:
    """The text of an age identity file, and its recipient."""
    if shutil.which("age") is None:
        pytest.skip("the program age is not installed (Debian: apt-get install age)")
    return age_encryption.new_identity()
