# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile files and hostile decoders, in the workers that a run uses. docs/security.md refers to these tests by name."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import pwd
import resource
import socket
import stat
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, Union

import pictures
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _errors
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import picture_edits
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    decoder_limits,
    difference_hash,
    preview_maker,
    sandbox,
    worker_pool,
    worker_process,
)

pytestmark = pytest.mark.slow

MATROSKA = b"\x1a\x45\xdf\xa3" + bytes(100)  # what goes to the FFmpeg program, whose Python package is replaced
SUCCEEDED = 77  # the exit code of a decoder whose attack has succeeded
LINUX = sys.platform == "linux"
HERE = sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits()))
needs_landlock = pytest.mark.skipif(sandbox.LANDLOCK not in HERE.in_force, reason="this kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(sandbox.SECCOMP not in HERE.in_force, reason="this system has no filter of system calls")
needs_root = pytest.mark.skipif(os.geteuid() != 0 or not LINUX, reason="only root changes the user")
PUBLIC = 0o755

Result = Union[difference_hash.Pixels, ImageError]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(PUBLIC)
        yield Path(name)


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace the package ffmpeg-python, which a worker calls for what Pillow cannot open, by hostile code."""
    def write(body: str) -> None:
        (tmp_path / "programs").mkdir()
        (tmp_path / "programs" / "ffmpeg").write_bytes(Path("/bin/true").read_bytes())
        (tmp_path / "programs" / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
        (tmp_path / "packages").mkdir()
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "packages" / "ffmpeg.py").write_text(
            f"import ctypes, os, socket, subprocess, time\nmerge_outputs = None\ndef input(*a, **k):\n{lines}    os._exit({SUCCEEDED})\n", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        monkeypatch.delitem(sys.modules, "ffmpeg", raising=False)
    return write


def attack(folder: Path, name: str = "bad.mkv", content: bytes = MATROSKA, **limits: Any) -> ImageError:
    """The error of a hostile image. The pictures before and after it are hashed."""
    (folder / name).write_bytes(content)
    return attack_with(folder, name, **limits)


def attack_with(folder: Path, name: str, **limits: Any) -> ImageError:
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(pictures.encode(pictures.colour((40 + number, 40)), "PNG"))
    results = hash_files(folder, ["1.png", name, "2.png"], **limits)
    assert isinstance(results["1.png"], difference_hash.Pixels) and isinstance(results["2.png"], difference_hash.Pixels)
    error = results[name]
    assert isinstance(error, ImageError) and str(SUCCEEDED) not in error.cause
    return error


def attack_each(folder: Path, decoder: Callable[[str], None], attempts: list[str]) -> dict[str, str]:
    """The causes of the errors of hostile images that a decoder carries out, each an attempt, all in the same worker."""
    decoder("with open(a[0].partition(':')[2], 'rb') as hostile:\n"
            f"    exec(hostile.read()[{len(MATROSKA)}:])")
    pictures_of_others = ["first.png", "last.png"]
    for name in pictures_of_others:
        (folder / name).write_bytes(pictures.encode(pictures.colour(), "PNG"))
    names = {f"{number}.mkv": attempt for number, attempt in enumerate(attempts)}
    for name, attempt in names.items():
        (folder / name).write_bytes(MATROSKA + attempt.encode())
    results = hash_files(folder, [pictures_of_others[0], *names, pictures_of_others[1]])
    assert all(isinstance(results[name], difference_hash.Pixels) for name in pictures_of_others)
    return {attempt: getattr(results[name], "cause", "hashed") for name, attempt in names.items()}


def hash_files(folder: Path, names: list[str], algorithm: str = "pillow", user: str | None = None, **limits: Any) -> dict[Hashable, Result]:
    paths: list[tuple[Hashable, str]] = [(name, os.path.join(folder, name)) for name in names]
    return dict(worker_pool.hash_files(paths, algorithm, [os.path.realpath(folder)],
                                       decoder_limits.Limits(**limits, worker_user=user), parallel=1))


@pytest.fixture
def confinements(monkeypatch: pytest.MonkeyPatch) -> list[sandbox.Confinement]:
    monkeypatch.setattr(worker_pool, "_confinements", [])
    return worker_pool._confinements


# What a decoder that a hostile file has taken over tries


@needs_landlock
def test_a_decoder_cannot_read_etc_shadow(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("open('/etc/shadow').read()")
    assert attack(folder).cause == os.strerror(errno.EACCES)


@needs_landlock
def test_decoder_cannot_read_the_library_or_the_state(folder: Path, tmp_path: Path, decoder: Callable[[str], None]) -> None:
    (tmp_path / "secret").write_text("secret", encoding="ascii")
    decoder(f"open({str(tmp_path / 'secret')!r}).read()")
    assert attack(folder).cause == os.strerror(errno.EACCES)


@needs_landlock
def test_a_decoder_cannot_write_outside_its_directory(folder: Path, decoder: Callable[[str], None]) -> None:
    path, picture = str(folder / "new"), str(folder / "picture.png")
    (folder / "picture.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    attempts = [f"open({path!r}, 'w')", f"os.mkdir({path!r})", f"os.symlink('/etc/shadow', {path!r})", f"os.mkfifo({path!r})",
                f"open({picture!r}, 'r+b')", f"os.unlink({picture!r})", f"os.rename({picture!r}, {path!r})"]
    assert attack_each(folder, decoder, attempts) == dict.fromkeys(attempts, os.strerror(errno.EACCES))
    assert (folder / "picture.png").read_bytes() == pictures.encode(pictures.colour(), "PNG")
    assert not (folder / "new").exists()


@needs_landlock
def test_a_decoder_can_write_to_its_directory_which_is_removed(folder: Path, tmp_path: Path, decoder: Callable[[str], None]) -> None:
    decoder("name = os.path.join(os.environ['TMPDIR'], 'a')\nopen(name, 'w').write('temporary')\nraise OSError(5, open(name).read())")
    (folder / "bad.mkv").write_bytes(MATROSKA)
    (tmp_path / "temporary").mkdir()
    ((_key, result),) = worker_pool.hash_files([(1, str(folder / "bad.mkv"))], "pillow", [os.path.realpath(folder)],
                                               decoder_limits.Limits(), 1, str(tmp_path / "temporary"))
    assert isinstance(result, ImageError) and result.cause == os.strerror(5)
    assert not list((tmp_path / "temporary").iterdir())


@needs_seccomp
def test_a_decoder_cannot_open_a_socket(folder: Path, decoder: Callable[[str], None]) -> None:
    attempts = ["socket.socket()", "socket.socket(socket.AF_UNIX)", "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)", "socket.socketpair()"]
    assert attack_each(folder, decoder, attempts) == dict.fromkeys(attempts, os.strerror(errno.EPERM))


@needs_seccomp
def test_a_decoder_cannot_use_what_circumvents_the_sandbox(folder: Path, decoder: Callable[[str], None]) -> None:
    io_uring_setup, ptrace = 425, 101 if os.uname().machine == "x86_64" else 117
    attempts = [f"libc = ctypes.CDLL(None, use_errno=True)\nif libc.syscall({number}, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), '')"
                for number in (io_uring_setup, ptrace)]
    assert attack_each(folder, decoder, attempts) == dict.fromkeys(attempts, os.strerror(errno.EPERM))


@needs_landlock
def test_a_decoder_cannot_start_a_program(folder: Path, decoder: Callable[[str], None]) -> None:
    attempts = ["os.execv('/bin/sh', ['sh', '-c', 'exit 77'])", "subprocess.run(['/bin/sh', '-c', 'true'])"]
    assert attack_each(folder, decoder, attempts) == dict.fromkeys(attempts, os.strerror(errno.EACCES))


@needs_landlock
def test_a_decoder_cannot_start_a_program_that_it_has_written(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("name = os.path.join(os.environ['TMPDIR'], 'a')\nopen(name, 'wb').write(open('/bin/true', 'rb').read())\n"
            "os.chmod(name, 0o755)\nos.execv(name, [name])")
    assert attack(folder).cause == os.strerror(errno.EACCES)


@needs_landlock
def test_a_decoder_can_start_ffmpeg(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("raise OSError(5 + subprocess.run(['ffmpeg']).returncode, '')")
    assert attack(folder).cause == os.strerror(5)


@needs_landlock
@pytest.mark.skipif(HERE.landlock < sandbox.SCOPE_VERSION, reason="this kernel does not restrict signals")
def test_a_decoder_cannot_kill_the_run(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("os.kill(os.getppid(), 9)")
    assert attack(folder).cause == os.strerror(errno.EPERM)


@pytest.mark.skipif(not LINUX, reason="other systems do not limit address space")
def test_a_decoder_cannot_exhaust_memory(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("held = []\nwhile True: held.append(bytearray(1 << 24))")
    assert attack(folder, memory_bytes=1 << 30).kind == "too_large"


@pytest.mark.skipif(not LINUX, reason="the limit of other systems is not for good")
def test_a_decoder_cannot_raise_its_limits(folder: Path, decoder: Callable[[str], None]) -> None:
    decoder("import resource\n"
            "for which in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):\n"
            "    try: resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
            "    except (ValueError, OSError): continue\n"
            f"    os._exit({SUCCEEDED})\n"
            "raise OSError(5, '')")
    assert attack(folder).cause == os.strerror(5)


@pytest.mark.parametrize("attempt", ["time.sleep(600)", "while True: pass", "open(os.environ['FIFO'])"])
def test_a_decoder_that_hangs_is_ended(folder: Path, decoder: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, attempt: str) -> None:
    os.mkfifo(folder / "fifo")
    monkeypatch.setenv("FIFO", str(folder / "fifo"))
    decoder(attempt)
    assert attack(folder, seconds=5).kind == "timeout"  # and the good pictures take less, on a busy machine as well


FORGED = """import gc, sys
connection = next(o for o in gc.get_objects() if type(o).__name__ == 'Connection')
"""


@pytest.mark.parametrize(("forged", "kind"), [
    ("connection.progress = None\nos.write(connection.fileno(), b'\\0\\0\\1\\0partial'); time.sleep(600)", "timeout"),
    ("os.write(connection.fileno(), b'\\xff\\xff\\xff\\xff'); time.sleep(600)", "crashed"),
    ("data = b\"cposix\\nsystem\\n(S'true'\\ntR.\"\nos.write(connection.fileno(), len(data).to_bytes(4, 'big') + data); time.sleep(600)", "crashed"),
    ("import pickle\ndata = pickle.dumps([1, 2, 3])\nos.write(connection.fileno(), len(data).to_bytes(4, 'big') + data); time.sleep(600)", "crashed"),
], ids=["half an answer", "an endless answer", "a command", "something else"])
def test_an_answer_that_a_decoder_forges_costs_its_own_image(folder: Path, decoder: Callable[[str], None], forged: str, kind: str) -> None:
    decoder(FORGED + forged.replace("connection.progress = None\n", ""))
    assert attack(folder, seconds=5).kind == kind


def test_no_code_is_loaded_from_an_answer(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path}/executed",)

    import io

    with pytest.raises(pickle.UnpicklingError):
        worker_pool._Unpickler(io.BytesIO(pickle.dumps(Command()))).load()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", [difference_hash.Pixels, preview_maker.Preview, picture_edits.Edited, file_stamps.Stamp, worker_process.Failure])
def test_the_types_of_all_fields_of_an_answer_are_checked(kind: type[tuple[object, ...]]) -> None:
    assert set(worker_pool.annotations_of(kind)) <= worker_pool.FIELD_TYPES.keys()


def test_a_result_with_a_wrong_field_is_not_valid() -> None:
    stamp = file_stamps.Stamp(1, 1)
    good = difference_hash.Pixels(bytes(72), bytes(72), "pillow", stamp, 0.1)
    assert worker_pool._has_types(good)
    for bad in (good._replace(horizontal=bytes(71)), good._replace(stamp=(1, 1)), good._replace(seconds=float("nan")),  # type: ignore[arg-type]
                good._replace(stamp=stamp._replace(size="1"))):  # type: ignore[arg-type]
        assert not worker_pool._has_types(bad)


# Hostile files


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {secret}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("algorithm", ["pillow", "ffmpeg"])
def test_a_playlist_named_as_a_picture_is_not_followed(folder: Path, tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "secret.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        names = []
        for playlist, text in PLAYLISTS.items():
            for number, secret in enumerate((tmp_path / "secret.png", f"http://127.0.0.1:{port}/a.png")):
                names.append(f"{playlist}{number}.jpg")
                (folder / names[-1]).write_text(text.format(secret=secret, port=port), encoding="ascii")
        results = hash_files(folder, names, algorithm)
        assert {name: getattr(result, "kind", "hashed") for name, result in results.items()} == dict.fromkeys(names, "not_an_image")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_name_with_a_pattern_stands_for_itself(folder: Path) -> None:
    (folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    (folder / "%d.jpg").write_bytes(pictures.encode(pictures.colour((50, 50)), "PNG"))
    results = hash_files(folder, ["%d.png", "%d.jpg", "%03d.png"])
    assert [getattr(result, "kind", "hashed") for result in results.values()] == ["missing", "hashed", "missing"]


def test_an_address_is_not_opened(folder: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
        results = dict(worker_pool.hash_files([(1, address)], "pillow", [os.path.realpath(folder)], decoder_limits.Limits(), 1))
        assert getattr(results[1], "kind", "hashed") == "missing"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_link_out_of_the_media_is_outside(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    error = attack_with(folder, "link.png")
    assert error.kind == "outside_media_root" and str(tmp_path / "secret.png") in error.cause


def test_a_link_within_the_media_is_followed(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    (folder / "link.png").symlink_to("a/1.png")
    assert isinstance(hash_files(folder, ["link.png"])["link.png"], difference_hash.Pixels)


def test_a_media_root_that_is_a_link_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    (tmp_path / "link").symlink_to("media")
    assert isinstance(hash_files(tmp_path / "link", ["1.png"])["1.png"], difference_hash.Pixels)


@pytest.mark.parametrize("other", ["link", "fifo"])
def test_link_or_fifo_swapped_in_before_the_open_is_not_read(folder: Path, tmp_path: Path, other: str) -> None:
    """A file is checked after it has been opened, so there is no time in between: exchange the names as fast as possible."""
    (tmp_path / "secret.png").write_bytes(pictures.encode(pictures.colour((300, 300)), "PNG"))
    content = pictures.encode(pictures.colour((41, 40)), "PNG")
    (folder / "a.png").write_bytes(content)
    if other == "link":
        (folder / "other").symlink_to(tmp_path / "secret.png")
    else:
        os.mkfifo(folder / "other")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            os.rename(folder / "a.png", folder / "third")
            os.rename(folder / "other", folder / "a.png")
            os.rename(folder / "third", folder / "other")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        results = list(worker_pool.hash_files([(number, str(folder / "a.png")) for number in range(300)], "pillow",
                                              [os.path.realpath(folder)], decoder_limits.Limits(seconds=5), 1))
    finally:
        ended.set()
        swapper.join()
    assert len(results) == 300
    for _key, result in results:
        if isinstance(result, ImageError):
            assert result.kind in ("missing", "outside_media_root", "unreadable")
        else:
            assert result.stamp.size == len(content)


def bomb_png() -> bytes:
    return pictures.png((100_000, 100_000), 8, 0, [zlib.compress(bytes(1 << 20))])


def bomb_gif() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF0, 0, 0) + bytes(6) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2\x4c\1\0;"


def bomb_webp() -> bytes:
    vp8l = b"\x2f" + struct.pack("<I", 16383 | 16383 << 14) + bytes(60)
    chunk = b"VP8L" + struct.pack("<I", len(vp8l)) + vp8l + b"\0" * (len(vp8l) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def bomb_tiff() -> bytes:
    tags = [(256, 4, 1_000_000), (257, 4, 1_000_000), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, 1_000_000), (279, 4, 100)]
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags) + bytes(104)


@pytest.mark.parametrize(("name", "bomb"), [
    ("bomb.png", bomb_png), ("bomb.gif", bomb_gif), ("bomb.webp", bomb_webp), ("bomb.tiff", bomb_tiff)])
def test_a_bomb_is_an_error_of_its_own_image(folder: Path, name: str, bomb: Callable[[], bytes]) -> None:
    assert attack(folder, name, bomb()).kind in ("too_large", "truncated")


def test_an_avif_bomb_is_an_error_of_its_own_image(folder: Path) -> None:
    import io

    from PIL import Image, features

    if "avif" not in features.get_supported():
        pytest.skip("this Pillow has no AVIF decoder")
    bomb = io.BytesIO()
    Image.new("L", (400, 400)).save(bomb, "AVIF")
    assert attack(folder, "bomb.avif", bomb.getvalue(), pixels=10_000).kind == "too_large"


# Who decodes, and what is reported


def test_the_result_says_what_was_in_force(folder: Path, confinements: list[sandbox.Confinement]) -> None:
    assert worker_pool.sandbox_in_force() is None
    (folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    hash_files(folder, ["1.png"])
    (seen,) = confinements
    assert set(seen.in_force) | {token for token, _reason in seen.missing} == set(sandbox.TOKENS)
    assert (sandbox.LANDLOCK in seen.in_force) == (seen.landlock > 0) == (HERE.landlock > 0)
    shown = worker_pool.sandbox_in_force()
    assert shown is not None and shown["text"] == sandbox.text(seen) and shown["uid"] == seen.uid == os.geteuid()


@needs_landlock
@needs_seccomp
def test_the_text_has_versions_and_users() -> None:
    confinement = sandbox.Confinement(("landlock", "no_new_privs", "unprivileged_user"), (), 7, 65534)
    assert sandbox.text(confinement) == "landlock 7, no_new_privs, uid 65534"
    assert sandbox.text(sandbox.Confinement((), (), 0, 0)) == "none"


def test_the_weakest_of_several_workers_counts() -> None:
    strong = sandbox.Confinement(sandbox.TOKENS, (), 7, 65534)
    weak = sandbox.Confinement(sandbox.TOKENS[:4], (("unprivileged_user", "why"), ("resource_limits", "else")), 4, 0)
    assert sandbox.weakest([strong, weak]) == weak == sandbox.weakest([weak, strong])
    assert sandbox.weakest([]) is None


@needs_root
def test_workers_of_root_decode_as_another_user(public_folder: Path, confinements: list[sandbox.Confinement]) -> None:
    """Run with the Python of the system, or any that the other user can read; else the worker says why it stays root."""
    (public_folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    (public_folder / "1.png").chmod(0o644)
    assert isinstance(hash_files(public_folder, ["1.png"], user="nobody")["1.png"], difference_hash.Pixels)
    (seen,) = confinements
    if seen.uid == 0:
        (reason,) = (reason for token, reason in seen.missing if token == sandbox.UNPRIVILEGED_USER)
        assert reason.startswith("the user nobody cannot read")
        assert sandbox.NO_CAPABILITIES in seen.in_force
    else:
        assert seen.uid == pwd.getpwnam("nobody").pw_uid and seen.in_force[3:5] == ("no_capabilities", "unprivileged_user")


@needs_root
def test_workers_stay_root_if_only_root_can_reach_python(
        public_folder: Path, confinements: list[sandbox.Confinement], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what a decoder imports at need is not found, such as numpy or an encoding."""
    (public_folder / "private" / "lib").mkdir(parents=True)
    (public_folder / "private").chmod(0o700)
    (public_folder / "private" / "lib" / "os.py").write_bytes(b"")
    monkeypatch.setattr(os, "__file__", str(public_folder / "private" / "lib" / "os.py"))
    (public_folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    assert isinstance(hash_files(public_folder, ["1.png"], user="nobody")["1.png"], difference_hash.Pixels)
    (seen,) = confinements
    assert (seen.uid, dict(seen.missing)[sandbox.UNPRIVILEGED_USER]) == (0, f"the user nobody cannot read {os.__file__}")


@needs_root
def test_another_user_has_no_groups_and_no_capabilities() -> None:
    user = pwd.getpwnam("nobody")
    plan = sandbox.make_plan((), decoder_limits.Limits())._replace(user=(user.pw_uid, user.pw_gid))

    def look() -> str:
        sandbox.apply(plan)
        return json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), sandbox._capabilities()])

    assert json.loads(sandbox._in_child(look)) == [[user.pw_uid] * 3, [user.pw_gid] * 3, [], [0, 0]]


@needs_root
def test_an_image_that_only_root_can_read_is_hashed(
        public_folder: Path, confinements: list[sandbox.Confinement], monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwnam("nobody")
    make_plan = sandbox.make_plan
    monkeypatch.setattr(sandbox, "make_plan", lambda *arguments: make_plan(*arguments)._replace(user=(user.pw_uid, user.pw_gid)))
    for name, mode in (("1.png", 0o644), ("2.png", 0o600), ("3.png", 0o644)):
        (public_folder / name).write_bytes(pictures.encode(pictures.colour(), "PNG"))
        (public_folder / name).chmod(mode)
    os.chown(public_folder / "2.png", 12345, 12345)
    results = hash_files(public_folder, ["1.png", "2.png", "3.png"])
    assert all(isinstance(result, difference_hash.Pixels) for result in results.values())
    assert [each.uid for each in confinements] == [user.pw_uid, 0]
    shown = worker_pool.sandbox_in_force()
    assert shown is not None and shown["uid"] == 0
    assert {"id": "no_capabilities", "reason": "one capability is kept to read the images of other users"} in shown["missing"]


@needs_root
@pytest.mark.parametrize(("name", "reason"), [("no-such-user", "does not exist"), ("root", "is root"), ("", "dhash_worker_user is empty")])
def test_a_user_that_cannot_be_used_is_named(name: str, reason: str) -> None:
    confinement = sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits(worker_user=name)))
    assert reason in dict(confinement.missing)[sandbox.UNPRIVILEGED_USER]


# Hosts without all of it


@pytest.mark.skipif(not LINUX, reason="only Linux has Landlock")
@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSYS, "the kernel does not have it"), (errno.EOPNOTSUPP, "the kernel does not have it"),
                                                (errno.EPERM, "Operation not permitted")])
def test_sandbox_without_landlock_keeps_the_rest_and_says_why(monkeypatch: pytest.MonkeyPatch, number: int, reason: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    class WithoutLandlock:
        def __getattr__(self, name: str) -> object:
            return getattr(libc, name)

        def syscall(self, call: int, *arguments: object) -> int:
            if call == sandbox.CREATE_RULESET:
                ctypes.set_errno(number)
                return -1
            return int(libc.syscall(call, *arguments))

    monkeypatch.setattr(sandbox, "_LIBC", WithoutLandlock())
    confinement = sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits()))
    assert reason in dict(confinement.missing)[sandbox.LANDLOCK] and confinement.landlock == 0
    assert set(HERE.in_force) - set(confinement.in_force) <= {sandbox.LANDLOCK}
    with pytest.raises(MissingRequirementError, match=r"missing: landlock \("):
        sandbox.require(decoder_limits.Limits(require_sandbox=True))
    sandbox.require(decoder_limits.Limits())


def test_another_system_has_the_limits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_LIBC", None)
    confinement = sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits()))
    assert sandbox.RESOURCE_LIMITS in confinement.in_force
    assert {token for token, reason in confinement.missing if reason == sandbox.ONLY_LINUX} == {
        "landlock", "no_new_privs", "seccomp", "no_capabilities"}


@pytest.mark.skipif(not LINUX, reason="only Linux has a filter")
def test_another_processor_has_no_filter_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "ARCHITECTURES", {})
    assert "there is no filter for" in dict(sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits())).missing)[sandbox.SECCOMP]


@needs_landlock
def test_with_several_threads_landlock_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_threads", lambda: ["1", "2"])
    assert dict(sandbox.try_out(sandbox.make_plan((), decoder_limits.Limits())).missing)[sandbox.LANDLOCK] == "the process has several threads"


def test_run_that_requires_the_sandbox_hashes_nothing_without_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_plan = sandbox.make_plan
    monkeypatch.setattr(sandbox, "make_plan", lambda *arguments: make_plan(*arguments)._replace(memory_bytes=1 << 70))
    (folder / "1.png").write_bytes(pictures.encode(pictures.colour(), "PNG"))
    assert isinstance(hash_files(folder, ["1.png"])["1.png"], difference_hash.Pixels)
    with pytest.raises(MissingRequirementError, match="resource_limits"):
        hash_files(folder, ["1.png"], require_sandbox=True)


@pytest.mark.skipif(not LINUX, reason="other systems do not count so")
def test_the_limit_on_processes_counts_those_that_the_user_has() -> None:
    tasks = sandbox._tasks_of(os.getuid())
    assert 1 <= tasks < 100_000
    plan = sandbox.make_plan((), decoder_limits.Limits(), parallel=2)
    assert plan.tasks > 0

    def look() -> str:
        sandbox.apply(plan)
        return str(resource.getrlimit(resource.RLIMIT_NPROC)[0])

    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    expected = plan.tasks + sandbox.PROCESSES + 2 * sandbox.PROCESSES_OF_A_WORKER
    if hard == resource.RLIM_INFINITY or hard > expected:
        assert int(sandbox._in_child(look)) in (expected, soft)


def test_a_child_that_dies_gives_no_answer() -> None:
    assert sandbox._in_child(lambda: "") == ""
    assert sandbox._in_child(lambda: os._exit(3)) == sandbox.NO_ANSWER
    assert sandbox._in_child(lambda: str(1 // 0)) == sandbox.NO_ANSWER


def test_the_loader_of_a_program_is_found(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n")
    assert sandbox._loader_of(str(tmp_path / "script")) is None
    assert sandbox._executable(None) == ()
    if LINUX and Path("/bin/true").read_bytes().startswith(b"\x7fELF\2\1"):
        loader = sandbox._loader_of(os.path.realpath("/bin/true"))
        assert loader is not None and stat.S_ISREG(os.stat(loader).st_mode)


def test_errors_of_the_sandbox_are_refusals() -> None:
    assert issubclass(MissingRequirementError, _errors.RefusedError)
