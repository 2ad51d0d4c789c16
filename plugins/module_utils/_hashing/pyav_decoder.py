# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""FFmpeg's libraries in this process, by the package PyAV if this Python has it: for AVIF and JPEG XL that Pillow does not decode.

The demuxer is that of the file's signature, and no protocol is allowed, so the libraries open nothing but the file they are given.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

from .._errors import ImageError
from . import file_faults, heif_properties
from .image_formats import AVIF, JPEG_XL, Format

if TYPE_CHECKING:
    from PIL import Image

CODECS = {AVIF: ("av1", "libdav1d"), JPEG_XL: ("libjxl",)}
ERRORS = (OSError, ValueError, LookupError, ArithmeticError, RuntimeError)  # which PyAV raises beside its own
TILES = "this PyAV does not decode all tiles of the picture"


def can_decode(format_: Format) -> bool:
    """Whether this Python has PyAV, and PyAV a decoder for ``format_``."""
    if format_ not in CODECS:
        return False
    try:
        import av
    except ImportError:  # not installed, or does not fit the libraries of this host
        return False
    available = getattr(getattr(av, "codec", None), "codecs_available", ())  # other packages may have the same import name
    return any(codec in available for codec in CODECS[format_])


def picture_as_png(file: BinaryIO, format_: Format, max_pixels: int, orientation: int) -> bytes:
    """The picture in ``file`` as a PNG file with transparency, turned by the Exif ``orientation``, in full size.

    The transparency of an AVIF is another picture, grey and of the same size (AV1 Image File Format, 4.1). Raises ImageError.
    """
    import av

    from . import pillow_decoder

    tiles = heif_properties.tiles(file) if heif_properties.primary_type(file) == "grid" else []
    size = heif_properties.size(file)
    is_clear = heif_properties.has_alpha(file)
    file.seek(0)
    try:
        with av.open(file, format=format_.demuxer, options={"protocol_whitelist": "none", "format_whitelist": format_.demuxer or ""}) as container:
            streams = list(container.streams.video)
            if any(stream.codec_context.width * stream.codec_context.height > max_pixels for stream in streams):
                raise ImageError("too_large", "the image has more pixels than the limit allows")
            for stream in streams:
                stream.codec_context.thread_count = 1  # workers are parallel, and a thread costs address space
            grey = [stream for stream in streams[1:] if is_clear and stream.codec_context.format.name.startswith("gray")]
            if not tiles:
                picture = _first_picture(container, streams[0], "rgba", "RGBA")
                opaque = _first_picture(container, grey[0], "gray", "L") if grey else None
            else:
                by_number = {stream.id: stream for stream in streams}
                picture = _put_together(container, [by_number[number] for number in tiles if number in by_number], size, "rgba", "RGBA")
                opaque = _put_together(container, grey, size, "gray", "L") if is_clear else None
            if opaque is not None and opaque.size != picture.size:
                raise ImageError("unsupported", TILES)
    except ImageError:
        raise
    except (StopIteration, IndexError):
        raise ImageError("damaged", "no picture in the file") from None
    except (av.FFmpegError, *ERRORS) as error:
        raise file_faults.of_exception(error) from None
    if opaque is not None:
        picture.putalpha(opaque)
    turn = pillow_decoder.TURNS.get(orientation)
    if turn is not None:
        picture = picture.transpose(turn)
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _first_picture(container: Any, stream: Any, pixel_format: str, mode: str) -> Image.Image:
    from PIL import Image

    container.seek(0)
    converted = next(container.decode(stream)).reformat(format=pixel_format)
    plane = converted.planes[0]
    return Image.frombytes(mode, (converted.width, converted.height), bytes(plane), "raw", mode, plane.line_size)


def _put_together(container: Any, streams: list[Any], size: tuple[int, int] | None, pixel_format: str, mode: str) -> Image.Image:
    """The picture of ``size`` pixels whose parts ``streams`` are, row by row, all of one size; a stream may be there more than once."""
    from PIL import Image

    parts = {stream.id: _first_picture(container, stream, pixel_format, mode) for stream in streams}
    if not (size and parts and len({part.size for part in parts.values()}) == 1):
        raise ImageError("unsupported", TILES)
    width, height = parts[streams[0].id].size
    columns, rows = -(-size[0] // width), -(-size[1] // height)
    if len(streams) != columns * rows:
        raise ImageError("unsupported", TILES)
    whole = Image.new(mode, size)
    for number, stream in enumerate(streams):
        whole.paste(parts[stream.id], (number % columns * width, number // columns * height))
    return whole
