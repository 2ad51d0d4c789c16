# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pictures
import PIL
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import file_stamps
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    decoder_limits,
    decoder_versions,
    difference_hash,
    ffmpeg_decoder,
    image_decoder,
    image_formats,
    pillow_decoder,
    pyav_decoder,
)
from conftest import present
from PIL import Image

GOLDEN = Path(__file__).parents[3] / "golden"
HASHES = json.loads((GOLDEN / "hashes.json").read_text(encoding="utf-8"))
VECTORS = pictures.vectors()
COLLECTIONS = Path(__file__).resolve().parents[5] / ".ansible" / "collections"
MATROSKA = b"\x1a\x45\xdf\xa3" + bytes(100)

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the FFmpeg program")


def read(path: Path | str, algorithm: str = "pillow", roots: Sequence[Path | str] | None = None, **limits: Any) -> difference_hash.Pixels:
    real = [os.path.realpath(root) for root in ([os.path.dirname(path)] if roots is None else roots)]
    return image_decoder.read_pixels(str(path), algorithm, real, decoder_limits.Limits(**limits))


def refused(path: Path | str, *arguments: Any, **options: Any) -> ImageError:
    """The ImageError of an image, which is the same when it is asked for again."""
    with pytest.raises(ImageError) as first:
        read(path, *arguments, **options)
    with pytest.raises(ImageError) as again:
        read(path, *arguments, **options)
    assert str(first.value) == str(again.value)
    assert "0x" not in str(first.value)
    return first.value


def ffmpeg(*arguments: object) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True, timeout=60,
                          stdout=subprocess.PIPE).stdout


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file, and give its path."""
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name
    return write


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the FFmpeg program's place."""
    def write(script: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return write


# The pixels


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_golden_file_has_the_hash_that_it_has_on_every_host(name: str) -> None:
    horizontal, vertical, _flat = difference_hash.hash_pixels([read(GOLDEN / "files" / name)])[0]
    assert [horizontal, vertical] == HASHES[name]


@pytest.mark.parametrize(("name", "vector"), sorted(VECTORS.items()))
def test_a_golden_file_is_seen_as_it_was_drawn(name: str, vector: pictures.Vector) -> None:
    pixels = read(GOLDEN / "files" / name)
    seen = pixels.horizontal + pixels.vertical
    drawn = pillow_decoder._scaled(vector.luma, 9, 8) + pillow_decoder._scaled(vector.luma, 8, 9)
    assert max(abs(one - other) for one, other in zip(seen, drawn)) <= (10 if vector.lossy else 0)


def test_there_is_a_golden_file_for_every_picture_that_is_drawn() -> None:
    assert set(HASHES) == set(VECTORS) == {path.name for path in (GOLDEN / "files").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["/usr/bin/python3", sys.executable])
def test_the_golden_files_are_checked_on_a_host_without_pytest(python: str) -> None:
    if subprocess.run([python, "-c", "import PIL, numpy"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip(f"{python} has no Pillow and numpy")
    check = subprocess.run([python, GOLDEN / "check.py", COLLECTIONS], stdout=subprocess.PIPE, text=True, check=False)
    assert check.stdout.splitlines()[-1].endswith(" vectors, 0 differ"), check.stdout
    assert check.returncode == 0


def test_check_of_the_golden_files_fails_if_a_hash_differs(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "golden")
    hashes = {**HASHES, "rgb.png": ["0" * 16, "0" * 16]}
    (tmp_path / "golden" / "hashes.json").write_text(json.dumps(hashes), encoding="utf-8")
    check = subprocess.run([sys.executable, tmp_path / "golden" / "check.py", COLLECTIONS], stdout=subprocess.PIPE,
                           text=True, check=False)
    assert check.returncode == 1 and f"{len(HASHES)} vectors, 1 differ" in check.stdout


def test_what_was_read_is_told_with_the_pixels(put: Callable[[str, bytes], Path]) -> None:
    path = put("a.png", pictures.encode(pictures.colour(), "PNG"))
    pixels = read(path)
    assert (len(pixels.horizontal), len(pixels.vertical), pixels.decoder) == (72, 72, "pillow")
    assert pixels.stamp == file_stamps.stamp_of(path.stat())
    assert 0 < pixels.seconds < 30


def test_the_name_of_a_file_says_nothing_about_its_format(put: Callable[[str, bytes], Path]) -> None:
    content = pictures.encode(pictures.colour(), "PNG")
    assert read(put("a.jpg", content)).horizontal == read(put("a", content)).horizontal


def test_decoding_needs_no_numpy(put: Callable[[str, bytes], Path]) -> None:
    path = put("a.png", pictures.encode(pictures.colour(), "PNG"))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, image_decoder, worker_pool\n"
        "image_decoder.read_pixels(sys.argv[2], 'pillow', ['/'], decoder_limits.Limits())\n"
        "assert 'PIL' in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, COLLECTIONS, path], check=True)


# Where a file lies, and what it is


def test_a_file_that_does_not_exist_is_missing(tmp_path: Path, put: Callable[[str, bytes], Path]) -> None:
    put("file", b"x")
    for path in (tmp_path / "none.jpg", tmp_path / "file" / "below.jpg", tmp_path / ("long" * 100)):
        assert refused(path, roots=[tmp_path]).kind == "missing"


@pytest.mark.parametrize("name", ["nul\0.jpg", "\ud800.jpg"])
def test_a_name_that_no_file_can_have_is_missing(tmp_path: Path, name: str) -> None:
    assert refused(f"{tmp_path}/{name}", roots=[tmp_path]).kind == "missing"


def test_a_name_that_is_no_unicode_is_opened(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    with open(path, "wb") as file:
        file.write(pictures.encode(pictures.colour(), "PNG"))
    assert read(os.fsdecode(path)).decoder == "pillow"


def test_special_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.jpg"))
        errors = {name: refused(tmp_path / name) for name in ("pipe.jpg", "folder.jpg", "socket.jpg")}
    errors["device"] = refused("/dev/null", roots=["/dev"])
    assert {error.kind for error in errors.values()} == {"unreadable"}
    for name, words in (("pipe.jpg", "named pipe"), ("folder.jpg", "folder"), ("socket.jpg", "socket"), ("device", "device")):
        assert words in errors[name].cause


def test_a_file_without_permission_is_unreadable(put: Callable[[str, bytes], Path], as_nobody: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    path = put("a.png", b"x")
    path.chmod(0)
    with as_nobody():
        error = refused(path)
    assert (error.kind, error.cause) == ("unreadable", "Permission denied") and "become" in str(error.next_step)


def test_a_circle_of_links_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    assert refused(tmp_path / "a.jpg").kind == "unreadable"


def test_a_link_that_leads_out_of_the_media_roots_is_refused(tmp_path: Path, put: Callable[[str, bytes], Path]) -> None:
    picture = put("secret.png", pictures.encode(pictures.colour(), "PNG"))
    root, neighbour = tmp_path / "media", tmp_path / "media2"
    root.mkdir()
    neighbour.mkdir()
    (root / "link.png").symlink_to(picture)
    (root / "folder").symlink_to(tmp_path)
    shutil.copy(picture, neighbour / "a.png")
    for path in (root / "link.png", root / "folder" / "secret.png", root / ".." / "secret.png", neighbour / "a.png"):
        assert refused(path, roots=[root]).kind == "outside_media_root"
    assert read(root / "link.png", roots=[root, tmp_path]).decoder == "pillow"
    assert read(root / "link.png", roots=["/"]).decoder == "pillow"


def test_a_pipe_outside_the_media_roots_tells_nothing_but_that(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "media" / "a.jpg").symlink_to(tmp_path / "pipe")
    assert refused(tmp_path / "media" / "a.jpg").kind == "outside_media_root"


# Damaged, hostile and foreign files


def test_a_file_without_bytes_is_truncated(put: Callable[[str, bytes], Path]) -> None:
    error = refused(put("a.jpg", b""))
    assert (error.kind, error.cause) == ("truncated", "the file is empty")


def test_web_page_or_noise_named_as_an_image_is_not_an_image(put: Callable[[str, bytes], Path]) -> None:
    noise = random.Random(7)
    for name, content in (("a.jpg", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"), ("a.gif", b"GIF"),
                          ("a.png", noise.randbytes(4096)), ("a.bmp", b"BM, or so it says: text"),
                          ("a.tga", bytes(18) + b"x" * 300), ("a.jpg", b"\0"),
                          ("a.jpg", b"P3 is the third prize"), ("a.mov", b"The free encyclopedia")):
        assert refused(put(name, content)).kind == "not_an_image"


@pytest.mark.parametrize("content", [
    b"ffconcat version 1.0\nfile 'secret.png'\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.png\n#EXT-X-ENDLIST\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    b'<?xml version="1.0"?><MPD><Period><BaseURL>secret.png</BaseURL></Period></MPD>',
])
@pytest.mark.parametrize("algorithm", ["pillow", "ffmpeg"])
def test_a_text_that_names_other_files_is_never_given_to_ffmpeg(
        put: Callable[[str, bytes], Path], program: Callable[[str], None], tmp_path: Path, content: bytes, algorithm: str) -> None:
    program(f"touch {tmp_path}/started")
    assert refused(put("list.jpg", content), algorithm).kind == "not_an_image"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(("content", "name"), [
    (b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="http://www.w3.org/2000/svg"><image href="secret.png"/></svg>', "SVG"),
    (gzip.compress(b'<svg xmlns="http://www.w3.org/2000/svg"/>', mtime=0), "SVG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS or PostScript"), (b"\xc5\xd0\xd3\xc6" + bytes(60), "EPS or PostScript"),
    (b"%PDF-1.7\n", "PDF"), (b"\xd7\xcd\xc6\x9a" + bytes(60), "WMF"), (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60), "EMF"),
    (b"RIFF\0\0\0\0ACON", "ANI"), (b"BPG\xfb", "BPG"), (b"BUFR\0", "BUFR"), (b"AT&TFORM\0\0\0\0DJVU", "DjVu"), (b"FLIF", "FLIF"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"FORM\0\0\0\0ILBM", "IFF"), (b"\x1c\2\0\0\5", "IPTC"), (b"II\xbc\1", "JPEG XR"),
    (b"\xabKTX 11\xbb\r\n\x1a\n", "KTX"), (b"gimp xcf v011\0", "GIMP image"), (bytes(128) + b"DICM", "DICOM"), (b"GRIB\0\0\xae\1", "GRIB"),
    (b"FORM\0\0\0\0RGB8", "IFF"), (b"FOR4\0\0\0\0CIMG", "IFF"), (b"CAT \0\0\0\0ILBM", "IFF"), (b"\x53\x80\xf6\x34@mp\xa4", "Softimage PIC"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"), (b"\x8bJNG\r\n\x1a\n", "JNG"), (b"\x97JB2\r\n\x1a\n", "JBIG2"), (b"\xd7\x5f\x2a\x80", "Cineon"),
    (b"PK\3\4" + bytes(26) + b"mimetypeimage/openraster", "OpenRaster"), (b"PK\3\4" + bytes(26) + b"mimetypeapplication/x-krita", "Krita"),
    (b"Paint Shop Pro Image File\n\x1a\0", "Paint Shop Pro"), (b"id=ImageMagick  version=1.0", "MIFF"), (b"farbfeld", "Farbfeld"),
    (b"VTF\0\7\0\0\0", "VTF"), (b"PVR\3\0\0\0\0", "PVR"), (b"\x13\xab\xa1\x5c", "ASTC"), (b"LBLSIZE=1024", "VICAR"),
    (b"\xffWPC\x10\0\0\0\1\x16", "WPG"), (b"RIFF\0\0\0\0CDR9", "CorelDRAW"), (bytes(522) + b"\0\x11\2\xff\x0c\0", "PICT"),
    (b"II\x1a\0\0\0HEAPCCDR", "CRW"),
])
@pytest.mark.parametrize("algorithm", ["pillow", "ffmpeg"])
def test_format_that_starts_programs_or_follows_links_is_refused(
        put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, content: bytes, name: str, algorithm: str) -> None:
    def tried(*_arguments: object, **_options: object) -> NoReturn:
        raise AssertionError("a decoder was tried")

    for module, function in ((Image, "open"), (subprocess, "run"), (subprocess, "Popen")):
        monkeypatch.setattr(module, function, tried)
    error = refused(put("a.jpg", content), algorithm)
    assert error.kind == "unsupported" and error.cause.startswith(f"{name} is not decoded: ") and "Convert" in str(error.next_step)


@pytest.mark.parametrize("content", [
    b"<html><body><svg></svg></body></html>",
    gzip.compress(b"<html><svg></svg></html>", mtime=0), gzip.compress(b"a log", mtime=0)[:20], b"\x1f\x8b\x08 no gzip",
    bytes(4096), b"\xff" * 4096, b"Image type of a mail: none\n\n", b"\0\1\0\0\0\x0f\0\x80\0\3\0\x70GDEF" + bytes(80), b"Name: a\nVersion: 1\n",
])
def test_lookalike_of_a_format_without_signature_is_not_an_image(put: Callable[[str, bytes], Path], content: bytes) -> None:
    assert refused(put("a.tga", content)).kind == "not_an_image"


@pytest.mark.parametrize("start", [b"<!---->", b"<?a?>", b" ", b"<!DOCTYPE svg[]>", b"*a\n", b"#define a_width 1 ", b"/*", b"Name: "])
def test_a_file_that_goes_on_like_a_header_is_identified_at_once(start: bytes) -> None:
    started = time.process_time()
    image_formats.identify((start * 4096)[:4096])
    assert time.process_time() - started < 0.5


def test_icon_of_too_many_pixels_is_too_large_before_decoding(put: Callable[[str, bytes], Path]) -> None:
    bomb = pictures.png((60_000, 60_000), 8, 0, [bytes(100)])
    icon = struct.pack("<HHH4BHHLL", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(bomb), 22) + bomb
    assert refused(put("bomb.ico", icon)).kind == "too_large"


def test_format_missing_from_this_pillow_names_the_update(
        put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(Image.OPEN, "TGA")
    error = refused(put("a.tga", pictures.encode(pictures.colour(), "TGA")))
    assert error.kind == "unsupported" and "TGA" in error.cause and "Update Pillow" in str(error.next_step)


def test_only_the_plugin_of_the_format_is_tried(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def guess(*_arguments: object, **_options: object) -> NoReturn:
        raise AssertionError("Pillow was asked to guess the format")

    monkeypatch.setattr(Image, "open", guess)
    for name in sorted(HASHES):
        read(GOLDEN / "files" / name)


def test_run_lengths_are_decoded_by_ffmpeg_or_else_by_pillow(
        put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    im = pictures.grey(pictures.LARGE)
    monkeypatch.setenv("PATH", str(tmp_path))
    pixels = read(put("a.bmp", pictures.run_length_bmp(im)))
    assert pixels.decoder == "pillow" and pixels.horizontal == pillow_decoder._scaled(im, 9, 8)


@needs_ffmpeg
def test_a_text_is_not_followed_where_it_is_forced_on_ffmpeg(put: Callable[[str, bytes], Path]) -> None:
    """What holds where a signature should lie: the demuxer and the protocol are fixed."""
    put("secret.png", pictures.encode(pictures.colour(), "PNG"))
    for name, content in (("list.mkv", b"ffconcat version 1.0\nfile 'secret.png'\n"), ("list.avi", b"#EXTM3U\nsecret.png\n")):
        with open(put(name, content), "rb") as file, pytest.raises(ImageError) as error:
            ffmpeg_decoder.frame_as_png(file.fileno(), present(image_formats.identify(MATROSKA)), 0, 10**6, time.monotonic() + 30)
        assert error.value.kind == "damaged"


@pytest.mark.parametrize(("name", "length"), [
    ("rgb.jpg", 20), ("rgb.jpg", 400), ("rgb.jpg", 3000), ("rgb.png", 30), ("rgb.png", 200), ("indexed.gif", 20),
    ("indexed.gif", 300), ("lossy.webp", 40), ("rgb.bmp", 40), ("rgb.tif", 100), ("turned_1.tif", 200), ("raw.ppm.bin", 50),
    ("alpha.webp", 100),
])
def test_a_file_that_is_cut_off_is_truncated(put: Callable[[str, bytes], Path], name: str, length: int) -> None:
    assert refused(put(name, (GOLDEN / "files" / name).read_bytes()[:length])).kind == "truncated"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rgb.png", "indexed.gif", "rgb.tif", "rgb.bmp", "lossy.webp", "rgb.jpg"])
def test_no_damage_to_a_file_does_more_than_spoil_its_hash(put: Callable[[str, bytes], Path], name: str) -> None:
    noise = random.Random(name)
    content = (GOLDEN / "files" / name).read_bytes()
    for _attempt in range(60):
        damaged = bytearray(content)
        for _byte in range(noise.randrange(1, 8)):
            damaged[noise.randrange(min(len(damaged), 400))] = noise.randrange(256)
        try:
            assert len(read(put(name, bytes(damaged)), pixels=10**6).horizontal) == 72
        except ImageError as error:
            assert error.kind in ("truncated", "damaged", "not_an_image", "too_large", "unsupported"), error


def test_a_decoder_that_closes_its_file_leaves_it_to_the_others(put: Callable[[str, bytes], Path]) -> None:
    """Pillow closes a FTEX when it opens it."""
    content = b"FTEX" + struct.pack("<iiiiiiii", 1, *pictures.SMALL, 1, 1, 1, 32, 4 * 48 * 40) + pictures.colour().tobytes()
    assert read(put("a.ftu", content)).decoder == "pillow"
    assert refused(put("b.ftu", content[:200])).kind == "truncated"


def test_a_file_of_more_bytes_than_allowed_is_too_large(put: Callable[[str, bytes], Path]) -> None:
    assert refused(put("a.png", pictures.encode(pictures.colour(), "PNG")), file_bytes=100).kind == "too_large"


def test_image_of_too_many_pixels_is_too_large_before_decoding(put: Callable[[str, bytes], Path]) -> None:
    bomb = pictures.png((60_000, 60_000), 8, 0, [bytes(100)])
    assert refused(put("bomb.png", bomb)).kind == "too_large"


def test_of_a_jpeg_those_pixels_are_counted_that_are_decoded(put: Callable[[str, bytes], Path]) -> None:
    im = Image.new("RGB", (1600, 1200))
    assert read(put("a.jpg", pictures.encode(im, "JPEG")), pixels=100_000).decoder == "pillow"
    assert refused(put("a.jpg", pictures.encode(im, "JPEG", progressive=True)), pixels=100_000).kind == "too_large"


def test_a_turned_jpeg_is_decoded_as_small_as_an_upright_one(put: Callable[[str, bytes], Path]) -> None:
    for orientation in range(1, 9):
        stored = Image.new("RGB", (270, 300) if orientation >= 5 else (300, 270))
        path = put("a.jpg", pictures.encode(stored, "JPEG", exif=pictures.exif(orientation)))
        assert read(path, pixels=68 * 75).decoder == "pillow"  # a quarter of its size; 72 x 64 would not fit in an eighth


def test_image_that_needs_more_memory_than_there_is_is_too_large(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_arguments: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(pillow_decoder, "_upright_luma", exhaust)
    assert refused(put("a.png", pictures.encode(pictures.colour(), "PNG"))).kind == "too_large"


def test_disk_error_is_not_taken_for_a_damaged_image(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pillow_decoder, "_upright_luma", fail)
    error = refused(put("a.png", pictures.encode(pictures.colour(), "PNG")))
    assert (error.kind, error.cause) == ("unreadable", "Input/output error")


def test_a_python_without_pillow_is_told_as_such(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_decoder, "IMPORT_ERROR", ImportError("No module named 'PIL'"))
    with pytest.raises(MissingRequirementError, match=r"Pillow is needed for hashing.*No module named 'PIL'.*python3-pil"):
        read(put("a.png", pictures.encode(pictures.colour(), "PNG")))


@pytest.mark.parametrize("damage", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"nonsense"])
def test_damaged_exif_data_turn_nothing(put: Callable[[str, bytes], Path], damage: bytes) -> None:
    jpeg = pictures.encode(pictures.colour(), "JPEG", exif=b"Exif\0\0" + damage)
    assert read(put("a.jpg", jpeg)).horizontal == read(put("b.jpg", pictures.encode(pictures.colour(), "JPEG"))).horizontal


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(put: Callable[[str, bytes], Path], orientation: int) -> None:
    jpeg = pictures.encode(pictures.colour(), "JPEG", exif=pictures.exif(orientation))
    assert read(put("a.jpg", jpeg)).horizontal == read(put("b.jpg", pictures.encode(pictures.colour(), "JPEG"))).horizontal


# FFmpeg


PLAIN = ["-f", "rawvideo", "-"]
STILLS = [*(f"turned_{orientation}.jpg" for orientation in range(1, 9)), "turned_6.png", "turned_6.webp", "turned_6.tif",
          "rgb.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg", "two_pictures.mpo", "rgb.png", "rgba.png", "indexed_key.png",
          "grey_16_bits.png", "animated.png", "animated.gif", "corner.gif", "lossy.webp", "alpha.webp", "rgb.bmp", "rgb.tif",
          "raw.pbm", "raw.pgm.bin", "raw.ppm.bin"]


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("name", STILLS)
def test_algorithm_ffmpeg_has_the_pixels_of_the_plain_command(name: str) -> None:
    path = GOLDEN / "files" / name
    pixels = read(path, "ffmpeg")
    assert pixels.horizontal == ffmpeg("-i", path, "-vf", "scale=9:8:flags=bicubic,format=gray", *PLAIN)[:72]
    assert pixels.vertical == ffmpeg("-i", path, "-vf", "scale=8:9:flags=bicubic,format=gray", *PLAIN)[:72]
    assert pixels.decoder == "ffmpeg"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    black, picture = "color=black:s=160x120:r=25:d=1.2", "testsrc2=s=160x120:r=25:d=1"
    late = ["-f", "lavfi", "-i", black, "-f", "lavfi", "-i", picture, "-filter_complex", "[0][1]concat"]
    ffmpeg(*late, "-c:v", "mpeg4", "-q:v", 2, folder / "late.mp4")
    ffmpeg(*late, "-c:v", "mpeg4", "-q:v", 2, folder / "late.mkv")
    ffmpeg(*late, "-c:v", "mpeg4", "-q:v", 2, folder / "late.avi")
    ffmpeg(*late, "-c:v", "mpeg2video", "-q:v", 2, folder / "late.ts")
    late[-1] += ",setpts='if(gte(N,30),N+100,N)/25/TB'"  # four seconds without a frame before the picture comes
    ffmpeg(*late, "-vsync", "vfr", "-c:v", "mpeg4", "-q:v", 2, folder / "gap.mkv")
    ffmpeg("-f", "lavfi", "-i", black, "-c:v", "mpeg4", folder / "black.mp4")
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "mpeg4", "-q:v", 2, folder / "bright.mp4")
    return folder


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.avi", "late.ts", "gap.mkv"])
def test_of_a_video_the_first_frame_that_is_not_black_is_hashed(videos: Path, name: str) -> None:
    shown = read(videos / "bright.mp4")
    assert not ffmpeg_decoder.is_black(shown.horizontal)
    pixels = read(videos / name)
    assert pixels.decoder == "ffmpeg"
    assert max(abs(one - other) for one, other in zip(pixels.horizontal, shown.horizontal)) < 12


@needs_ffmpeg
def test_algorithm_ffmpeg_uses_the_first_non_black_frame_twice(videos: Path) -> None:
    pixels = read(videos / "late.mp4", "ffmpeg")
    for side, scale in ((pixels.horizontal, "9:8"), (pixels.vertical, "8:9")):
        printed = ffmpeg("-i", videos / "late.mp4", "-vf", f"scale={scale}:flags=bicubic,format=gray", *PLAIN)
        frames = [printed[start:start + 72] for start in range(0, len(printed), 72)]
        assert side == next(frame for frame in frames if not ffmpeg_decoder.is_black(frame)) != frames[0]


@needs_ffmpeg
@pytest.mark.parametrize("algorithm", ["pillow", "ffmpeg"])
def test_of_a_video_that_is_all_black_the_first_frame_is_hashed(videos: Path, algorithm: str) -> None:
    assert ffmpeg_decoder.is_black(read(videos / "black.mp4", algorithm).horizontal)


@needs_ffmpeg
def test_what_pillow_cannot_open_is_opened_by_ffmpeg(put: Callable[[str, bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    im = pictures.colour(pictures.LARGE)
    drawn = pillow_decoder._scaled(im.convert("L"), 9, 8)
    run_lengths = put("a.bmp", pictures.run_length_bmp(im.convert("L")))
    assert (read(run_lengths).horizontal, read(run_lengths).decoder) == (drawn, "ffmpeg")
    files = [put("a.avif", pictures.encode(im, "AVIF", quality=90))]
    monkeypatch.setattr(pillow_decoder, "can_open", lambda format_, head: False)
    monkeypatch.setattr(pyav_decoder, "can_decode", lambda format_: False)
    if b"libjxl" in ffmpeg("-hide_banner", "-encoders"):
        files.append(tmp_path / "a.jxl")
        ffmpeg("-i", put("a.png", pictures.encode(im, "PNG")), "-c:v", "libjxl", files[-1])
    for path in files:
        pixels = read(path)
        assert pixels.decoder == "ffmpeg"
        assert max(abs(one - other) for one, other in zip(pixels.horizontal, drawn)) < 10


@needs_ffmpeg
def test_pcx_with_unusual_padding_is_decoded_by_ffmpeg(put: Callable[[str, bytes], Path]) -> None:
    header = bytearray((GOLDEN / "files" / "bilevel.pcx").read_bytes()[:128])
    header[66] += 2  # bytes of a line
    lines = bytes(header) + (bytes([0xC0 | header[66], 0xFF]) * (pictures.SMALL[1] // 2) + bytes([0xC0 | header[66], 0]) * (pictures.SMALL[1] // 2))
    pixels = read(put("a.pcx", lines))
    assert (pixels.decoder, max(pixels.horizontal[:9]), min(pixels.horizontal[-9:])) == ("ffmpeg", 255, 0)
    assert refused(put("b.pcx", lines[:-2])).kind in ("truncated", "damaged")


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.ogg", "a.mka"])
def test_sound_without_a_picture_is_not_an_image(tmp_path: Path, name: str) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / name)
    for algorithm in ("pillow", "ffmpeg"):
        error = refused(tmp_path / name, algorithm)
        assert error.kind == "not_an_image" and "sound" in error.cause


@needs_ffmpeg
@pytest.mark.parametrize("is_raw", [True, False])
def test_white_is_white_in_a_jpeg_2000_with_16_bits(put: Callable[[str, bytes], Path], tmp_path: Path, is_raw: bool) -> None:
    drawn = pictures.colour().point([min(2 * level, 255) for level in range(256)] * 3)
    png = put("a.png", pictures.encode(drawn, "PNG"))
    ffmpeg("-i", png, "-pix_fmt", "rgb48", "-c:v", "jpeg2000", "-layer_rates", 1, "-format", 0 if is_raw else 1, "-f", "image2", tmp_path / "a.jp2")
    pixels = read(tmp_path / "a.jp2")
    assert pixels.decoder == "ffmpeg"
    assert max(abs(one - other) for one, other in zip(pixels.horizontal, read(png).horizontal)) < 10


def test_palette_with_clear_colours_is_shown_over_white(put: Callable[[str, bytes], Path]) -> None:
    header = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 256, 32, 0, 0, *pictures.SMALL, 8, 0x20)
    palettes = [bytes(level for index in range(256) for level in (index, index, index, opaque[index])) for opaque in ([0] * 100 + [255] * 156, [0] * 256)]
    clear, unused = (put(f"{number}.tga", header + palette + pictures.grey().tobytes()) for number, palette in enumerate(palettes))
    if int(PIL.__version__.split(".")[0]) < 13:
        assert refused(clear).kind == "unsupported"
        return
    shown = pictures.grey().point([level if level > 99 else 255 for level in range(256)])
    assert read(clear).horizontal == pillow_decoder._scaled(shown, 9, 8)
    assert read(unused).horizontal == pillow_decoder._scaled(pictures.grey(), 9, 8)


@needs_ffmpeg
def test_what_ffmpeg_opens_has_its_transparency_over_white(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    im = pictures.colour()
    im.putalpha(pictures.alpha())
    path = put("a.png", pictures.encode(im, "PNG"))
    by_pillow = read(path).horizontal
    monkeypatch.setattr(pillow_decoder, "can_open", lambda format_, head: format_.name == "PNG" and head == b"")
    assert read(path).decoder == "ffmpeg" and read(path).horizontal == by_pillow


@needs_ffmpeg
def test_a_video_of_more_pixels_than_allowed_is_too_large(videos: Path) -> None:
    assert refused(videos / "bright.mp4", pixels=10_000).kind == "too_large"
    assert refused(videos / "bright.mp4", "ffmpeg", pixels=10_000).kind == "too_large"


@needs_ffmpeg
def test_a_sound_or_a_cut_off_video_holds_no_picture(videos: Path, put: Callable[[str, bytes], Path]) -> None:
    assert refused(put("a.mkv", MATROSKA)).kind == "damaged"
    assert refused(put("a.mp4", (videos / "bright.mp4").read_bytes()[:60])).kind == "truncated"


def test_without_the_ffmpeg_program_it_is_said_what_to_install(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused(put("a.mkv", MATROSKA))
    assert error.kind == "unsupported" and "FFmpeg program" in error.cause and "apt-get install ffmpeg" in str(error.next_step)


@pytest.mark.parametrize("module", [None, types.ModuleType("ffmpeg")], ids=["none", "another package of that name"])
def test_without_ffmpeg_python_it_is_said_what_to_install(
        put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, module: types.ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "ffmpeg", module)
    for algorithm in ("pillow", "ffmpeg"):
        error = refused(put("a.mkv", MATROSKA), algorithm)
        assert error.kind == "unsupported" and "pip install ffmpeg-python" in str(error.next_step)


def test_heic_without_pillow_heif_says_what_to_install(put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"):
        path = put("a.heic", b"\0\0\0\x18ftyp" + brands + bytes(100))
        error = refused(path)
        assert error.kind == "unsupported" and "pip install pillow-heif" in str(error.next_step)
        assert refused(path, "ffmpeg").kind == "unsupported"


def test_heic_is_read_by_pillow_heif_where_it_is(put: Callable[[str, bytes], Path]) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    im = pictures.colour(pictures.LARGE)
    pixels = read(put("a.heic", pictures.encode(im, "HEIF", quality=90)))
    drawn = pillow_decoder._scaled(im.convert("L"), 9, 8)
    assert pixels.decoder == "pillow_heif"
    assert max(abs(one - other) for one, other in zip(pixels.horizontal, drawn)) < 10


@pytest.mark.slow
@pytest.mark.parametrize(("script", "kind"), [
    ("echo \"Unknown input format: 'matroska'\" >&2; exit 1", "unsupported"),
    ("echo 'Decoder (codec av1) not found for input stream #0:0' >&2; exit 1", "unsupported"),
    ("echo '[matroska @ 0x5581] Cannot allocate memory' >&2; exit 1", "too_large"),
    ("echo '[matroska @ 0x5581] Invalid data found when processing input' >&2; exit 1", "damaged"),
    ("kill -SEGV $$", "crashed"),
    ("exit 0", "damaged"),
    ("exec sleep 60", "timeout"),
])
@pytest.mark.parametrize("algorithm", ["pillow", "ffmpeg"])
def test_each_way_in_which_ffmpeg_fails_has_its_kind(
        put: Callable[[str, bytes], Path], program: Callable[[str], None], script: str, kind: str, algorithm: str) -> None:
    program(script)
    assert refused(put("a.mkv", MATROSKA), algorithm, seconds=1 if kind == "timeout" else 30).kind == kind


@needs_ffmpeg
def test_ffmpeg_leaves_no_descriptor_open(videos: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    read(videos / "bright.mp4", "ffmpeg")
    refused(videos / "bright.mp4", "ffmpeg", pixels=1)
    assert len(os.listdir("/dev/fd")) == before


@pytest.fixture
def ask_anew() -> Iterator[None]:
    """Have the versions of the decoders looked up again."""
    decoder_versions.versions.cache_clear()
    yield
    decoder_versions.versions.cache_clear()


def test_the_versions_of_the_decoders_are_told(program: Callable[[str], None], ask_anew: None) -> None:
    program("echo 'ffmpeg version 5.1.6-0+deb12u1 Copyright (c) 2000-2024 the FFmpeg developers'")
    assert decoder_versions.versions() == {
        "rules": decoder_versions.RULES, "pillow": PIL.__version__, "pillow_heif": version_of("pillow-heif"), "pyav": version_of("av"),
        "ffmpeg": "5.1.6-0+deb12u1", "ffmpeg_python": version_of("ffmpeg-python")}


def version_of(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def test_a_decoder_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask_anew: None) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert decoder_versions.versions()["ffmpeg"] is None


def test_a_buffer_of_any_format_in_the_table_is_identified_alone() -> None:
    patterns = {name: image_formats.identify((GOLDEN / "files" / name).read_bytes()) for name in HASHES}
    assert all(patterns.values())
    assert present(patterns["rgb.jpg"]).pillow == "JPEG" and present(patterns["two_pictures.mpo"]).pillow == "JPEG"
