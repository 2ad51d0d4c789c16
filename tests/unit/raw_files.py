# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Camera raw files without sensor data: the structure of each maker, with the previews that are given."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SENSOR = (2400, 1800)
Entry = tuple[int, int, Sequence[int] | bytes]  # tag, TIFF type, values
SIZES = {1: "B", 2: "B", 3: "H", 4: "L"}
MAKE, COMPRESSION, PHOTOMETRIC, ORIENTATION, SUB_DIRECTORIES, DNG_VERSION = 271, 259, 262, 274, 330, 50706


def directory(place: int, entries: list[Entry], order: str = "<", following: int = 0) -> bytes:
    """A TIFF directory at ``place``, followed by the values that do not fit into it."""
    fixed, far = b"", b""
    far_place = place + 2 + 12 * len(entries) + 4
    for tag, type_, values in sorted(entries, key=lambda entry: entry[0]):
        data = struct.pack(f"{order}{len(values)}{SIZES[type_]}", *values)
        if len(data) > 4:
            fixed += struct.pack(f"{order}HHLL", tag, type_, len(values), far_place + len(far))
            far += data
        else:
            fixed += struct.pack(f"{order}HHL", tag, type_, len(values)) + data.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(entries)) + fixed + struct.pack(f"{order}L", following) + far


def sensor(compression: int = 1, photometric: int = 32803) -> list[Entry]:
    return [(256, 4, [SENSOR[0]]), (257, 4, [SENSOR[1]]), (258, 3, [14]), (COMPRESSION, 3, [compression]), (PHOTOMETRIC, 3, [photometric]),
            (273, 4, [8]), (277, 3, [1]), (278, 4, [SENSOR[1]]), (279, 4, [4])]


def tiff(head: bytes, make: bytes, previews: Sequence[bytes], orientation: int = 1, thumbnail: tuple[int, int, bytes] | None = None,
         dng: bool = False, compression: int = 1, directory_at_end: bool = False) -> bytes:
    """A raw file of the TIFF kind: a first directory with or without a thumbnail (width, height, RGB), the sensor in a sub-directory."""
    order = "<" if head[:2] == b"II" else ">"
    body = b"".join(previews) + (thumbnail[2] if thumbnail else b"")
    first, second = (64 + len(body), 64 + len(body) + 1024) if directory_at_end else (64, 64 + 1024)
    start = 64 if directory_at_end else 64 + 2048
    entries: list[Entry] = [(MAKE, 2, make + b"\0"), (ORIENTATION, 3, [orientation]), (SUB_DIRECTORIES, 4, [second])]
    if dng:
        entries.append((DNG_VERSION, 1, [1, 4, 0, 0]))
    if thumbnail:
        width, height, pixels = thumbnail
        entries += [(256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (COMPRESSION, 3, [1]), (PHOTOMETRIC, 3, [2]),
                    (273, 4, [start + len(body) - len(pixels)]), (277, 3, [3]), (278, 4, [height]), (279, 4, [len(pixels)])]
    directories = directory(first, entries, order).ljust(1024, b"\0") + directory(second, sensor(compression), order).ljust(1024, b"\0")
    header = (head + struct.pack(f"{order}L", first)).ljust(8, b"\0") + (b"CR\2\0" if make == b"Canon" else b"")
    return header.ljust(64, b"\0") + (body + directories if directory_at_end else directories + body)


def raf(previews: Sequence[bytes]) -> bytes:
    """A RAF; its CFA header has the full size and the cropped size, height first."""
    body = b"".join(previews)
    records = b"".join(struct.pack(">HHHH", tag, 4, height, width) for tag, width, height in ((0x100, 2432, 1824), (0x111, *SENSOR)))
    header = b"FUJIFILMCCD-RAW 0201FF383501X-T3".ljust(84, b"\0") + struct.pack(">LLLL", 108, len(body), 108 + len(body), 4 + len(records))
    return header.ljust(108, b"\0") + body + struct.pack(">L", 2) + records


def rw2(previews: Sequence[bytes], orientation: int = 1) -> bytes:
    """An RW2: the size of the sensor has tags of its own."""
    entries: list[Entry] = [(2, 3, [2440]), (3, 3, [1840]), (4, 3, [10]), (5, 3, [20]), (6, 3, [10 + SENSOR[1]]), (7, 3, [20 + SENSOR[0]]),
                            (ORIENTATION, 3, [orientation])]
    return b"IIU\0" + struct.pack("<L", 24) + bytes(16) + directory(24, entries).ljust(1000, b"\0") + b"".join(previews)


def cr3(previews: Sequence[bytes], orientation: int = 1) -> bytes:
    """A CR3: the sample entries of the full preview and of the sensor, and a TIFF header with the orientation."""
    exif = b"II*\0" + struct.pack("<L", 8) + directory(8, [(MAKE, 2, b"Canon\0"), (ORIENTATION, 3, [orientation])])
    boxes = box(b"CMT1", exif)
    for width, height in ((1620, 1080), SENSOR):
        boxes += box(b"CRAW", bytes(24) + struct.pack(">HH", width, height) + bytes(50))
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", boxes) + box(b"mdat", b"".join(previews))


def box(name: bytes, *contents: bytes) -> bytes:
    """A box of an ISO base media file (ISO/IEC 14496-12, 4.2)."""
    content = b"".join(contents)
    return struct.pack(">L", 8 + len(content)) + name + content
