# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The formats: the signature by which a file is recognised, and its decoders.

Decoders never guess the format: Pillow versions and FFmpeg builds guess differently, and FFmpeg opens the files that a text file
lists (ffconcat, m3u8, SDP). A file whose signature is not in this table is not an image. Formats that start other programs (EPS, WMF),
that load other files (SVG), or that open any other format inside (IPTC) are in the table without a decoder.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

HEAD_BYTES = 4096  # enough for an ftyp box with all its brands, and for three packets of a transport stream


class Format(NamedTuple):
    """A format. ``pillow``: its name in Pillow. ``demuxer``: its demuxer in FFmpeg. ``moving``: a video, whose first frame may be black.

    ``refused``: why no decoder is tried. ``stable``: every Pillow from 9.0 on that opens a file of this format gives it the same hash.
    ``is_raw``: sensor data of a camera, with previews.
    """

    name: str
    pillow: str | None = None
    demuxer: str | None = None
    moving: bool = False
    refused: str | None = None
    stable: bool = False
    is_raw: bool = False


HEIC = Format("HEIC", "HEIF")  # FFmpeg decodes one tile of a HEIC instead of the whole picture, if it reads HEIC at all
PNG = Format("PNG", "PNG", "png_pipe", stable=True)
JPEG = Format("JPEG", "JPEG", "jpeg_pipe", stable=True)
JPEG_XL = Format("JPEG XL", None, "jpegxl_pipe")
TIFF = Format("TIFF", "TIFF", "tiff_pipe", stable=True)
AVIF = Format("AVIF", "AVIF", "mov")
STILL_BRANDS = (b"avif", b"avis", b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiHB", b"MiHE", b"MiAB", b"1pic",
                b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs",
                b"avci", b"avcs", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"vvic", b"vvis", b"evbi", b"evbs", b"evmi", b"evms")
CR3 = Format("CR3", is_raw=True)
QUICKTIME = Format("MP4 or QuickTime", None, "mov", moving=True)
TGA = Format("TGA", "TGA", stable=True)
SPIDER = Format("SPIDER", "SPIDER", stable=True)
DRAWING = "it describes a drawing, which only another program can render"
WEATHER = "it holds measurements, not a picture"
FOREIGN = "no decoder that this collection uses reads it"
SVG = Format("SVG", refused=DRAWING)
IM_FIELDS = (rb"(?:Comment|Date|Digitalization equipment|File size \(no of images\)|Lut|Name|Scale \(x,y\)|Image size \(x\*y\)|Image type)")

_SIGNATURES = [
    (rb"\xff\xd8\xff", JPEG),
    (rb"\x89PNG\r\n\x1a\n", PNG),
    (rb"GIF8[79]a", Format("GIF", "GIF", "gif", stable=True)),
    (rb"RIFF....WEBP", Format("WebP", "WEBP", "webp_pipe", stable=True)),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", Format("BMP", "BMP", "bmp_pipe", stable=True)),
    (rb"II[*+]\0|MM\0[*+]", TIFF),
    (rb"IIR[OS]|MMOR", Format("ORF", is_raw=True)),
    (rb"IIU\0", Format("RW2", is_raw=True)),
    (rb"FUJIFILMCCD-RAW ", Format("RAF", is_raw=True)),
    (rb"\0MRM", Format("MRW", is_raw=True)),
    (rb"FOVb", Format("X3F", is_raw=True)),
    (rb"P[14]\s+[#\d]", Format("PBM", "PPM", "pbm_pipe", stable=True)),
    (rb"P[25]\s+[#\d]", Format("PGM", "PPM", "pgm_pipe", stable=True)),
    (rb"P[36]\s+[#\d]", Format("PPM", "PPM", "ppm_pipe", stable=True)),
    (rb"P[fF]\s+[#\d]", Format("PFM", "PPM", "pfm_pipe")),
    (rb"P7\s+(?:#|WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)", Format("PAM", None, "pam_pipe")),
    (rb"P7 332[\r\n]", Format("XV thumbnail", "XVTHUMB", stable=True)),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", Format("JPEG 2000", "JPEG2000", "j2k_pipe")),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (rb"8BPS", Format("Photoshop", "PSD", "psd_pipe")),
    (rb"\0\0\x01\0[^\0]\0", Format("ICO", "ICO", "ico", stable=True)),
    (rb"\0\0\x02\0[^\0]\0", Format("CUR", "CUR", stable=True)),
    (rb"icns", Format("ICNS", "ICNS")),
    (rb"DDS ", Format("DDS", "DDS", "dds_pipe")),
    (rb"\x0a[\0\2\3\4\5][\0-\x20][\1-\x20]", Format("PCX", "PCX", "pcx_pipe", stable=True)),
    (rb"\xb1\x68\xde\x3a", Format("DCX", "DCX", stable=True)),
    (rb"\x01\xda[\0\1][\1\2]\0[\1-\3]", Format("SGI", "SGI", "sgi_pipe", stable=True)),
    (rb"qoif", Format("QOI", "QOI", "qoi_pipe", stable=True)),
    (rb".{4}[\x11\x12]\xaf.{8}[\0\3]\0", Format("FLI", "FLI", "flic")),
    (rb"BLP[12]", Format("BLP", "BLP")),
    (rb"SIMPLE  =", Format("FITS", "FITS", "fits")),
    (rb"(?:/\*.{0,2000}?\*/)?\s*#define[ \t]+\S*_?width[ \t]+\d+\s+#define[ \t]+\S*_?height[ \t]+\d", Format("XBM", "XBM", "xbm_pipe", stable=True)),
    (rb"/\* XPM \*/", Format("XPM", "XPM", "xpm_pipe")),
    (IM_FIELDS + rb": (?=.{0,500}Image (?:type|size \(x\*y\)): )", Format("IM", "IM", stable=True)),
    (rb"DanM|LinS", Format("MSP", "MSP", stable=True)),
    (rb"\x59\xa6\x6a\x95", Format("Sun raster", "SUN", "sunrast_pipe", stable=True)),
    (rb"\x28\0\0\0.{8}\x01\0[\1\4\x08\x10\x18\x20]\0", Format("DIB", "DIB", stable=True)),
    (rb"FTEX", Format("FTEX", "FTEX")),
    (rb"\0\0\0.\0\0\0\x02.{12}GIMP|\0\0\0[\x14-\xff]\0\0\0\x01\0\0..\0\0..\0\0\0[\1\4]", Format("GIMP brush", "GBR", stable=True)),
    (rb"(?:\*[^\n]{0,200}\n)*(?:width|height) \d+\n(?:\*[^\n]{0,200}\n)*(?:width|height) \d+\n", Format("IM Tools", "IMT", stable=True)),
    (rb"\0\0\0\0\0\0\0\x04", Format("McIdas", "MCIDAS")),
    (rb"\x80\xe8\0\0", Format("PIXAR", "PIXAR", stable=True)),
    (rb".{2048}PCD_", Format("Photo CD", "PCD")),
    (rb"[\0-\x1f]...(?:moov|mdat|wide|free|skip)", QUICKTIME),
    (rb"\x1a\x45\xdf\xa3", Format("Matroska or WebM", None, "matroska", moving=True)),
    (rb"RIFF....AVI ", Format("AVI", None, "avi", moving=True)),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format("ASF or WMV", None, "asf", moving=True)),
    (rb"OggS", Format("Ogg", None, "ogg", moving=True)),
    (rb"FLV\x01", Format("FLV", None, "flv", moving=True)),
    (rb"\0\0\x01\xba", Format("MPEG program stream", None, "mpeg", moving=True)),
    (rb"\0\0\x01\xb3", Format("MPEG video", None, "mpegvideo", moving=True)),
    (rb"(?:.{4})?G.{187}(?:.{4})?G.{187}(?:.{4})?G", Format("MPEG transport stream", None, "mpegts", moving=True)),
    (rb"\x76\x2f\x31\x01", Format("OpenEXR", None, "exr_pipe")),
    (rb"#\?(?:RADIANCE|RGBE)\n", Format("Radiance HDR", None, "hdr_pipe")),
    (rb"SDPX|XPDS", Format("DPX", None, "dpx_pipe")),
    (rb"%!PS|\xc5\xd0\xd3\xc6", Format("EPS or PostScript", refused=DRAWING)),
    (rb"%PDF-", Format("PDF", refused=DRAWING)),
    (rb"\xd7\xcd\xc6\x9a|[\1\2]\0\x09\0\0[\1\3]", Format("WMF", refused=DRAWING)),
    (rb"\x01\0\0\0.{36} EMF", Format("EMF", refused=DRAWING)),
    (rb"(?:\xef\xbb\xbf)?(?:\s|<\?(?:(?!\?>).)*\?>|<!--(?:(?!-->).)*-->|<!DOCTYPE svg(?:[^>\[]|\[[^\]]*\])*>)*<(?:\w{1,20}:)?svg[\s>]", SVG),
    (rb"GRIB", Format("GRIB", refused=WEATHER)),
    (rb"BUFR|ZCZC", Format("BUFR", refused=WEATHER)),
    (rb"\x89HDF\r\n\x1a\n", Format("HDF5", refused=WEATHER)),
    (rb"\x1c[\1-\x0a].[\0-\x7f]", Format("IPTC", refused="it may hold a file of any other format")),
    (rb"gimp xcf ", Format("GIMP image", refused=FOREIGN)),
    (rb"AT&TFORM....DJV", Format("DjVu", refused=FOREIGN)),
    (rb".{128}DICM", Format("DICOM", refused=FOREIGN)),
    (rb"II\xbc[\0\1]", Format("JPEG XR", refused=FOREIGN)),
    (rb"FLIF", Format("FLIF", refused=FOREIGN)),
    (rb"BPG\xfb", Format("BPG", refused=FOREIGN)),
    (rb"RIFF....ACON", Format("ANI", refused=FOREIGN)),
    (rb"\xab(?:KTX 11|KTX 20)\xbb\r\n\x1a\n", Format("KTX", refused=FOREIGN)),
    (rb"(?:FORM|CAT |LIST)....(?:ILBM|PBM |ACBM|ANIM|DEEP|IMAG|RGB8|RGBN|RGFX|TVPP|YUVN)|FOR[48]....CIMG", Format("IFF", refused=FOREIGN)),
    (rb"\x53\x80\xf6\x34", Format("Softimage PIC", refused=FOREIGN)),
    (rb"\x8aMNG\r\n\x1a\n", Format("MNG", refused=FOREIGN)),
    (rb"\x8bJNG\r\n\x1a\n", Format("JNG", refused=FOREIGN)),
    (rb"\x97JB2\r\n\x1a\n", Format("JBIG2", refused=FOREIGN)),
    (rb"\x80\x2a\x5f\xd7|\xd7\x5f\x2a\x80", Format("Cineon", refused=FOREIGN)),
    (rb"PK\x03\x04.{26}mimetypeimage/openraster", Format("OpenRaster", refused=FOREIGN)),
    (rb"PK\x03\x04.{26}mimetypeapplication/x-krita", Format("Krita", refused=FOREIGN)),
    (rb"Paint Shop Pro Image File\n\x1a\0|~BK\0", Format("Paint Shop Pro", refused=FOREIGN)),
    (rb"[iI]d=ImageMagick", Format("MIFF", refused=FOREIGN)),
    (rb"farbfeld", Format("Farbfeld", refused=FOREIGN)),
    (rb"VTF\0\x07\0\0\0", Format("VTF", refused=FOREIGN)),
    (rb"PVR\x03\0\0\0\0|\x34\0\0\0.{40}PVR!", Format("PVR", refused=FOREIGN)),
    (rb"\x13\xab\xa1\x5c", Format("ASTC", refused=FOREIGN)),
    (rb"LBLSIZE=\s*\d", Format("VICAR", refused=FOREIGN)),
    (rb"\xffWPC.{4}\x01\x16", Format("WPG", refused=DRAWING)),
    (rb"RIFF....CDR", Format("CorelDRAW", refused=DRAWING)),
    (rb".{522}\0\x11\x02\xff\x0c\0", Format("PICT", refused=DRAWING)),
    (rb"(?:II|MM).{4}HEAPCCDR", Format("CRW", refused="its previews do not say which side of them is up")),
]
SIGNATURES = [(re.compile(pattern, re.DOTALL), format_) for pattern, format_ in _SIGNATURES]


def identify(head: bytes) -> Format | None:
    """The format of a file by ``head``, its first HEAD_BYTES bytes; None if the format is not supported."""
    if head[4:8] == b"ftyp":
        return _identify_by_brand(head)
    found = next((format_ for pattern, format_ in SIGNATURES if pattern.match(head)), None)
    return found or _identify_by_structure(head)


def is_stable(format_: Format, head: bytes) -> bool:
    """Whether every Pillow that opens the file that begins with ``head`` gives it the same hash."""
    if format_.name == "BMP" and head[14] >= 40 and head[30:31] in (b"\1", b"\2"):
        return False  # run lengths: supported since Pillow 9.2, and decoded differently by 9.4 and 13
    if format_ is TGA and head[16] in (15, 16) and head[2] & ~8 == 2:
        return False  # 5 bits per colour: Pillow 9.4 and 10.4 differ about transparency
    return format_.stable


def _identify_by_structure(head: bytes) -> Format | None:
    """The format of a file without a signature: TGA, SPIDER, or SVG that is compressed."""
    if _is_tga(head):
        return TGA
    if _is_spider(head, ">") or _is_spider(head, "<"):
        return SPIDER
    if head[:3] == b"\x1f\x8b\x08":
        try:
            inside = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return None
        return SVG if b"<svg" in inside and next((f for pattern, f in SIGNATURES if pattern.match(inside)), None) is SVG else None
    return None


def _is_tga(head: bytes) -> bool:
    """Whether the header is that of a TGA file: every field is in the range of the Truevision TGA File Format Specification 2.0."""
    if len(head) < 18:
        return False
    _id_length, mapped, kind, _start, entries, entry_bits, _x, _y, width, height, bits, flags = struct.unpack_from("<BBBHHBHHHHBB", head)
    if not (width and height) or flags & 0xC0 or flags & 15 > 8:
        return False
    if mapped == 1 and not (0 < entries <= 0x1000 and entry_bits in (15, 16, 24, 32)):
        return False
    depths = {1: (1, 8, 16), 2: (15, 16, 24, 32), 3: (1, 8, 16)}.get(kind & ~8, ())
    return mapped in (0, 1) and kind < 16 and bits in depths


def _is_spider(head: bytes, order: str) -> bool:
    """Whether the header is that of a SPIDER image: whole numbers where the format has them, and lengths that agree (image_doc.html)."""
    if len(head) < 92:
        return False
    word = (0.0, *struct.unpack_from(order + "23f", head))  # the format counts from 1
    if not all(abs(word[place]) < 1e9 and word[place] == int(word[place]) for place in (1, 2, 5, 12, 13, 22, 23)):
        return False
    return word[5] in (1, 3, -11, -12, -21, -22) and word[2] > 0 and word[12] > 0 and word[22] == word[13] * word[23] > 0


def _identify_by_brand(head: bytes) -> Format:
    """The format of an ISO base media file (ISO/IEC 14496-12, 4.3): AVIF, HEIC, or a video."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[start:start + 4] for start in range(16, min(size, len(head)), 4))}
    if head[8:12] == b"crx ":
        return CR3
    if head[8:12] not in STILL_BRANDS:
        return QUICKTIME
    return AVIF if brands & {b"avif", b"avis"} else HEIC
