# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of ``algorithm: pillow``, from an open file to 144 luma pixels. The hash depends on their order.

Pillow versions differ in details: where they look for the orientation, what surrounds the first frame of a GIF, which mode a
16-bit PNG has. This file makes all these choices itself, so every version gives the same hash.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

try:
    from PIL import Image, ImageChops, JpegImagePlugin, PpmImagePlugin, features

    for _name in ("Bmp", "Gif", "Jpeg2K", "Png", "Tiff", "WebP",  # else Pillow loads all plugins at need
                  "Blp", "Cur", "Dcx", "Dds", "Fits", "Fli", "Ftex", "Gbr", "Icns", "Ico", "Im", "Imt", "McIdas", "Msp", "Pcd", "Pcx",
                  "Pixar", "Psd", "Qoi", "Sgi", "Spider", "Sun", "Tga", "Xbm", "Xpm", "XVThumb"):
        with contextlib.suppress(ModuleNotFoundError):  # Pillow 9 has no plugin for FITS and QOI
            importlib.import_module(f"PIL.{_name}ImagePlugin")
except Exception as error:  # Pillow is not installed, or does not fit the libraries of this host
    IMPORT_ERROR: Exception | None = error
else:
    IMPORT_ERROR = None
    _Transpose = getattr(Image, "Transpose", Image)  # Pillow 9.0 has the names in Image
    TURNS = {  # Exif orientation: what makes the picture upright
        2: _Transpose.FLIP_LEFT_RIGHT, 3: _Transpose.ROTATE_180, 4: _Transpose.FLIP_TOP_BOTTOM, 5: _Transpose.TRANSPOSE,
        6: _Transpose.ROTATE_270, 7: _Transpose.TRANSVERSE, 8: _Transpose.ROTATE_90,
    }
    BICUBIC = getattr(Image, "Resampling", Image).BICUBIC
    Image.MAX_IMAGE_PIXELS = None  # pictures of our own need no limit
    with contextlib.suppress(ImportError):  # Pillow before 11.3
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # workers are parallel, and a thread costs address space

from .._errors import ImageError, MissingRequirementError
from . import file_faults
from .image_formats import Format

if TYPE_CHECKING:
    from PIL import ImageFile

OLDEST = 9
PREVIEW_QUALITY = 85
ORIENTATION, SHORT = 0x0112, 3  # Exif 2.32, table 4 and 4.6.2
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa")
_NUMBERS = rb"(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+"  # width and height, comments between
PNM_OF_PILLOW_9_0 = re.compile(rb"P4|P5" + _NUMBERS + rb"(?:255|65535)\s|P6" + _NUMBERS + rb"255\s")


def require() -> None:
    """Raise MissingRequirementError if this Python has no working Pillow, or one that is too old."""
    advice = "Install Pillow (Debian: apt-get install python3-pil; or dhash_install: packages or venv)."
    if IMPORT_ERROR is not None:
        cause = f"Pillow is needed for hashing and cannot be imported: {IMPORT_ERROR}"
        raise MissingRequirementError(cause, next_step=advice)
    from PIL import __version__

    if int(__version__.split(".")[0]) < OLDEST:
        cause = f"Pillow {OLDEST}.0 or newer is needed for hashing, found {__version__}"
        raise MissingRequirementError(cause, next_step=advice)


def can_open(format_: Format, head: bytes) -> bool:
    """Whether this Pillow has a decoder for ``format_``, and it accepts a file that begins with ``head``."""
    if format_.pillow == "JPEG2000" and (not features.check("jpg_2000") or _is_deep_jpeg_2000(head)):
        return False
    if format_.pillow == "PPM" and not hasattr(PpmImagePlugin, "PpmDecoder") and not PNM_OF_PILLOW_9_0.match(head):
        return False  # Pillow would read the grey levels of such a file as if there were 255
    if format_.pillow == "IMT" and not hasattr(PpmImagePlugin, "PpmDecoder"):
        return False  # Pillow 9.0 cannot read its own format
    if format_.pillow not in Image.OPEN:
        return False
    accepts = Image.OPEN[format_.pillow][1]
    return accepts is None or accepts(head[:16]) is True


def _is_deep_jpeg_2000(head: bytes) -> bool:
    """Whether colours have more than 8 bits (ISO/IEC 15444-1, A.5.1 and I.5.3.1): Pillow's rounding turns white into black then."""
    box = head.find(b"ihdr")
    start = box + 12 if box >= 0 else 40
    components, bits = head[start:start + 2], (head[start + 2] & 0x7F) + 1 if len(head) > start + 2 else 0
    return int.from_bytes(components, "big") > 1 and bits > 8


def register_heif() -> bool:
    """Make Pillow open HEIC if the package pillow-heif is installed; returns whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener()
    return True


def luma_pixels(file: BinaryIO, format_: Format, max_pixels: int) -> tuple[bytes, bytes]:
    """The first frame's luma as 8 rows of 9 and as 9 rows of 8 pixels.

    ``file`` is only tried as ``format_``. Raises ImageError, and OSError if the file cannot be read.
    """
    with _opened(file, format_, max_pixels) as im:
        picture = _upright_luma(im, max_pixels)
        return _scaled(picture, 9, 8), _scaled(picture, 8, 9)


def luma(file: BinaryIO, format_: Format, max_pixels: int) -> Image.Image:
    """The first frame as it is stored, in mode L, at the scale at which it is hashed. Errors as in :func:`luma_pixels`."""
    with _opened(file, format_, max_pixels) as im:
        im.info.pop("exif", None)
        return _upright_luma(im, max_pixels)


def preview(file: BinaryIO, format_: Format, max_pixels: int, edge: int) -> tuple[bytes, int, int]:
    """The first frame as a small upright JPEG, at most ``edge`` pixels wide and high, and its full width and height.

    ``file`` is only tried as ``format_``. Raises ImageError, and OSError if the file cannot be read.
    """
    with _opened(file, format_, max_pixels) as im:
        width, height = im.size
        turned = _orientation(im.info) >= 5
        picture = _upright(im, max_pixels, "RGB", (edge, edge), _colours)
        if im.format == "TIFF":
            width, height = picture.size
        elif turned:
            width, height = height, width
        picture.thumbnail((edge, edge), BICUBIC)
        picture.info = {}  # otherwise comments of the file would be copied
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=PREVIEW_QUALITY)
        return content.getvalue(), width, height


@contextlib.contextmanager
def _opened(file: BinaryIO, format_: Format, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """The picture in ``file``. Errors of a damaged file, here or within the context, are raised as ImageError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow refuses more than twice this number. It opens some files, such as an icon with a PNG inside, by decoding them.
        Image.MAX_IMAGE_PIXELS = max_pixels // 2
        try:
            file.seek(0)
            if format_.pillow == "ICO":
                file = io.BytesIO(_with_best_picture_alone(file.read()))
            # Image.open would hide what the plugin reports, and read the index of an MPO, of which Pillow versions refuse different ones.
            opens = JpegImagePlugin.JpegImageFile if format_.pillow == "JPEG" else Image.OPEN[format_.pillow or ""][0]
            yield opens(file, "")
        except (ImageError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise ImageError("too_large", "the image has more pixels than the limit allows") from None
        except Exception as error:  # damaged files make Pillow raise nearly anything: SyntaxError, KeyError, …
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # Pillow's own OSErrors carry no number
                raise  # EINVAL: a damaged file made Pillow seek to before its beginning
            raise file_faults.of_exception(error) from None
        finally:
            Image.MAX_IMAGE_PIXELS = None


def _with_best_picture_alone(icon: bytes) -> bytes:
    """An ICO file with its largest picture alone; of several, that with the most colours. Pillow versions choose another one of them."""
    best, chosen = (0, 0), None
    try:
        (count,) = struct.unpack_from("<H", icon, 4)
        for place in range(6, 6 + 16 * count, 16):
            width, height, colours, bits, start = struct.unpack_from("<3B3xH4xL", icon, place)
            # 0 stands for 256; without a number of bits, the palette tells the depth
            rank = (width or 256) * (height or 256), bits or (colours - 1).bit_length() or 8
            if rank > best and start < len(icon):
                best, chosen = rank, (place, start)
    except struct.error:
        return icon
    if chosen is None:
        return icon
    place, start = chosen
    return icon[:4] + b"\1\0" + icon[place:place + 12] + struct.pack("<L", 22) + icon[start:]


def _scaled(luma: Image.Image, width: int, height: int) -> bytes:
    """``luma.resize((width, height), BICUBIC)``, columns first: Pillow 13 takes the rows of a tall picture first."""
    return luma.resize((width, luma.height), BICUBIC).resize((width, height), BICUBIC).tobytes()


def _upright_luma(im: ImageFile.ImageFile, max_pixels: int) -> Image.Image:
    """Decode the first frame to luma (mode L), turned upright."""
    # A JPEG stores the luma: decoding to colours would only convert it back and forth.
    return _upright(im, max_pixels, "L", (72, 64), _luma)


def _upright(im: ImageFile.ImageFile, max_pixels: int, mode: str, least: tuple[int, int],
             flatten: Callable[[Image.Image, object], Image.Image]) -> Image.Image:
    """Decode the first frame, turned upright, and apply ``flatten``. A JPEG is decoded to ``least`` pixels or more."""
    pixels = im.width * im.height
    if im.format in ("JPEG", "MPO"):
        orientation = _orientation(im.info)
        im.draft(mode, least[::-1] if orientation >= 5 else least)
        if "progressive" not in im.info:  # a progressive JPEG takes the memory of its full size at any scale
            pixels = im.width * im.height
    if pixels > max_pixels:
        raise ImageError("too_large", "the image has more pixels than the limit allows")
    if im.format == "TIFF":
        # Pillow turns a TIFF by its tag, and from 10.4 on also by its XMP if it has no tag.
        im.getexif()[ORIENTATION] = im.tag_v2.get(ORIENTATION, 1)  # type: ignore[attr-defined] # a TIFF has it
    _decoder, box, _offset, layout = im.tile[0] if im.format in ("GIF", "PNG") else (None, None, None, None)
    im.load()
    picture = flatten(_with_usual_levels(im), layout)
    if im.format == "GIF":
        # Depending on its version, Pillow fills the area around the first frame with index 0 or with the transparent index.
        picture = _over_white(picture.crop(box), im.size, box)
    if im.format == "TIFF":
        return picture
    turn = TURNS.get(_orientation(im.info))
    return picture if turn is None else picture.transpose(turn)


def _with_usual_levels(im: ImageFile.ImageFile) -> Image.Image:
    """``im`` as its format means it, where Pillow hands on the levels of the file: black is 1 in a Photoshop bitmap, white is 1.0 in
    floating point, and a palette may have transparent colours."""
    if im.format == "PSD" and im.mode == "1":
        return ImageChops.invert(im)
    if im.mode == "F" and _extremes(im)[1] <= 1:
        return im.point(lambda value: value * 255 + 0.5)  # what follows cuts fractions off
    if im.mode == "P" and im.format not in ("GIF", "PNG"):  # which say so in ``info``
        with_alpha = im.convert("RGBA")
        lowest, highest = _extremes(with_alpha.getchannel("A"))
        if lowest < 255 and highest > 0:  # a file without transparency may leave it at 0
            return with_alpha
    return im


def _extremes(im: Image.Image) -> tuple[float, float]:
    """The lowest and the highest level of a picture of one channel."""
    return cast("tuple[float, float]", im.getextrema())


def _colours(im: Image.Image, layout: object) -> Image.Image:
    """``im`` as RGB, with transparent pixels over white. Modes with more than 8 bits or without plain colours as luma."""
    if im.mode == "LAB" or im.mode[0] in "IF":
        return _luma(im, layout).convert("RGB")
    if im.mode in ALPHA_MODES or im.info.get("transparency") is not None:
        return _over_white(im.convert("RGBA"), im.size)
    return im if im.mode == "RGB" else im.convert("RGB")


def _luma(im: Image.Image, layout: object) -> Image.Image:
    """``im`` as 8-bit luma, with transparent pixels over white. ``layout``: how the PNG file stores its samples."""
    key = im.info.get("transparency")
    if im.mode in ALPHA_MODES or (im.mode == "P" and key is not None):
        return _over_white(im.convert("RGBA"), im.size).convert("L")
    if im.mode == "LAB":
        return im.getchannel("L")
    if im.mode.startswith("I"):
        wide = im.convert("I")
        luma = wide.point(lambda value: value * (1 / 256)).convert("L")  # the high byte of 16 bits, clamped
        if key is None:
            return luma
        distances = [wide.point(lambda value: value * 1 + -key), wide.point(lambda value: value * -1 + key)]
        differences = [distance.convert("L").point([0] + [255] * 255) for distance in distances]
    else:
        luma = im.convert("L")
        if key is None:
            return luma
        bands = [luma] if im.mode == "1" else im.split()
        keys = [_as_decoded(level, layout) for level in (key if isinstance(key, tuple) else (key,))]
        differences = [band.point([255 * (value != level) for value in range(256)]) for band, level in zip(bands, keys)]
    opaque = functools.reduce(ImageChops.lighter, differences)
    return _over_white(Image.merge("LA", (luma, opaque)), im.size)


def _as_decoded(level: int, layout: object) -> int:
    """The 8-bit value that Pillow decodes for a sample ``level`` of a PNG's tRNS chunk, which has the bit depth of the file."""
    if layout == "1":
        return 255 if level else 0  # Pillow before 10 gives the value of the file, since 10 the decoded value
    if layout == "RGB;16B":
        return level >> 8
    return level * (85 if layout == "L;2" else 17 if layout == "L;4" else 1)


def _over_white(im: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """``im`` (L, LA, RGB or RGBA) at ``box`` of a white picture (L or RGB)."""
    white = Image.new("RGB" if im.mode.startswith("RGB") else "L", size, "white")
    white.paste(im.convert(white.mode), box, im.getchannel("A") if im.mode.endswith("A") else None)
    return white


def _orientation(info: dict[str | tuple[int, int], Any]) -> int:
    """The Exif orientation, 1-8; 1 if there is none or the Exif data are damaged.

    Parsed here (Exif 2.32, 4.6.2) because Pillow versions look for it in different places.
    """
    exif = info.get("exif")
    try:
        if exif is None and "Raw profile type exif" in info:  # as ImageMagick wrote it into a PNG, in hexadecimal
            exif = bytes.fromhex("".join(info["Raw profile type exif"].split("\n")[3:]))
        if exif is None:
            return 1
        if exif.startswith(b"Exif\0\0"):
            exif = exif[6:]
        order = {b"II*\0": "<", b"MM\0*": ">"}[bytes(exif[:4])]
        (directory,) = struct.unpack_from(order + "L", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _count, value = struct.unpack_from(order + "HHLH", exif, entry)
            if tag == ORIENTATION and kind == SHORT:
                return value if 1 <= value <= 8 else 1
    except (AttributeError, KeyError, TypeError, ValueError, struct.error):
        pass
    return 1
