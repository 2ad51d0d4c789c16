# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Damaged pictures: a file of every format, and what a seed makes of one of them. The same seed gives the same file everywhere."""

from __future__ import annotations

import functools
import random
import re
import struct
import zlib
from pathlib import Path

import pictures
import raw_files

GOLDEN = Path(__file__).with_name("golden") / "files"
MADE_BY_FFMPEG = Path(__file__).with_name("fuzz_files")  # .bin: what has no NUL byte early on would be linted as text
HEADER = 160  # bytes in which most formats have their sizes
LONGEST = 1 << 20
MOST_EDITS = 3
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
EXTREME_NUMBERS = (b"0", b"-1", b"1e309", b"nan", b"65536", b"2147483648", b"99999999999999999999", b"9" * 5000)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@functools.cache
def corpus() -> dict[str, bytes]:
    """Name: content of small files. Every format of image_formats.py has one or more."""
    files = {path.name: path.read_bytes() for folder in (GOLDEN, MADE_BY_FFMPEG) for path in sorted(folder.iterdir())}
    return {**files, **_raw_files(), **_without_an_encoder(), **_refused()}


def _raw_files() -> dict[str, bytes]:
    shown = (GOLDEN / "rgb.jpg").read_bytes()
    previews = [(GOLDEN / "small.jpg").read_bytes(), shown]
    thumbnail = (*pictures.SMALL, pictures.colour().tobytes())
    return {
        "raw.cr2": raw_files.tiff(b"II*\0", b"Canon", previews),
        "raw.cr3": raw_files.cr3(previews, orientation=6),
        "raw.nef": raw_files.tiff(b"MM\0*", b"NIKON CORPORATION", previews, thumbnail=thumbnail, compression=34713),
        "raw.arw": raw_files.tiff(b"II*\0", b"SONY", previews, compression=32767),
        "raw.dng": raw_files.tiff(b"II*\0", b"Some Phone", previews, orientation=8, dng=True, directory_at_end=True),
        "raw.pef": raw_files.tiff(b"MM\0*", b"PENTAX", previews, compression=65535),
        "raw.orf": raw_files.tiff(b"IIRO", b"OLYMPUS", previews),
        "raw.rw2": raw_files.rw2(previews, orientation=6),
        "raw.raf": raw_files.raf(previews),
        "raw.mrw": b"\0MRM" + bytes(60) + shown,
        "raw.x3f": b"FOVb" + bytes(60) + shown,
    }


def _without_an_encoder() -> dict[str, bytes]:
    """Files of formats that neither Pillow nor FFmpeg writes."""
    rgb = pictures.colour()
    width, height = rgb.size
    luma = rgb.convert("L").tobytes()
    words = [0] * 64  # Pillow counts them from 1
    words[1], words[8], words[9], words[10], words[13], words[33] = 4, height, width, 1, 1, 256
    radiance = b"".join(rgb.tobytes()[place:place + 3] + b"\x80" for place in range(0, 3 * width * height, 3))
    return {
        "picture.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + radiance,
        "picture.heic": (MADE_BY_FFMPEG / "picture.avif").read_bytes().replace(b"avif", b"heic"),
        "picture.ftex": b"FTEX" + struct.pack("<iiiiiiii", 1, width, height, 1, 1, 1, 32, 3 * width * height) + rgb.tobytes(),
        "picture.area": struct.pack(">64i", *words) + luma,
        "picture.pcd": bytes(2048) + b"PCD_" + bytes(96 * 2048 - 2052) + bytes(range(256)) * (768 * 512 * 3 // 2 // 256),
        "picture.tiff64": _big_tiff(luma, width, height),
        "run_lengths.bmp": pictures.run_length_bmp(pictures.grey()),
    }


def _big_tiff(luma: bytes, width: int, height: int) -> bytes:
    values = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 16 + 8 + 9 * 20 + 8), (277, 1), (278, height), (279, len(luma)))
    entries = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in values)
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(values)) + entries + bytes(8) + luma


def _refused() -> dict[str, bytes]:
    """Beginnings of files that no decoder is given."""
    return {
        "drawing.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 40\nshowpage\n",
        "drawing.pdf": b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        "drawing.wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "drawing.emf": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
        "drawing.svg": b'<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg [<!ENTITY a "b">]>\n<svg width="48" height="40"><g/></svg>\n',
        "drawing.svgz": _stored_as_gzip(b"<svg>" + bytes(2000)),
        "weather.grib": b"GRIB" + bytes(60),
        "weather.bufr": b"BUFR" + bytes(60),
        "weather.h5": b"\x89HDF\r\n\x1a\n" + bytes(60),
        "picture.iim": b"\x1c\1\x5a\0\3\x1b%G" + bytes(60),
        "picture.xcf": b"gimp xcf file\0" + bytes(60),
        "picture.djvu": b"AT&TFORM\0\0\0\x40DJVU" + bytes(60),
        "picture.dcm": bytes(128) + b"DICM" + bytes(60),
        "picture.jxr": b"II\xbc\1" + bytes(60),
        "picture.flif": b"FLIF" + bytes(60),
        "picture.bpg": b"BPG\xfb" + bytes(60),
        "pointer.ani": b"RIFF\x40\0\0\0ACON" + bytes(60),
        "picture.ktx": b"\xabKTX 11\xbb\r\n\x1a\n" + bytes(60),
        "picture.lbm": b"FORM\0\0\0\x40ILBM" + bytes(60),
        "picture.pic": b"\x53\x80\xf6\x34@mp\xa4" + bytes(60),
        "picture.mng": b"\x8aMNG\r\n\x1a\n" + bytes(60),
        "picture.jng": b"\x8bJNG\r\n\x1a\n" + bytes(60),
        "picture.jb2": b"\x97JB2\r\n\x1a\n" + bytes(60),
        "picture.cin": b"\x80\x2a\x5f\xd7" + bytes(60),
        "picture.ora": b"PK\3\4" + bytes(26) + b"mimetypeimage/openraster" + bytes(60),
        "picture.kra": b"PK\3\4" + bytes(26) + b"mimetypeapplication/x-krita" + bytes(60),
        "picture.psp": b"Paint Shop Pro Image File\n\x1a\0" + bytes(60),
        "picture.miff": b"id=ImageMagick  version=1.0\n" + bytes(60),
        "picture.ff": b"farbfeld" + bytes(60),
        "picture.vtf": b"VTF\0\7\0\0\0" + bytes(60),
        "picture.pvr": b"PVR\3\0\0\0\0" + bytes(60),
        "picture.astc": b"\x13\xab\xa1\x5c" + bytes(60),
        "picture.vicar": b"LBLSIZE=1024 " + bytes(60),
        "drawing.wpg": b"\xffWPC\x10\0\0\0\1\x16" + bytes(60),
        "drawing.cdr": b"RIFF\x40\0\0\0CDR9" + bytes(60),
        "drawing.pict": bytes(522) + b"\0\x11\2\xff\x0c\0" + bytes(60),
        "raw.crw": b"II\x1a\0\0\0HEAPCCDR" + bytes(60),
    }


def _stored_as_gzip(content: bytes) -> bytes:
    """A gzip file without compression, which every version of zlib writes in the same way."""
    packing = zlib.compressobj(0, zlib.DEFLATED, 31)
    return packing.compress(content) + packing.flush()


def mutated(seed: int) -> tuple[str, bytes]:
    """What was done, as ``rgb.png: cut, flipped bits``, and the file that came of it; not longer than LONGEST."""
    chance = random.Random(seed)
    files = corpus()
    name = chance.choice(sorted(files))
    content = files[name]
    done = []
    for _edit in range(chance.randint(1, MOST_EDITS)):
        edit = chance.choice(EDITS)
        content = edit(chance, content)[:LONGEST] or b"\0"
        done.append(edit.__name__.strip("_").replace("_", " "))
    if content.startswith(PNG_SIGNATURE) and chance.random() < 0.7:  # else nearly all would end at a checksum
        content = _with_right_checksums(content)
        done.append("right checksums")
    return f"{name}: {', '.join(done)}", content


def _flipped_bits(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    within = _reach(chance, content)
    for _bit in range(chance.choice((1, 1, 2, 8, 64))):
        changed[chance.randrange(within)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _reach(chance: random.Random, content: bytes) -> int:
    """The length of the part to change: the header, or all."""
    return min(len(content), HEADER) if chance.random() < 0.5 else len(content)


def _cut(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content))
    if chance.random() < 0.5:
        return content[:start]
    return content[:start] + content[start + chance.choice((1, 2, 4, 16, 256)):]


def _splice(chance: random.Random, content: bytes) -> bytes:
    """The beginning of this file, and the end of another one."""
    files = corpus()
    other = files[chance.choice(sorted(files))]
    return content[:chance.randrange(len(content)) + 1] + other[chance.randrange(len(other)):]


def _extreme_sizes(chance: random.Random, content: bytes) -> bytes:
    """Extreme numbers in the place of one to three others: as text in a header of text, else in 1 to 8 bytes."""
    numbers = list(re.finditer(rb"\d+", content[:HEADER]))
    for _number in range(chance.randint(1, 3)):
        if numbers and chance.random() < 0.3:
            found = chance.choice(numbers)
            content = content[:found.start()] + chance.choice(EXTREME_NUMBERS) + content[found.end():]
            continue
        length = chance.choice((1, 2, 2, 4, 4, 8))
        place = chance.randrange(_reach(chance, content))
        value = chance.choice(EXTREMES) & (1 << 8 * length) - 1
        content = content[:place] + value.to_bytes(length, chance.choice(("little", "big"))) + content[place + length:]
    return content


def _repeated_chunks(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content))
    end = start + chance.choice((1, 4, 12, 20, 64, 256, 4096))
    return content[:end] + content[start:end] * chance.choice((1, 2, 16, 200)) + content[end:]


def _noise(chance: random.Random, content: bytes) -> bytes:
    place = chance.randrange(len(content))
    noise = chance.randbytes(chance.choice((1, 4, 16, 256)))
    return content[:place] + noise + content[place + len(noise):]


EDITS = (_flipped_bits, _cut, _splice, _extreme_sizes, _repeated_chunks, _noise)


def _with_right_checksums(content: bytes) -> bytes:
    changed = bytearray(content)
    start = len(PNG_SIGNATURE)
    while start + 12 <= len(changed):
        end = start + 8 + int.from_bytes(changed[start:start + 4], "big")
        if end + 4 > len(changed):
            break
        changed[end:end + 4] = zlib.crc32(changed[start + 4:end]).to_bytes(4, "big")
        start = end + 4
    return bytes(changed)
