# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, Union

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, difference_hash, image_decoder, sandbox, worker_pool, worker_process

pytestmark = pytest.mark.slow

COLLECTIONS = Path(__file__).resolve().parents[5] / ".ansible" / "collections"
COLLECTION = COLLECTIONS / "ansible_collections" / "mobius" / "dhash"
MATROSKA = b"\x1a\x45\xdf\xa3" + bytes(100)  # what goes to the FFmpeg program
PATIENCE = 60  # seconds for what takes a moment
LIMIT = 4  # seconds for an image where one of them hangs: a busy machine needs two for a small picture
NOTES = "FOLDER_FOR_NOTES"
MAIN = """
import os
import signal
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, sandbox, worker_pool, worker_process

def main():
    import numpy
    make_plan = sandbox.make_plan
    sandbox.make_plan = lambda *arguments: make_plan(*arguments)._replace(write=tuple(filter(None, [os.environ.get("FOLDER_FOR_NOTES")])))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background of a shell has it ignored
    results = worker_pool.hash_files([(path, path) for path in sys.argv[2:]], "pillow", ["/"], decoder_limits.Limits(600), 2)
    for key, result in results:
        print(key, getattr(result, "kind", "hashed"), flush=True)

if __name__ == "__main__":
    main()
"""


Result = Union[difference_hash.Pixels, ImageError]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers write down what they see, in spite of the sandbox."""
    make_plan = sandbox.make_plan
    monkeypatch.setenv(NOTES, str(tmp_path))
    monkeypatch.setattr(sandbox, "make_plan", lambda *arguments: make_plan(*arguments)._replace(write=(str(tmp_path),)))


@pytest.fixture
def program(tmp_path: Path, notes: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a shell script in the FFmpeg program's place; it starts by writing down its process, and its worker's."""
    def write(script: str) -> Path:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "ffmpeg").write_text(f"#!/bin/sh\necho $$ $PPID > {tmp_path}/pids.$$\nmv {tmp_path}/pids.$$ {tmp_path}/pids\n"
                                         f"{script}\n", encoding="utf-8")
        (programs / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return tmp_path / "pids"
    return write


def draw(folder: Path, count: int) -> list[tuple[Hashable, str]]:
    for number in range(count):
        (folder / f"{number}.png").write_bytes(pictures.encode(pictures.colour((40 + number, 40)), "PNG"))
    return [(number, str(folder / f"{number}.png")) for number in range(count)]


def hash_files(
        paths: Iterable[tuple[Hashable, str]], folder: Path, parallel: int = 2, algorithm: str = "pillow", temp_dir: str | None = None,
        **limits: Any) -> Generator[tuple[Hashable, Result], None, None]:
    return worker_pool.hash_files(paths, algorithm, [os.path.realpath(folder)], decoder_limits.Limits(**limits), parallel, temp_dir)


def kinds(results: Iterable[tuple[Hashable, Result]]) -> dict[Hashable, str]:
    return {key: result.kind if isinstance(result, ImageError) else "hashed" for key, result in results}


def failure(result: Result) -> ImageError:
    assert isinstance(result, ImageError)
    return result


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.01)
    return True


def has_ended(pid: int | str) -> bool:
    """Whether a process is gone, or only waits for being collected."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
    return True


def children() -> list[int]:
    """The worker processes of this one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _name, rest = status.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)
            state, parent = rest.split()[:2]
            command = (status.parent / "cmdline").read_bytes()
            if int(parent) == os.getpid() and state != "Z" and b"spawn_main" in command:
                found.append(int(status.parent.name))
    return found


def test_every_image_gets_the_result_that_it_has_alone(folder: Path) -> None:
    paths = [*draw(folder, 30), ("none", str(folder / "none.png"))]
    (folder / "page.jpg").write_bytes(b"<html>")
    results = dict(hash_files([*paths, ("page", str(folder / "page.jpg"))], folder))
    assert len(results) == 32
    for key, path in paths[:30]:
        alone = image_decoder.read_pixels(path, "pillow", [os.path.realpath(folder)], decoder_limits.Limits())
        pooled = results[key]
        assert isinstance(pooled, difference_hash.Pixels) and pooled._replace(seconds=0) == alone._replace(seconds=0)
    with pytest.raises(ImageError) as error:
        image_decoder.read_pixels(str(folder / "none.png"), "pillow", [os.path.realpath(folder)], decoder_limits.Limits())
    assert (failure(results["none"]).kind, str(results["none"])) == (error.value.kind, str(error.value))
    assert failure(results["page"]).kind == "not_an_image"


def test_nothing_is_done_for_nothing(folder: Path) -> None:
    assert list(hash_files([], folder)) == []
    assert children() == []


def test_there_are_never_more_workers_than_images(folder: Path) -> None:
    results = hash_files(draw(folder, 2), folder, parallel=8)
    next(results)
    assert len(children()) <= 2
    results.close()


def test_images_are_asked_for_as_results_are_taken(folder: Path) -> None:
    asked = []

    def paths() -> Iterator[tuple[int, str]]:
        for number, path in draw(folder, 1) * 100:
            asked.append(number)
            yield len(asked), path

    with contextlib.closing(hash_files(paths(), folder, parallel=1)) as results:
        for taken, _result in enumerate(results, start=1):
            assert len(asked) <= taken + 2 * worker_pool.MAX_CHUNK
    assert taken == 100


def test_names_that_are_no_unicode_reach_the_worker(folder: Path) -> None:
    path = os.fsdecode(os.fsencode(folder) + b"/\xff.png")
    Path(path).write_bytes(pictures.encode(pictures.colour(), "PNG"))
    assert kinds(hash_files([(1, path), (2, "\ud800")], folder)) == {1: "hashed", 2: "missing"}


def test_closing_the_generator_ends_the_workers(folder: Path) -> None:
    results = hash_files(draw(folder, 20), folder)
    next(results)
    workers = children()
    assert workers
    results.close()
    assert all(has_ended(pid) for pid in workers)


def test_an_error_of_the_caller_ends_the_workers(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        for _key, _result in hash_files(draw(folder, 20), folder):
            workers = children()
            raise ZeroDivisionError
    assert workers and all(has_ended(pid) for pid in workers)


def test_worker_killed_by_a_signal_fails_its_own_image_alone(folder: Path, program: Callable[[str], Path]) -> None:
    program("kill -SEGV $PPID; exec sleep 60")
    (folder / "a.mkv").write_bytes(MATROSKA)
    paths = draw(folder, 60)  # enough of them for chunks of many
    paths.insert(40, ("bad", str(folder / "a.mkv")))
    results = dict(hash_files(paths, folder, parallel=1))
    bad = failure(results["bad"])
    assert (bad.kind, bad.cause) == ("crashed", "the decoder was killed by signal SIGSEGV")
    assert [key for key, kind in kinds(results.items()).items() if kind != "hashed"] == ["bad"]
    assert len(results) == 61


def test_many_workers_may_die_one_after_the_other(folder: Path, program: Callable[[str], Path]) -> None:
    program("kill -KILL $PPID")
    (folder / "a.mkv").write_bytes(MATROSKA)
    paths = [(number, path if number % 3 else str(folder / "a.mkv")) for number, (_key, path) in enumerate(draw(folder, 9))]
    assert kinds(hash_files(paths, folder)) == {number: "hashed" if number % 3 else "crashed" for number in range(9)}


def test_all_that_a_worker_started_is_ended_with_it(folder: Path, program: Callable[[str], Path], tmp_path: Path) -> None:
    pids = program(f"sleep 600 & echo $! > {tmp_path}/grandchild; kill -SEGV $PPID; wait")
    (folder / "a.mkv").write_bytes(MATROSKA)
    assert kinds(hash_files([(1, str(folder / "a.mkv"))], folder)) == {1: "crashed"}
    started = [*pids.read_text(encoding="ascii").split(), (tmp_path / "grandchild").read_text(encoding="ascii").strip()]
    assert eventually(lambda: all(has_ended(pid) for pid in started))


def test_a_slow_caller_costs_no_image_its_time(folder: Path) -> None:
    results = hash_files(draw(folder, 2 * worker_pool.MAX_CHUNK), folder, parallel=1, seconds=LIMIT)
    next(results)
    time.sleep(LIMIT + 0.5)  # the time limit passes while the answers lie in the pipe
    assert set(kinds(results).values()) == {"hashed"}


def test_a_decoder_that_hangs_costs_its_own_image_alone(folder: Path, program: Callable[[str], Path]) -> None:
    pids = program("exec sleep 600")
    (folder / "a.mkv").write_bytes(MATROSKA)
    paths = draw(folder, 60)
    paths.insert(40, ("bad", str(folder / "a.mkv")))
    results = dict(hash_files(paths, folder, parallel=1, seconds=LIMIT))
    bad = failure(results["bad"])
    assert (bad.kind, bad.cause) == ("timeout", f"decoding took longer than the limit of {LIMIT} s")
    assert list(kinds(results.items()).values()).count("hashed") == 60
    assert eventually(lambda: has_ended(pids.read_text(encoding="ascii").split()[0]))


@pytest.fixture
def decoder(tmp_path: Path, notes: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace the package ffmpeg-python, which a worker imports and calls for what Pillow cannot open."""
    def write(body: str) -> None:
        (tmp_path / "packages").mkdir()
        (tmp_path / "packages" / "ffmpeg.py").write_text(f"import os, time\nmerge_outputs = None\ndef input(*a, **k):\n    {body}\n",
                                                         encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        monkeypatch.delitem(sys.modules, "ffmpeg", raising=False)
    return write


@pytest.mark.parametrize(("body", "kind", "cause"), [
    ("time.sleep(600)", "timeout", f"decoding took longer than the limit of {LIMIT} s"),
    ("os.kill(os.getpid(), 11)", "crashed", "the decoder was killed by signal SIGSEGV"),
    ("os.kill(os.getpid(), 24)", "timeout", f"decoding took longer than the limit of {LIMIT} s"),
    ("os._exit(3)", "crashed", "the decoder ended with exit code 3"),
    ("raise LookupError", "crashed", "the decoder failed with LookupError"),
    ("bytearray(1 << 40)", "too_large", "decoding takes more memory than the limit allows"),
    ("os.write(1, b'noise'), os.write(2, b'noise'), os._exit(0)", "crashed", "the decoder ended with exit code 0"),
])
def test_misbehaving_decoder_fails_its_own_image_alone(
        folder: Path, program: Callable[[str], Path], decoder: Callable[[str], None], capfd: pytest.CaptureFixture[str], body: str, kind: str,
        cause: str) -> None:
    program("")
    decoder(body)
    (folder / "a.mkv").write_bytes(MATROSKA)
    results = dict(hash_files([*draw(folder, 3), ("bad", str(folder / "a.mkv"))], folder, parallel=1, seconds=LIMIT))
    bad = failure(results["bad"])
    assert (bad.kind, bad.cause) == (kind, cause)
    assert list(kinds(results.items()).values()).count("hashed") == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
def test_a_worker_is_limited_in_memory_cpu_time_and_dumps(folder: Path, program: Callable[[str], Path], decoder: Callable[[str], None], tmp_path: Path) -> None:
    program("")
    decoder(f"""import json, resource as r
    with open({str(tmp_path / 'seen')!r}, 'w') as file:
        json.dump([r.getrlimit(which)[0] for which in (r.RLIMIT_AS, r.RLIMIT_CORE, r.RLIMIT_CPU)]
                  + [os.environ['TMPDIR'], os.getpgrp() == os.getpid()], file)""")
    (folder / "a.mkv").write_bytes(MATROSKA)
    list(hash_files([(1, str(folder / "a.mkv"))], folder, temp_dir="/some/where", memory_bytes=1 << 30, seconds=5))
    memory, dumps, cpu, temp_dir, leads_a_group = json.loads((tmp_path / "seen").read_text(encoding="utf-8"))
    assert (memory, dumps, temp_dir, leads_a_group) == (1 << 30, 0, "/some/where", True)
    assert 5 < cpu < 20


def test_the_cpu_time_of_earlier_images_does_not_count(folder: Path, program: Callable[[str], Path], decoder: Callable[[str], None], tmp_path: Path) -> None:
    program("")
    decoder(f"""import resource
    with open({str(tmp_path / 'left')!r}, 'a') as file:
        print(resource.getrlimit(resource.RLIMIT_CPU)[0] - time.process_time(), file=file)
    end = time.process_time() + 1.1
    while time.process_time() < end: pass""")
    (folder / "a.mkv").write_bytes(MATROSKA)
    list(hash_files([(number, str(folder / "a.mkv")) for number in range(2)], folder, parallel=1, seconds=40))
    left = [float(line) for line in (tmp_path / "left").read_text(encoding="ascii").split()]
    assert len(left) == 2 and min(left) > 40 + worker_process.CPU_MARGIN_SECONDS - 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit address space")
def test_image_over_the_memory_limit_fails_alone(folder: Path) -> None:
    (folder / "large.png").write_bytes(pictures.png((30_000, 30_000), 8, 0, [bytes(100)]))
    paths = [("large", str(folder / "large.png")), *draw(folder, 2)]
    found = kinds(hash_files(paths, folder, parallel=1, memory_bytes=400 << 20, pixels=10**9))
    assert found == {"large": "too_large", 0: "hashed", 1: "hashed"}


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the FFmpeg program")
def test_ffmpeg_decodes_within_the_limits_of_a_worker(folder: Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:d=1", folder / "a.mp4"], check=True)
    for algorithm in ("pillow", "ffmpeg"):
        ((_key, pixels),) = hash_files([(1, str(folder / "a.mp4"))], folder, algorithm=algorithm)
        assert isinstance(pixels, difference_hash.Pixels) and pixels.decoder == "ffmpeg"


def test_worker_that_ends_while_idle_fails_no_image(folder: Path, program: Callable[[str], Path]) -> None:
    pids = program("exec sleep 600")
    (folder / "a.mkv").write_bytes(MATROSKA)
    with contextlib.closing(hash_files([("bad", str(folder / "a.mkv")), *draw(folder, 1)], folder, seconds=LIMIT)) as results:
        assert kinds([next(results)]) == {0: "hashed"}
        eventually(pids.exists)
        busy = int(pids.read_text(encoding="ascii").split()[1])
        (idle,) = (pid for pid in children() if pid != busy)
        os.kill(idle, signal.SIGKILL)
        eventually(lambda: has_ended(idle))
        assert kinds(results) == {"bad": "timeout"}


def test_an_interrupt_does_not_reach_the_workers(folder: Path) -> None:
    results = hash_files(draw(folder, 40), folder)
    next(results)
    for worker in children():
        os.kill(worker, signal.SIGINT)
    assert set(kinds(results).values()) == {"hashed"}


def run_main(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, **options)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(MAIN, encoding="utf-8")
    return tmp_path / "main.py"


def test_workers_and_their_ffmpeg_end_if_their_parent_is_killed(folder: Path, program: Callable[[str], Path], script: Path) -> None:
    pids = program("exec sleep 600")
    (folder / "a.mkv").write_bytes(MATROSKA)
    main = run_main(script, COLLECTIONS, folder / "a.mkv", *(path for _key, path in draw(folder, 5)))
    eventually(pids.exists)
    ffmpeg, worker = pids.read_text(encoding="ascii").split()
    assert not has_ended(ffmpeg) and not has_ended(worker)
    main.kill()
    main.communicate(timeout=PATIENCE)
    assert eventually(lambda: has_ended(ffmpeg) and has_ended(worker))


def test_an_interrupt_shows_the_traceback_of_the_parent_alone(folder: Path, program: Callable[[str], Path], script: Path) -> None:
    pids = program("exec sleep 600")
    (folder / "a.mkv").write_bytes(MATROSKA)
    main = run_main(script, COLLECTIONS, folder / "a.mkv")
    eventually(pids.exists)
    os.killpg(main.pid, signal.SIGINT)  # as a terminal does
    _output, errors = main.communicate(timeout=PATIENCE)
    assert errors.count("Traceback") == 1 and "spawn_main" not in errors
    assert eventually(lambda: all(has_ended(pid) for pid in pids.read_text(encoding="ascii").split()))


def test_open_files_limit_too_low_for_the_workers_is_raised(folder: Path, script: Path) -> None:
    paths = [path for _key, path in draw(folder, 5)]
    main = run_main(script, COLLECTIONS, *paths,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, decoder_limits.files_needed(2))))
    output, errors = main.communicate(timeout=PATIENCE)
    assert output.count("hashed") == 5, errors


def test_workers_do_not_import_numpy(folder: Path, script: Path, tmp_path: Path) -> None:
    (tmp_path / "packages" / "numpy").mkdir(parents=True)
    (tmp_path / "packages" / "numpy" / "__init__.py").write_text(
        f"import os\nwith open({str(tmp_path / 'importers')!r}, 'a') as file: print(os.getpid(), file=file)\n", encoding="utf-8")
    main = run_main(script, COLLECTIONS, *(path for _key, path in draw(folder, 5)),
                    env={**os.environ, "PYTHONPATH": str(tmp_path / "packages")})
    output, errors = main.communicate(timeout=PATIENCE)
    assert output.count("hashed") == 5, errors
    assert (tmp_path / "importers").read_text(encoding="ascii").split() == [str(main.pid)]


def test_workers_start_from_a_zipped_module_as_ansible_runs_it(folder: Path, tmp_path: Path) -> None:
    module = "ansible_collections/mobius/dhash/plugins/modules/fake.py"
    packages = {"ansible_collections/mobius/dhash/plugins/module_utils"}
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as payload:
        for file in (COLLECTION / "plugins" / "module_utils").rglob("*.py"):
            payload.write(file, f"ansible_collections/mobius/dhash/{file.relative_to(COLLECTION)}")
            if file.parent.name != "module_utils":
                packages.add(f"ansible_collections/mobius/dhash/{file.parent.relative_to(COLLECTION)}")
        payload.writestr(module, f"with open({str(tmp_path / 'imported')!r}, 'a') as file: print(__name__, file=file)\n{MAIN}")
        parts = module.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            payload.writestr("/".join([*parts[:depth], "__init__.py"]), "")
        for package in packages:
            payload.writestr(f"{package}/__init__.py", "")
    start = ("import runpy, sys; sys.path.insert(0, sys.argv[1]);"
             f"runpy.run_module({module[:-3].replace('/', '.')!r}, run_name='__main__', alter_sys=True)")
    main = run_main("-c", start, tmp_path / "payload.zip", *(path for _key, path in draw(folder, 5)), cwd="/")
    output, errors = main.communicate(timeout=PATIENCE)
    assert (output.count("hashed"), errors) == (5, "")
    assert (tmp_path / "imported").read_text(encoding="ascii") == "__main__\n", "each worker compiled the whole module"


@pytest.fixture
def pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace the workers' Pillow."""
    def write(body: str) -> None:
        (tmp_path / "packages" / "PIL").mkdir(parents=True)
        (tmp_path / "packages" / "PIL" / "__init__.py").write_text(body, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return write


@pytest.mark.parametrize(("body", "words"), [
    ("raise ImportError('libjpeg.so.62 is not there')", "Pillow is needed .*libjpeg.so.62 is not there.*python3-pil"),
    ("import os; os._exit(5)", "a worker process ended with exit code 5 while it started"),
    ("import os; os.kill(os.getpid(), 11)", "a worker process was killed by signal SIGSEGV while it started"),
    ("import time; time.sleep(600)", "a worker process did not start in 3 s"),
])
def test_workers_that_cannot_start_end_the_run_with_the_reason(
        folder: Path, pillow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, body: str, words: str) -> None:
    pillow(body)
    if "sleep" in body:
        monkeypatch.setattr(worker_pool, "START_SECONDS", 3)
    with pytest.raises(MissingRequirementError, match=words):
        list(hash_files(draw(folder, 5), folder))
    assert children() == []
