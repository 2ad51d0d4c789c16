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
TILES = "PyAV decodes one tile of a picture of tiles"


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

    if heif_properties.primary_type(file) == "grid":
        raise ImageError("unsupported", TILES)
    file.seek(0)
    try:
        with av.open(file, format=format_.demuxer, options={"protocol_whitelist": "none", "format_whitelist": format_.demuxer or ""}) as container:
            streams = [*container.streams.video[:1], *_transparency(file, container)]
            if any(stream.codec_context.width * stream.codec_context.height > max_pixels for stream in streams):
                raise ImageError("too_large", "the image has more pixels than the limit allows")
            pictures: list[Image.Image] = []
            for stream in streams:
                stream.codec_context.thread_count = 1  # workers are parallel, and a thread costs address space
                container.seek(0)
                frame = next(container.decode(stream))
                pictures.append(_picture(frame, "gray", "L") if pictures else _picture(frame, "rgba", "RGBA"))
    except ImageError:
        raise
    except StopIteration:
        raise ImageError("damaged", "no picture in the file") from None
    except (av.FFmpegError, *ERRORS) as error:
        raise file_faults.of_exception(error) from None
    if not pictures:
        raise ImageError("damaged", "no picture in the file")
    picture = pictures[0]
    if len(pictures) == 2:
        if pictures[1].size != picture.size:
            raise ImageError("unsupported", TILES)
        picture.putalpha(pictures[1])
    turn = pillow_decoder.TURNS.get(orientation)
    if turn is not None:
        picture = picture.transpose(turn)
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _transparency(file: BinaryIO, container: Any) -> list[Any]:
    """The stream with the transparency of the first one, if there is any."""
    place = file.tell()
    is_there = heif_properties.has_alpha(file)
    file.seek(place)
    return [stream for stream in container.streams.video[1:] if is_there and stream.codec_context.format.name.startswith("gray")][:1]


def _picture(frame: Any, pixel_format: str, mode: str) -> Image.Image:
    from PIL import Image

    converted = frame.reformat(format=pixel_format)
    plane = converted.planes[0]
    return Image.frombytes(mode, (converted.width, converted.height), bytes(plane), "raw", mode, plane.line_size)
