# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drawn pictures, and files in every mode made of them. Deterministic: no fonts, no randomness, whole numbers only.

What a file's hash has to be is told by the picture that it was made of, without decoding the file: ``Vector.luma``.
"""

from __future__ import annotations

import functools
import io
import itertools
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image, ImageChops, ImageOps, PngImagePlugin

SMALL = (48, 40)
LARGE = (320, 240)  # large enough for a JPEG to be decoded at half its size or less
TURN_BACK = {  # how a picture is stored that an orientation of 1-8 makes upright
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class Vector(NamedTuple):
    """A file, and the luma (mode L) that a decoder should see in it; ``lossy`` where it sees about that."""

    content: bytes
    luma: Image.Image
    lossy: bool = False


def colour(size: tuple[int, int] = SMALL) -> Image.Image:
    """An RGB picture that is like none of its mirror images: gradients, a chequer and a dark disc left of the middle."""
    return Image.frombytes("RGB", size, _drawn(size))


@functools.cache
def _drawn(size: tuple[int, int]) -> bytes:
    width, height = size
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            chequer = (5 * x // width + 4 * y // height) % 2
            if (10 * x - 3 * width) ** 2 + (10 * y - 4 * height) ** 2 < (2 * min(size)) ** 2:
                pixels += bytes((20, 30, 60))
            else:
                pixels += bytes((40 + 200 * x // width, 220 - 150 * y // height, 60 + 150 * chequer))
    return bytes(pixels)


def grey(size: tuple[int, int] = SMALL) -> Image.Image:
    return colour(size).convert("L")


def alpha(size: tuple[int, int] = SMALL) -> Image.Image:
    """Transparency from none at the bottom to full at the top, with an opaque column."""
    width, height = size
    return Image.frombytes("L", size, bytes(
        255 if 4 * x // width == 2 else 255 * y // (height - 1) for y in range(height) for x in range(width)))


def page(size: tuple[int, int] = (300, 400), mark: int = 0) -> Image.Image:
    """A white page with a black square of ``mark`` pixels."""
    im = Image.new("RGB", size, "white")
    im.paste((0, 0, 0), (60, 80, 60 + mark, 80 + mark))
    return im


def over_white(im: Image.Image, mask: Image.Image) -> Image.Image:
    """``im`` (RGB) over white, as luma."""
    white = Image.new("RGB", im.size, "white")
    return Image.composite(im, white, mask).convert("L")


def without(luma: Image.Image, key: Image.Image, level: int) -> Image.Image:
    """``luma`` white where ``key`` (mode L) has exactly ``level``."""
    return Image.composite(Image.new("L", luma.size, 255), luma, key.point([255 * (value == level) for value in range(256)]))


def encode(im: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    im.save(buffer, format_, **options)
    return buffer.getvalue()


def vectors() -> dict[str, Vector]:
    """File name: file. Needs the newest Pillow, which can write most of them; older ones have to read them."""
    return {**_jpegs(), **_turned(), **_pngs(), **_gifs(), **_webps(), **_bmps(), **_tiffs(), **_pnms(), **_others()}


def _jpegs() -> dict[str, Vector]:
    large = colour(LARGE)
    luma = large.convert("L")
    cmyk = large.convert("CMYK")
    other = ImageOps.mirror(large)
    return {
        "rgb.jpg": Vector(encode(large, "JPEG", quality=85), luma, lossy=True),
        "small.jpg": Vector(encode(colour(), "JPEG", quality=85), grey(), lossy=True),
        "grey.jpg": Vector(encode(luma, "JPEG", quality=85), luma, lossy=True),
        "cmyk.jpg": Vector(encode(cmyk, "JPEG", quality=60), cmyk.convert("RGB").convert("L"), lossy=True),
        "progressive.jpg": Vector(encode(large, "JPEG", quality=85, progressive=True), luma, lossy=True),
        "not_ycbcr.jpg": Vector(encode(large, "JPEG", quality=60, keep_rgb=True), luma, lossy=True),
        "two_pictures.mpo": Vector(encode(large, "MPO", quality=60, save_all=True, append_images=[other]), luma, lossy=True),
        "damaged_exif.jpg": Vector(encode(colour(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), grey(), lossy=True),
    }


def _turned() -> dict[str, Vector]:
    """Pictures that have to be turned upright, and some that must not be."""
    files = {}
    for orientation, method in TURN_BACK.items():
        small, large = (im if method is None else im.transpose(method) for im in (colour(), colour(LARGE)))
        jpeg = encode(large, "JPEG", quality=60, exif=exif(orientation))
        files[f"turned_{orientation}.jpg"] = Vector(jpeg, grey(LARGE), lossy=True)
        files[f"turned_{orientation}.png"] = Vector(encode(small, "PNG", exif=exif(orientation)), grey())
        webp = encode(small, "WEBP", lossless=True, exif=exif(orientation))
        files[f"turned_{orientation}.webp"] = Vector(webp, grey())
        tiff = encode(small, "TIFF", compression="tiff_lzw", tiffinfo={0x0112: orientation})
        files[f"turned_{orientation}.tif"] = Vector(tiff, grey())
    turn_back = TURN_BACK[6]
    assert turn_back is not None
    small = colour().transpose(turn_back)
    profile = exif(6)[6:].hex()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(profile) // 2:8}\n{profile}\n")
    files["turned_by_text.png"] = Vector(encode(small, "PNG", pnginfo=text), grey())
    files["turned_at_the_end.png"] = Vector(_with_late_exif(encode(small, "PNG"), exif(6)[6:]), grey())
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    files["not_turned_by_xmp.tif"] = Vector(encode(colour(), "TIFF", compression="tiff_lzw", tiffinfo={700: xmp}), grey())
    return files


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return b"Exif\0\0" + data.tobytes().replace(b"Exif\0\0", b"")


def _with_late_exif(png_: bytes, data: bytes) -> bytes:
    end = png_.index(b"IEND") - 4
    return png_[:end] + _chunk(b"eXIf", data) + png_[end:]


def _pngs() -> dict[str, Vector]:
    rgb, luma, mask = colour(), grey(), alpha()
    rgba, la = rgb.copy(), luma.copy()
    rgba.putalpha(mask)
    la.putalpha(mask)
    few = luma.point([value & 0xE0 for value in range(256)])  # eight greys, so that one of them covers an area
    indexed, entries, of_index = _indexed()
    colours = indexed.convert("RGB")
    key = entries[3]
    two, four, sixteen = (_packed(few, bits) for bits in (2, 4, 16))
    wide = [b"".join(2 * struct.pack("B", sample) for sample in row) for row in _rows(colours)]
    return {
        "rgb.png": Vector(encode(rgb, "PNG"), luma),
        "tall.png": Vector(encode(grey((21, 107)), "PNG"), grey((21, 107))),
        "wide.png": Vector(encode(grey((140, 31)), "PNG"), grey((140, 31))),
        "tiny.png": Vector(encode(grey((5, 4)), "PNG"), grey((5, 4))),
        "rgba.png": Vector(encode(rgba, "PNG"), over_white(rgb, mask)),
        "grey.png": Vector(encode(luma, "PNG"), luma),
        "grey_alpha.png": Vector(encode(la, "PNG"), over_white(luma.convert("RGB"), mask)),
        "bilevel.png": Vector(encode(bilevel(), "PNG"), bilevel().convert("L")),
        "indexed.png": Vector(encode(indexed, "PNG"), colours.convert("L")),
        "indexed_alpha.png": Vector(encode(indexed, "PNG", transparency=bytes(8 * index for index in range(32))),
                                    over_white(colours, of_index.point([8 * index % 256 for index in range(256)]))),
        "indexed_key.png": Vector(encode(indexed, "PNG", transparency=3), without(colours.convert("L"), of_index, 3)),
        "rgb_key.png": Vector(encode(colours, "PNG", transparency=key), without(colours.convert("L"), of_index, 3)),
        "grey_key.png": Vector(encode(few, "PNG", transparency=0x60), without(few, few, 0x60)),
        "white_key.png": Vector(png(SMALL, 1, 0, _packed(bilevel().convert("L"), 1), tRNS=b"\0\1"), bilevel().convert("L")),
        "black_key.png": Vector(png(SMALL, 1, 0, _packed(bilevel().convert("L"), 1), tRNS=b"\0\0"),
                                Image.new("L", SMALL, 255)),
        "grey_2_bits.png": Vector(png(SMALL, 2, 0, two), _levels(few, 2)),
        "grey_2_bits_key.png": Vector(png(SMALL, 2, 0, two, tRNS=b"\0\1"), without(_levels(few, 2), _levels(few, 2), 85)),
        "grey_4_bits_key.png": Vector(png(SMALL, 4, 0, four, tRNS=b"\0\6"), without(_levels(few, 4), _levels(few, 4), 102)),
        "grey_16_bits.png": Vector(png(SMALL, 16, 0, _packed(luma, 16)), luma),
        "grey_16_bits_key.png": Vector(png(SMALL, 16, 0, sixteen, tRNS=b"\x60\xc8"), without(few, few, 0x60)),
        "rgb_16_bits.png": Vector(png(SMALL, 16, 2, wide), colours.convert("L")),
        "rgb_16_bits_key.png": Vector(png(SMALL, 16, 2, wide, tRNS=bytes(level for level in key for _twice in (1, 2))),
                                      without(colours.convert("L"), of_index, 3)),
        "animated.png": Vector(encode(rgb, "PNG", save_all=True, append_images=[ImageOps.flip(rgb)]), luma),
    }


def png(size: tuple[int, int], depth: int, colour_type: int, rows: list[bytes], tRNS: bytes | None = None) -> bytes:
    """A PNG of a kind that Pillow does not write."""
    header = struct.pack(">LLBBBBB", *size, depth, colour_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + (b"" if tRNS is None else _chunk(b"tRNS", tRNS))
            + _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + _chunk(b"IEND", b""))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def bilevel() -> Image.Image:
    return grey().point([255 * (value > 110) for value in range(256)]).convert("1")


def _indexed() -> tuple[Image.Image, list[tuple[int, ...]], Image.Image]:
    """A picture of 32 colours, the colours, and its indices as a picture in mode L."""
    im = colour().quantize(32, dither=Image.Dither.NONE)
    palette = im.getpalette()
    assert palette is not None
    return im, [tuple(palette[3 * index:3 * index + 3]) for index in range(32)], Image.frombytes("L", im.size, im.tobytes())


def _rows(im: Image.Image) -> list[bytes]:
    content, length = im.tobytes(), len(im.getbands()) * im.width
    return [content[start:start + length] for start in range(0, len(content), length)]


def _packed(im: Image.Image, bits: int) -> list[bytes]:
    """Rows of grey samples of 1 to 16 bits, the highest bits of ``im``; those of 16 bits end in 0xC8."""
    if bits == 16:
        return [b"".join(struct.pack("BB", level, 0xC8) for level in row) for row in _rows(im)]
    return [int("".join(f"{level >> 8 - bits:0{bits}b}" for level in row), 2).to_bytes(len(row) * bits // 8, "big")
            for row in _rows(im)]


def _levels(im: Image.Image, bits: int) -> Image.Image:
    """``im`` as it looks with ``bits`` a pixel."""
    return im.point([(value >> 8 - bits) * 255 // (2 ** bits - 1) for value in range(256)])


def _gifs() -> dict[str, Vector]:
    luma = grey()
    indexed, _entries, of_index = _indexed()
    colours = indexed.convert("RGB").convert("L")
    few = luma.point([value & 0xE0 for value in range(256)])
    framed = Image.new("L", (80, 60), 255)
    framed.paste(colours, (20, 4))
    others = [ImageOps.mirror(indexed), ImageOps.flip(indexed)]
    return {
        "indexed.gif": Vector(encode(indexed, "GIF"), colours),
        "grey.gif": Vector(encode(luma, "GIF"), luma),
        "indexed_key.gif": Vector(encode(indexed, "GIF", transparency=3), without(colours, of_index, 3)),
        "grey_key.gif": Vector(encode(few, "GIF", transparency=0x60), without(few, few, 0x60)),
        "animated.gif": Vector(encode(indexed, "GIF", save_all=True, append_images=others), colours),
        "corner.gif": Vector(_in_corner(encode(indexed, "GIF"), framed.size, (20, 4)), framed),
        "corner_key.gif": Vector(_in_corner(encode(indexed, "GIF", transparency=3), framed.size, (20, 4)),
                                 _pasted(without(colours, of_index, 3), framed.size, (20, 4))),
    }


def _in_corner(gif: bytes, screen: tuple[int, int], corner: tuple[int, int]) -> bytes:
    """``gif`` with its first frame at ``corner`` of a larger screen."""
    content = bytearray(gif)
    place = content.index(b"," + struct.pack("<HHHH", 0, 0, *struct.unpack_from("<HH", gif, 6)))
    struct.pack_into("<HH", content, 6, *screen)
    struct.pack_into("<HH", content, place + 1, *corner)
    return bytes(content)


def _pasted(im: Image.Image, size: tuple[int, int], corner: tuple[int, int]) -> Image.Image:
    white = Image.new("L", size, 255)
    white.paste(im, corner)
    return white


def _webps() -> dict[str, Vector]:
    rgb, mask = colour(), alpha()
    rgba = rgb.copy()
    rgba.putalpha(mask)
    others = [ImageOps.mirror(rgb), ImageOps.flip(rgb)]
    return {
        "lossy.webp": Vector(encode(colour(LARGE), "WEBP", quality=80), grey(LARGE), lossy=True),
        "alpha.webp": Vector(encode(rgba, "WEBP", lossless=True, exact=True), over_white(rgb, mask)),
        "animated.webp": Vector(encode(rgb, "WEBP", lossless=True, save_all=True, append_images=others), grey()),
    }


def _bmps() -> dict[str, Vector]:
    rgb, luma, mask = colour(), grey(), alpha()
    indexed = _indexed()[0]
    return {
        "rgb.bmp": Vector(encode(rgb, "BMP"), luma),
        "grey.bmp": Vector(encode(luma, "BMP"), luma),
        "indexed.bmp": Vector(encode(indexed, "BMP"), indexed.convert("RGB").convert("L")),
        "bilevel.bmp": Vector(encode(bilevel(), "BMP"), bilevel().convert("L")),
        "alpha.bmp": Vector(_bmp32(rgb, mask, header=108), over_white(rgb, mask)),
        "no_alpha.bmp": Vector(_bmp32(rgb, mask, header=40), luma),
    }


def _bmp32(im: Image.Image, mask: Image.Image, header: int) -> bytes:
    """A 32-bit BMP: with a header of 108 bytes it says that the fourth byte is alpha, with one of 40 it says nothing."""
    pixels = bytearray(4 * im.width * im.height)
    for place, band in zip((2, 1, 0, 3), (*im.split(), mask)):
        pixels[place::4] = band.tobytes()
    compression = 3 if header == 108 else 0
    info = struct.pack("<LllHHLLllLL", header, im.width, -im.height, 1, 32, compression, len(pixels), 0, 0, 0, 0)
    if header == 108:
        info += struct.pack("<LLLL", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<LHHL", 14 + header + len(pixels), 0, 0, 14 + header) + info + bytes(pixels)


def run_length_bmp(im: Image.Image) -> bytes:
    """A run-length encoded BMP of a grey picture."""
    runs = b""
    for row in reversed(_rows(im)):
        runs += b"".join(bytes((len(list(run)), level)) for level, run in itertools.groupby(row)) + b"\0\0"
    runs += b"\0\1"
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    start = 14 + 40 + len(palette)
    info = struct.pack("<LllHHLLllLL", 40, im.width, im.height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LHHL", start + len(runs), 0, 0, start) + info + palette + runs


def _tiffs() -> dict[str, Vector]:
    rgb, luma, mask = colour(), grey(), alpha()
    rgba, la = rgb.copy(), luma.copy()
    rgba.putalpha(mask)
    la.putalpha(mask)
    indexed = _indexed()[0]
    cmyk = rgb.convert("CMYK")
    lab = Image.merge("LAB", rgb.split())
    levels = luma.tobytes()
    sixteen = b"".join(struct.pack("<H", 256 * level + 200) for level in levels)
    long, real = [400 * level - 9000 for level in levels], [1.5 * level - 60.25 for level in levels]
    return {
        "grey.tif": Vector(encode(luma, "TIFF", compression="tiff_adobe_deflate"), luma),
        "grey_alpha.tif": Vector(encode(la, "TIFF"), over_white(luma.convert("RGB"), mask)),
        "bilevel.tif": Vector(encode(bilevel(), "TIFF"), bilevel().convert("L")),
        "fax.tif": Vector(encode(bilevel(), "TIFF", compression="group4"), bilevel().convert("L")),
        "indexed.tif": Vector(encode(indexed, "TIFF"), indexed.convert("RGB").convert("L")),
        "rgb.tif": Vector(encode(rgb, "TIFF"), luma),
        "packbits.tif": Vector(encode(rgb, "TIFF", compression="packbits"), luma),
        "jpeg.tif": Vector(encode(rgb, "TIFF", compression="jpeg", quality=85), luma, lossy=True),
        "rgba.tif": Vector(encode(rgba, "TIFF", compression="tiff_lzw"), over_white(rgb, mask)),
        "cmyk.tif": Vector(encode(cmyk, "TIFF"), cmyk.convert("RGB").convert("L")),
        "ycbcr.tif": Vector(encode(rgb.convert("YCbCr"), "TIFF", compression="jpeg", quality=85), luma, lossy=True),
        "lab.tif": Vector(encode(lab, "TIFF"), lab.getchannel("L")),
        "grey_16_bits.tif": Vector(encode(Image.frombytes("I;16", SMALL, sixteen), "TIFF"), luma),
        "grey_16_bits_big_endian.tif": Vector(encode(Image.frombytes("I;16B", SMALL, _swapped(sixteen)), "TIFF"), luma),
        "grey_32_bits.tif": Vector(encode(Image.frombytes("I", SMALL, struct.pack(f"<{len(long)}l", *long)), "TIFF"),
                                   _clamped(value // 256 for value in long)),
        "float.tif": Vector(encode(Image.frombytes("F", SMALL, struct.pack(f"<{len(real)}f", *real)), "TIFF"),
                            _clamped(int(value) for value in real)),
        "to_1.tif": Vector(encode(Image.frombytes("F", SMALL, struct.pack(f"<{len(levels)}f", *(level / 255 for level in levels))), "TIFF"), luma),
    }


def _swapped(sixteen: bytes) -> bytes:
    return b"".join(sixteen[place:place + 2][::-1] for place in range(0, len(sixteen), 2))


def _clamped(levels: Iterable[int]) -> Image.Image:
    return Image.frombytes("L", SMALL, bytes(min(255, max(0, level)) for level in levels))


def _pnms() -> dict[str, Vector]:
    rgb, luma = colour(), grey()
    levels = luma.tobytes()
    hundredths = [100 * level // 255 for level in levels]
    black = b" ".join(b"0" if level else b"1" for level in bilevel().convert("L").tobytes())
    tiny = colour((24, 20))
    samples = tiny.tobytes()
    return {
        "plain.pbm": Vector(b"P1\n# bits\n48 40\n" + black, bilevel().convert("L")),
        "plain.pgm": Vector(b"P2\n48 40\n255\n" + b" ".join(b"%d" % level for level in levels), luma),
        "plain.ppm": Vector(b"P3\n24 20\n255\n" + b" ".join(b"%d" % sample for sample in samples), tiny.convert("L")),
        "raw.pbm": Vector(encode(bilevel(), "PPM"), bilevel().convert("L")),
        # .bin: what has no NUL byte early on would be linted as text.
        "raw.pgm.bin": Vector(b"P5\n# a comment\n48 40\n255\n" + levels, luma),
        "raw.ppm.bin": Vector(encode(rgb, "PPM"), luma),
        "to_100.pgm": Vector(b"P5 48 40 100\n" + bytes(hundredths), _clamped(round(value / 100 * 255) for value in hundredths)),
        "to_65535.pgm.bin": Vector(b"P5 48 40 65535\n" + b"".join(_packed(luma, 16)), luma),
        "to_65535.ppm.bin": Vector(
            b"P6 24 20 65535\n" + bytes(sample for sample in samples for _twice in (1, 2)), tiny.convert("L")),
    }


def _others() -> dict[str, Vector]:
    """Files of the formats that Pillow decodes beside the common ones."""
    rgb, luma, mask = colour(), grey(), alpha()
    rgba = rgb.copy()
    rgba.putalpha(mask)
    transparent = over_white(rgb, mask)
    indexed = _indexed()[0]
    of_indices = indexed.convert("RGB").convert("L")
    black = bilevel().convert("L")
    icon = encode(rgba, "ICO", sizes=[SMALL], bitmap_format="bmp")
    levels = luma.tobytes()
    real = struct.pack(f"<{len(levels)}f", *levels)
    pcx = encode(rgb, "PCX")
    return {
        "grey.tga": Vector(encode(luma, "TGA"), luma),
        "rgb.tga": Vector(encode(rgb, "TGA"), luma),
        "rgba.tga": Vector(encode(rgba, "TGA", compression="tga_rle"), transparent),
        "indexed.tga": Vector(encode(indexed, "TGA"), of_indices),
        "rgb.pcx": Vector(pcx, luma),
        "indexed.pcx": Vector(encode(indexed, "PCX"), of_indices),
        "bilevel.pcx": Vector(encode(bilevel(), "PCX"), black),
        "pages.dcx": Vector(struct.pack("<LLLL", 0x3ADE68B1, 16, 16 + len(pcx), 0) + pcx + encode(indexed, "PCX"), luma),
        "grey.sgi": Vector(encode(luma, "SGI"), luma),
        "rgba.sgi": Vector(encode(rgba, "SGI"), transparent),
        "png.ico": Vector(encode(rgba, "ICO", sizes=[SMALL]), transparent),
        "bitmap.ico": Vector(icon, transparent),
        "depths.ico": Vector(_icon([(1, encode(bilevel().convert("RGBA"), "PNG")), (32, encode(rgba, "PNG")), (8, encode(indexed, "PNG"))]), transparent),
        "pointer.cur": Vector(b"\0\0\2\0" + icon[4:], transparent),
        "rgb.icns": Vector(encode(colour((128, 128)), "ICNS", append_images=[]), grey((128, 128)).resize((1024, 1024)), lossy=True),
        "rgb.dds": Vector(encode(rgb, "DDS"), luma),
        "rgb.qoi": Vector(encode(rgb, "QOI"), luma),
        "bilevel.xbm": Vector(encode(bilevel(), "XBM"), black),
        "indexed.xpm": Vector(_xpm(indexed), of_indices),
        "rgb.im": Vector(encode(rgb, "IM"), luma),
        "bilevel.msp": Vector(encode(bilevel(), "MSP"), black),
        "float.spider": Vector(encode(Image.frombytes("F", SMALL, real), "SPIDER"), luma),
        "rgb.ras": Vector(struct.pack(">8L", 0x59A66A95, *SMALL, 24, len(rgb.tobytes()), 1, 0, 0)
                          + Image.merge("RGB", rgb.split()[::-1]).tobytes(), luma),
        "rgb.dib": Vector(encode(rgb, "DIB"), luma),
        "rgb.psd": Vector(_psd(rgb), luma),
        "bilevel.psd": Vector(_bitmap_psd(bilevel()), black),
        "grey.imt.bin": Vector(b"*grey\nwidth 48\nheight 40\npixel n8\n\x0c" + levels, luma),
        "grey.gbr": Vector(struct.pack(">LLLLL", 33, 2, *SMALL, 1) + b"GIMP" + struct.pack(">L", 1) + b"brush" + levels, luma),
        "grey.fits.bin": Vector(_fits(luma), luma),
        "grey.pfm.bin": Vector(b"Pf\n48 40\n-1.0\n" + _float_rows(luma), luma),
        "to_1.pfm.bin": Vector(b"Pf\n48 40\n-1.0\n" + _float_rows(luma, 255), luma),
        "rgb.pxr": Vector((b"\x80\xe8\0\0".ljust(416, b"\0") + struct.pack("<HHHHHH", *SMALL[::-1], 0, 0, 14, 2)).ljust(1024, b"\0")
                          + rgb.tobytes(), luma),
        "thumbnail.p7": Vector(b"P7 332\n#a thumbnail\n#END_OF_COMMENTS\n48 40 255\n" + _in_332(rgb), _from_332(_in_332(rgb))),
        "rgb.jp2": Vector(encode(rgb, "JPEG2000"), luma),
        "indexed.blp": Vector(encode(indexed, "BLP", blp_version="BLP2"), of_indices),
        "video.fli": Vector(_fli(indexed), of_indices),
    }


def _icon(files: list[tuple[int, bytes]]) -> bytes:
    """An ICO with pictures of one size and different depths."""
    directory, place = struct.pack("<HHH", 0, 1, len(files)), 6 + 16 * len(files)
    for bits, content in files:
        directory += struct.pack("<BBBBHHLL", *SMALL, 0, 0, 1, bits, len(content), place)
        place += len(content)
    return directory + b"".join(content for _bits, content in files)


def _in_332(im: Image.Image) -> bytes:
    """3 bits of red, 3 of green and 2 of blue."""
    red, green, blue = (band.tobytes() for band in im.split())
    return bytes(r & 0xE0 | g >> 5 << 2 | b >> 6 for r, g, b in zip(red, green, blue))


def _from_332(pixels: bytes) -> Image.Image:
    colours = bytes(level for byte in pixels for level in ((byte >> 5) * 255 // 7, (byte >> 2 & 7) * 255 // 7, (byte & 3) * 255 // 3))
    return Image.frombytes("RGB", SMALL, colours).convert("L")


def _xpm(im: Image.Image) -> bytes:
    palette = im.getpalette()
    assert palette is not None
    letters = "abcdefghijklmnopqrstuvwxyzABCDEF"
    lines = [f"{im.width} {im.height} {len(letters)} 1"]
    lines += [f"{letter} c #{bytes(palette[3 * index:3 * index + 3]).hex()}" for index, letter in enumerate(letters)]
    lines += ["".join(letters[index] for index in row) for row in _rows(Image.frombytes("L", im.size, im.tobytes()))]
    return ("/* XPM */\nstatic char *drawn[] = {\n" + ",\n".join(f'"{line}"' for line in lines) + "\n};\n").encode("ascii")


def _psd(im: Image.Image) -> bytes:
    header = b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, im.height, im.width, 8, 3)
    return header + struct.pack(">LLLH", 0, 0, 0, 0) + b"".join(band.tobytes() for band in im.split())


def _bitmap_psd(im: Image.Image) -> bytes:
    """A Photoshop bitmap, in which black is 1."""
    return b"8BPS" + struct.pack(">H6xHLLHHLLLH", 1, 1, im.height, im.width, 1, 0, 0, 0, 0, 0) + ImageChops.invert(im).tobytes()


def _fits(im: Image.Image) -> bytes:
    cards = [("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "2"), ("NAXIS1", str(im.width)), ("NAXIS2", str(im.height))]
    header = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards) + "END".ljust(80)
    return header.ljust(2880).encode("ascii") + ImageOps.flip(im).tobytes().ljust(2880, b"\0")


def _float_rows(im: Image.Image, divisor: int = 1) -> bytes:
    return b"".join(struct.pack(f"<{im.width}f", *(level / divisor for level in row)) for row in reversed(_rows(im)))


def _fli(im: Image.Image) -> bytes:
    """A FLC of one frame: its palette, and its pixels without compression."""
    palette = im.getpalette()
    assert palette is not None
    colours = bytes(palette).ljust(768, b"\0")
    chunks = struct.pack("<LHHBB", 6 + 4 + len(colours), 4, 1, 0, 0) + colours
    chunks += struct.pack("<LH", 6 + im.width * im.height, 16) + im.tobytes()
    frame = struct.pack("<LHH8x", 16 + len(chunks), 0xF1FA, 2) + chunks
    header = struct.pack("<LHHHHHHL", 128 + len(frame), 0xAF12, 1, *im.size, 8, 3, 40)
    return header.ljust(80, b"\0") + struct.pack("<LL", 128, 128 + len(frame)) + bytes(40) + frame
