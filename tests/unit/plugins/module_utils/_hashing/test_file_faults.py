# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, file_faults, file_structures, image_decoder, image_formats
from conftest import present

FILES = Path(__file__).parents[3] / "golden" / "files"


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], ImageError]:
    """The error of a file with this content, on a host without FFmpeg."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def read(content: bytes) -> ImageError:
        (tmp_path / "picture").write_bytes(content)
        with pytest.raises(ImageError) as error:
            image_decoder.read_pixels(str(tmp_path / "picture"), "pillow", [str(tmp_path.resolve())], decoder_limits.Limits())
        return error.value
    return read


def tiff(bits: list[int], photometric: int, compression: int = 1, sample_format: int = 1, data: bytes = bytes(4000)) -> bytes:
    """A TIFF of 10 x 10 pixels with one strip."""
    count = len(bits)
    entries = [(256, 3, 1, 10), (257, 3, 1, 10), (258, 3, count, 200 if count > 2 else bits[0]), (259, 3, 1, compression), (262, 3, 1, photometric),
               (273, 4, 1, 300), (277, 3, 1, count), (278, 3, 1, 10), (279, 4, 1, len(data)), (339, 3, 1, sample_format)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", *entry) for entry in entries) + bytes(4)
    return (b"II*\0" + struct.pack("<L", 8) + directory).ljust(200, b"\0") + struct.pack(f"<{count}H", *bits).ljust(100, b"\0") + data


@pytest.mark.parametrize(("content", "words"), [
    (tiff([32, 32, 32], 2, sample_format=3), "TIFF with floating point 3 \N{MULTIPLICATION SIGN} 32 bits, RGB"),
    (tiff([16, 16, 16], 1), "TIFF with 3 \N{MULTIPLICATION SIGN} 16 bits, BlackIsZero"),
    (tiff([8, 8, 8], 2, compression=34887), "TIFF with 3 \N{MULTIPLICATION SIGN} 8 bits, RGB, LERC"),
    (tiff([8, 8, 8], 2, compression=50000, data=b"\x28\xb5\x2f\xfd"), "TIFF with 3 \N{MULTIPLICATION SIGN} 8 bits, RGB, Zstandard"),
    (tiff([8, 8, 8], 2, compression=33003), "TIFF with 3 \N{MULTIPLICATION SIGN} 8 bits, RGB, JPEG 2000"),
    (b"BM" + struct.pack("<LHHL", 500, 0, 0, 54) + struct.pack("<LllHHLLllLL", 40, 8, 8, 1, 2, 0, 16, 0, 0, 0, 0) + bytes(100), "BMP with 2 bits"),
    (b"DDS " + struct.pack("<LLLL", 124, 0x1007, 8, 8) + bytes(56) + struct.pack("<LL", 32, 8) + bytes(200), "DDS"),
])
def test_whole_file_of_an_unknown_variant_is_unsupported(refused: Callable[[bytes], ImageError], content: bytes, words: str) -> None:
    error = refused(content)
    assert error.kind == "unsupported" and error.cause.startswith(words), error
    assert "pillow: " in error.cause and error.next_step


@pytest.mark.parametrize("name", ["rgb.tif", "rgb.bmp", "rgb.tga", "rgb.pcx", "rgb.qoi", "rgb.ras", "raw.ppm.bin", "indexed.gif", "grey.sgi", "rgb.dds"])
def test_a_file_that_lacks_data_is_truncated(refused: Callable[[bytes], ImageError], name: str) -> None:
    content = (FILES / name).read_bytes()
    for part in (0.4, 0.7):
        error = refused(content[:int(part * len(content))])
        assert error.kind == "truncated", error
        assert "is missing" in error.cause or "are missing" in error.cause or "cut off" in error.cause


@pytest.mark.parametrize(("name", "place", "data"), [
    ("rgb.jpg", 2, b"\xff\xda\0\2"), ("rgb.bmp", 18, bytes(4)), ("grey.png", 28, b"\7"),
])
def test_a_file_whose_data_contradict_each_other_is_damaged(refused: Callable[[bytes], ImageError], name: str, place: int, data: bytes) -> None:
    content = (FILES / name).read_bytes()
    error = refused(content[:place] + data + content[place + len(data):])
    assert error.kind == "damaged", error


def test_a_tiff_whose_directory_is_cut_off_is_truncated(refused: Callable[[bytes], ImageError]) -> None:
    content = (FILES / "rgb.tif").read_bytes()
    for length in (20, 60, 100, 140):
        assert refused(content[:length]).kind == "truncated"


def test_the_error_has_what_each_decoder_reported() -> None:
    failures = [("pillow", ImageError("damaged", "one")), ("ffmpeg", ImageError("unsupported", "two", "Install it."))]
    error = file_faults.explain(b"qoif", present(image_formats.identify(b"qoif")), failures)
    assert (error.kind, error.cause) == ("damaged", "QOI: the data are damaged (pillow: one; ffmpeg: two)")


def test_avif_refused_by_the_only_decoder_present_is_unsupported() -> None:
    failures = [("pillow", ImageError("damaged", "one")), ("ffmpeg", ImageError("unsupported", "two", "Install it."))]
    avif = struct.pack(">L", 24) + b"ftypavif" + bytes(4) + b"mif1avif"
    error = file_faults.explain(avif, image_formats.AVIF, failures)
    assert (error.kind, error.next_step) == ("unsupported", "Install it.")
    assert file_faults.explain(avif[:-2], image_formats.AVIF, failures).kind == "truncated"


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.iterdir()))
def test_a_whole_file_lacks_nothing(name: str) -> None:
    content = (FILES / name).read_bytes()
    format_ = present(image_formats.identify(content[:image_formats.HEAD_BYTES]))
    structure = file_structures.describe(content, format_)
    assert structure.length is None or structure.length <= len(content)
    assert structure.damage is None
