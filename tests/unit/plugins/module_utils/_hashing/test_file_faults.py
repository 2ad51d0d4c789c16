# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pictures
import pytest
import raw_files
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


def photoshop(channels: int, bits: int, mode: int, version: int = 1, compression: int = 0, data: bytes = bytes(4000)) -> bytes:
    """A Photoshop file of 10 x 10 pixels without layers."""
    header = b"8BPS" + struct.pack(">H6xHLLHH", version, channels, 10, 10, bits, mode)
    return header + bytes(16 if version == 2 else 12) + struct.pack(">H", compression) + data


def exr(compression: int, channels: list[bytes], flags: int = 0, across: int = 1) -> bytes:
    """An OpenEXR file of 10 x 10 pixels whose chunks are empty, one for each line."""
    listed = b"".join(name + b"\0" + struct.pack("<LLLL", 1, 0, across, 1) for name in channels) + b"\0"
    attributes = {(b"channels", b"chlist"): listed, (b"compression", b"compression"): bytes([compression]),
                  (b"dataWindow", b"box2i"): struct.pack("<4l", 0, 0, 9, 9)}
    header = struct.pack("<LL", 20000630, 2 | flags)
    header += b"".join(b"%b\0%b\0%b%b" % (*names, struct.pack("<L", len(value)), value) for names, value in attributes.items()) + b"\0"
    return header + b"".join(struct.pack("<Q", len(header) + 80 + 8 * line) for line in range(10)) + bytes(80)


def jpeg(process: int, bits: int) -> bytes:
    """A JPEG with another process or precision in its frame header."""
    content = (FILES / "rgb.jpg").read_bytes()
    place = content.index(b"\xff\xc0")
    return content[:place] + bytes([0xFF, process, *content[place + 2:place + 4], bits]) + content[place + 5:]


@pytest.mark.parametrize(("content", "words"), [
    (photoshop(3, 32, 3), "Photoshop with 3 \N{MULTIPLICATION SIGN} 32 bits, RGB"),
    (photoshop(4, 16, 9), "Photoshop with 4 \N{MULTIPLICATION SIGN} 16 bits, Lab"),
    (photoshop(3, 8, 3, version=2), "Photoshop, large document, with 3 \N{MULTIPLICATION SIGN} 8 bits, RGB"),
    (photoshop(3, 8, 3, compression=3), "Photoshop with 3 \N{MULTIPLICATION SIGN} 8 bits, RGB"),
    (jpeg(0xC3, 8), "JPEG with 3 \N{MULTIPLICATION SIGN} 8 bits, lossless"),
    (jpeg(0xF7, 8), "JPEG with 3 \N{MULTIPLICATION SIGN} 8 bits, JPEG-LS"),
    (jpeg(0xC1, 12), "JPEG with 3 \N{MULTIPLICATION SIGN} 12 bits, DCT"),
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


@pytest.mark.parametrize(("content", "kind", "words"), [
    (exr(4, [b"B", b"G", b"R"]), "damaged", "OpenEXR with PIZ: "),
    (exr(8, [b"B", b"G", b"R"]), "unsupported", "OpenEXR with DWAA: "),
    (exr(4, [b"sky.B", b"sky.G", b"sky.R"]), "unsupported", "OpenEXR with PIZ, channels sky.B sky.G sky.R: "),
    (exr(4, [b"BY", b"RY", b"Y"], across=2), "unsupported", "OpenEXR with PIZ, channels BY RY Y: "),
    (exr(2, [b"Z"]), "unsupported", "OpenEXR with ZIPS, channels Z: "),
    (exr(0, [b"Y"], flags=0x800), "unsupported", "OpenEXR with no compression, deep data: "),
    (exr(0, [b"Y"], flags=0x1000), "unsupported", "OpenEXR with no compression, several parts: "),
    (exr(0, [b"Y"])[:-1], "truncated", "OpenEXR with no compression: the file is cut off: 1 of "),
    (exr(0, [b"Y"])[:-90], "truncated", "OpenEXR with no compression: the file is cut off"),
])
def test_openexr_that_ffmpeg_does_not_decode_has_its_kind(content: bytes, kind: str, words: str) -> None:
    failures = [("ffmpeg", ImageError("damaged", "cannot decode a picture from it"))]
    error = file_faults.explain(content, present(image_formats.identify(content)), failures)
    assert error.kind == kind and error.cause.startswith(words), error


@pytest.mark.parametrize("start", [b"\x76\x2f\x31\x01\2\0\0\0\0", b"8BPS", b"\x0a\5\1\1", b"SDPX", b"\xff\xd8\xff", b"II*\0"])
def test_a_header_of_nonsense_is_described_by_its_format(start: bytes) -> None:
    content = start.ljust(900, b"\xff")
    for length in (len(start), 40, 130, 900):
        file_structures.describe(content[:length], present(image_formats.identify(content)))


def test_dpx_that_ffmpeg_does_not_decode_has_its_kind() -> None:
    dpx = image_formats.Format("DPX")
    failures = [("ffmpeg", ImageError("damaged", "cannot decode a picture from it"))]
    for bits, packing, kind in ((10, 1, "damaged"), (10, 0, "unsupported"), (9, 1, "unsupported")):
        for magic, order in ((b"SDPX", ">"), (b"XPDS", "<")):
            content = (magic + bytes(12) + struct.pack(f"{order}L", 900)).ljust(803, b"\0") + struct.pack(f"{order}BHH", bits, packing, 0)
            assert file_faults.explain(content.ljust(900, b"\0"), dpx, failures).kind == kind
            assert file_faults.explain(content.ljust(899, b"\0"), dpx, failures).kind == "truncated"


def test_a_photoshop_file_is_measured_in_each_of_its_sections(refused: Callable[[bytes], ImageError]) -> None:
    for content in (photoshop(3, 32, 3, data=bytes(1200)), photoshop(3, 32, 3, compression=1, data=b"\0\2" * 30 + bytes(60)),
                    photoshop(3, 8, 3, version=2, compression=1, data=b"\0\0\0\2" * 30 + bytes(60))):
        assert refused(content).kind == "unsupported"
        for length in (30, 39, len(content) - 70, len(content) - 1):
            assert refused(content[:length]).kind == "truncated", length
    assert refused(photoshop(3, 8, 5)).kind == "damaged"
    assert refused(photoshop(3, 8, 3, compression=4)).kind == "damaged"


def test_a_raw_file_without_the_end_of_its_pictures_is_truncated(refused: Callable[[bytes], ImageError]) -> None:
    dng = raw_files.tiff(b"II*\0", b"Some Phone", [], thumbnail=(48, 40, pictures.colour().tobytes()), dng=True)
    assert refused(dng[:-100].replace(b"\xff\xd8\xff", bytes(3))).kind == "truncated"
    rw2 = b"IIU\0" + struct.pack("<L", 24) + bytes(16) + raw_files.directory(24, [(273, 4, [0xFFFFFFFF]), (279, 4, [5000])])
    assert refused(rw2.ljust(4096, b"\0")).kind == "unsupported"


def test_a_tiff_whose_directory_is_cut_off_is_truncated(refused: Callable[[bytes], ImageError]) -> None:
    content = (FILES / "rgb.tif").read_bytes()
    for length in (20, 60, 100, 140):
        assert refused(content[:length]).kind == "truncated"


def test_the_error_has_what_each_decoder_reported() -> None:
    failures = [("pillow", ImageError("damaged", "one")), ("ffmpeg", ImageError("unsupported", "two", "Install it."))]
    error = file_faults.explain(b"qoif", present(image_formats.identify(b"qoif")), failures)
    assert (error.kind, error.cause) == ("damaged", "QOI: the data are damaged (pillow: one; ffmpeg: two)")


@pytest.mark.parametrize(("coding", "kind"), [(b"jpeg", "unsupported"), (b"unci", "unsupported"), (b"hvc1", "damaged"), (b"grid", "damaged")])
def test_heif_of_another_coding_is_unsupported(coding: bytes, kind: str) -> None:
    items = bytes(4) + struct.pack(">H", 2) + b"".join(
        raw_files.box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + name + b"\0") for number, name in ((1, b"Exif"), (2, coding)))
    content = raw_files.box(b"ftyp", b"mif1\0\0\0\0mif1") + raw_files.box(
        b"meta", bytes(4), raw_files.box(b"pitm", bytes(4), b"\0\2"), raw_files.box(b"iinf", items))
    error = file_faults.explain(content, image_formats.HEIC, [("pillow_heif", ImageError("damaged", "no plugin"))])
    assert error.kind == kind and error.cause.startswith(f"HEIC with {coding.decode()}: " if kind == "unsupported" else "HEIC: "), error
    assert file_faults.explain(content[:-1], image_formats.HEIC, [("pillow_heif", ImageError("damaged", "no plugin"))]).kind == "truncated"


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
