# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The supported formats: the signature by which a file is recognised, and its decoder.

Decoders never guess the format: Pillow versions and FFmpeg builds guess differently, and FFmpeg opens the files that a text file
lists (ffconcat, m3u8, SDP). A file whose signature is not in this table is not an image. The table leaves out formats that start
other programs (EPS, WMF), that load other files (SVG), or that have a weak signature (TGA, PCX).
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_BYTES = 4096  # enough for an ftyp box with all its brands, and for three packets of a transport stream


class Format(NamedTuple):
    """A format. ``pillow``: its name in Pillow. ``demuxer``: its demuxer in FFmpeg. ``moving``: a video, whose first frame may be black."""

    name: str
    pillow: str | None
    demuxer: str | None
    moving: bool = False


HEIC = Format("HEIC", "HEIF", None)  # FFmpeg decodes one tile of a HEIC instead of the whole picture, if it reads HEIC at all
PNG = Format("PNG", "PNG", "png_pipe")
AVIF = Format("AVIF", "AVIF", "mov")
STILL_BRANDS = (b"avif", b"avis", b"mif1", b"msf1",
                b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
QUICKTIME = Format("MP4 or QuickTime", None, "mov", moving=True)

_SIGNATURES = [
    (rb"\xff\xd8\xff", Format("JPEG", "JPEG", "jpeg_pipe")),
    (rb"\x89PNG\r\n\x1a\n", PNG),
    (rb"GIF8[79]a", Format("GIF", "GIF", "gif")),
    (rb"RIFF....WEBP", Format("WebP", "WEBP", "webp_pipe")),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", Format("BMP", "BMP", "bmp_pipe")),
    (rb"II[*+]\0|MM\0[*+]", Format("TIFF", "TIFF", "tiff_pipe")),
    (rb"P[14]\s+[#\d]", Format("PBM", "PPM", "pbm_pipe")),
    (rb"P[25]\s+[#\d]", Format("PGM", "PPM", "pgm_pipe")),
    (rb"P[36]\s+[#\d]", Format("PPM", "PPM", "ppm_pipe")),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", Format("JPEG 2000", "JPEG2000", "j2k_pipe")),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", Format("JPEG XL", None, "jpegxl_pipe")),
    (rb"8BPS", Format("Photoshop", None, "psd_pipe")),
    (rb"[\0-\x1f]...(?:moov|mdat|wide|free|skip)", QUICKTIME),
    (rb"\x1a\x45\xdf\xa3", Format("Matroska or WebM", None, "matroska", moving=True)),
    (rb"RIFF....AVI ", Format("AVI", None, "avi", moving=True)),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format("ASF or WMV", None, "asf", moving=True)),
    (rb"OggS", Format("Ogg", None, "ogg", moving=True)),
    (rb"FLV\x01", Format("FLV", None, "flv", moving=True)),
    (rb"\0\0\x01\xba", Format("MPEG program stream", None, "mpeg", moving=True)),
    (rb"(?:.{4})?G.{187}(?:.{4})?G.{187}(?:.{4})?G", Format("MPEG transport stream", None, "mpegts", moving=True)),
]
SIGNATURES = [(re.compile(pattern, re.DOTALL), format_) for pattern, format_ in _SIGNATURES]


def identify(head: bytes) -> Format | None:
    """The format of a file by ``head``, its first HEAD_BYTES bytes; None if the format is not supported."""
    if head[4:8] == b"ftyp":
        return _identify_by_brand(head)
    return next((format_ for pattern, format_ in SIGNATURES if pattern.match(head)), None)


def _identify_by_brand(head: bytes) -> Format:
    """The format of an ISO base media file (ISO/IEC 14496-12, 4.3): AVIF, HEIC, or a video."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[start:start + 4] for start in range(16, min(size, len(head)), 4))}
    if head[8:12] not in STILL_BRANDS:
        return QUICKTIME
    return AVIF if brands & {b"avif", b"avis"} else HEIC
