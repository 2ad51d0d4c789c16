# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decode an image file to 144 upright luma pixels, within limits.

The file is opened once. Its real path, its type and its size are checked on this descriptor, and Pillow and FFmpeg read only
this descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Generic, TypeVar

from .._errors import NEXT_STEPS, ImageError, printable
from .._files import file_stamps
from . import decoder_limits, difference_hash, file_faults, file_structures, heif_properties, image_formats, pyav_decoder, raw_preview, repaired_files

OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY  # a pipe or a terminal must not block or be taken
MAX_PATH = 1024  # macOS, sys/syslimits.h
FILE_TYPES = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
              stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
INSTALL_HEIF = "Install pillow-heif (pip install pillow-heif) into the Python that runs the modules, then run again."
CONVERT = "Convert the image to another format, for example PNG."
USE_PILLOW = "Convert the image to another format, or use dhash_algorithm: pillow."
UPDATE_PILLOW = "Update Pillow (dhash_install: venv), then run again."
OF_THE_DECODER = ("truncated", "damaged", "unsupported")  # another decoder may succeed
DEVELOP = "Develop the file with the camera maker's program or another raw converter, and add the result to the library."
Rendered = TypeVar("Rendered")


class Decoded(Generic[Rendered]):
    """What was made of a picture, the name of its decoder and its format. ``size``: width and height of the sensor's picture, upright, if
    ``picture`` was made of a smaller preview."""

    def __init__(self, picture: Rendered, decoder: str, format_: image_formats.Format, size: tuple[int, int] | None = None) -> None:
        self.picture, self.decoder, self.format, self.size = picture, decoder, format_, size


def read_pixels(path: str, algorithm: str, media_roots: Sequence[str], limits: decoder_limits.Limits) -> difference_hash.Pixels:
    """Decode the image at ``path`` by ``algorithm`` (pillow or ffmpeg).

    ``media_roots`` are real paths of folders. ``limits.memory_bytes`` is for the caller to set on its process.
    Raises ImageError; MissingRequirementError if this Python has no Pillow.
    """
    started = time.monotonic()
    with opened(path, media_roots, limits) as (file, status):
        (horizontal, vertical), decoder = _decode(file, algorithm, limits, started + limits.seconds)
    return difference_hash.Pixels(horizontal, vertical, decoder, file_stamps.stamp_of(status), time.monotonic() - started)


@contextlib.contextmanager
def opened(path: str, media_roots: Sequence[str], limits: decoder_limits.Limits) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """The open file at ``path`` and its status; the file lies within ``media_roots`` and is not above ``limits.file_bytes``.

    An error of the file, on opening or within the context, is raised as ImageError.
    """
    descriptor = _open(path)
    try:
        _require_inside(descriptor, media_roots)
        status = _require_file(descriptor, limits.file_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            yield file, status
    except subprocess.TimeoutExpired:
        raise timed_out(limits) from None
    except MemoryError:
        raise ImageError("too_large", "decoding takes more memory than the limit allows") from None
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(descriptor)


def missing(path: str) -> ImageError:
    """The error of an image that has no file at ``path``."""
    with contextlib.suppress(ValueError):  # the path is not a valid file name
        found = file_stamps.in_another_form(path)
        if found is not None:
            return ImageError(
                "missing", f"the file does not exist under this name in Unicode normalization form {file_stamps.form_of(path)}, but under the same name"
                f" in {file_stamps.form_of(found)}", "Rename the file, or correct the path in the library.")
    return ImageError("missing", "the file does not exist", "Check the path in the library.")


def timed_out(limits: decoder_limits.Limits) -> ImageError:
    """The error of an image that took longer than the limit."""
    return ImageError("timeout", f"decoding took longer than the limit of {limits.seconds} s")


def _open(path: str) -> int:
    try:
        return os.open(path, OPEN_FLAGS)
    except ValueError:  # a NUL character, or one that the file system's encoding lacks
        raise ImageError("missing", "the path is not a valid file name", NEXT_STEPS[errno.ENOENT]) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise missing(path) from None
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise ImageError("unreadable", "this is a socket or a device, not a file") from None
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> ImageError:
    reason = os.strerror(error.errno) if error.errno else "the file cannot be read"
    return ImageError("unreadable", reason, NEXT_STEPS.get(error.errno or 0))


def _require_inside(descriptor: int, media_roots: Sequence[str]) -> None:
    """Raise ImageError unless the real path of the open file is below one of ``media_roots``."""
    try:
        if sys.platform == "darwin":
            place = os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(MAX_PATH)).rstrip(b"\0"))
        else:
            place = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        cause = "the real path of the file cannot be determined"
        raise ImageError("unreadable", cause, "Mount /proc, then run again.") from None
    if not any(place == root or place.startswith(root.rstrip("/") + "/") for root in media_roots):
        raise ImageError("outside_media_root", f"the path resolves to {printable(place)}, outside the media roots",
                         "Add that folder to dhash_media_roots if the folder belongs to the library.")


def _require_file(descriptor: int, max_bytes: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = FILE_TYPES.get(stat.S_IFMT(status.st_mode), "something of an unknown type")
        raise ImageError("unreadable", f"this is {kind}, not a file")
    if status.st_size == 0:
        raise ImageError("truncated", "the file is empty")
    if status.st_size > max_bytes:
        raise ImageError("too_large", f"the file is larger than the limit of {max_bytes} bytes")
    return status


def _decode(file: BinaryIO, algorithm: str, limits: decoder_limits.Limits, deadline: float) -> tuple[tuple[bytes, bytes], str]:
    """The horizontal and the vertical pixels, and the name of the decoder."""
    from . import ffmpeg_decoder, pillow_decoder

    if algorithm == "ffmpeg":
        format_ = identify(file.read(image_formats.HEAD_BYTES))
        if format_ is image_formats.HEIC:
            raise ImageError("unsupported", "algorithm ffmpeg cannot hash HEIC, because FFmpeg may decode only a part of the picture", USE_PILLOW)
        if format_.demuxer is None:
            raise ImageError("unsupported", f"algorithm ffmpeg cannot hash {format_.name}, because FFmpeg has to guess this format", USE_PILLOW)
        try:
            return ffmpeg_decoder.gray_pixels(file.fileno(), format_, limits.pixels, deadline), "ffmpeg"
        except ImageError as error:
            raise file_faults.explain(_content(file), format_, [("ffmpeg", error)]) if error.kind in OF_THE_DECODER else error from None

    def luma_pixels(source: BinaryIO, format_: image_formats.Format) -> tuple[bytes, bytes]:
        return pillow_decoder.luma_pixels(source, format_, limits.pixels)

    decoded = decode(file, luma_pixels, limits, deadline, lambda pixels: ffmpeg_decoder.is_black(pixels[0]))
    return decoded.picture, decoded.decoder


def decode(file: BinaryIO, render: Callable[[BinaryIO, image_formats.Format], Rendered], limits: decoder_limits.Limits, deadline: float,
           is_black: Callable[[Rendered], bool]) -> Decoded[Rendered]:
    """What ``render`` makes of the picture in ``file``.

    ``render`` is called with a file that Pillow opens, and its format. Decoders are tried one after the other until one succeeds. Of a
    video whose first frame ``is_black``, the first frame that is not black is rendered. ``deadline`` is on the clock of
    ``time.monotonic``. Raises ImageError, subprocess.TimeoutExpired; MissingRequirementError if this Python has no Pillow.
    """
    head = file.read(image_formats.HEAD_BYTES)
    format_ = identify(head)
    if format_.name == "TIFF":
        format_ = raw_preview.format_of(file, head) or format_
    if format_.is_raw:
        return _render_preview(_content(file), format_, render)
    if format_ is image_formats.AVIF:  # libavif calls a picture beyond its own limit malformed
        with _own(file) as opened_again:
            width, height = heif_properties.size(opened_again) or (0, 0)
        if width * height > limits.pixels:
            raise ImageError("too_large", "the image has more pixels than the limit allows")
    failures: list[tuple[str, ImageError]] = []
    for decoder in decoders_for(format_, head):
        with _failures_into(failures, decoder):
            if decoder == "pyav":
                with _own(file) as opened_again:
                    orientation = _orientation(file, format_) or heif_properties.UPRIGHT
                    png = pyav_decoder.picture_as_png(opened_again, format_, limits.pixels, orientation)
                return Decoded(render(io.BytesIO(png), image_formats.PNG), decoder, format_)
            if decoder == "ffmpeg":
                return Decoded(_render_by_ffmpeg(file, format_, render, limits, deadline, is_black), decoder, format_)
            with _own(file) as opened_again:
                return Decoded(render(opened_again, format_), decoder, format_)
        if decoder == "pillow":
            content = _content(file)
            copy = repaired_files.repaired(content, format_, limits.pixels)
            if copy is not None:
                with _failures_into(failures, decoder):
                    return Decoded(render(io.BytesIO(copy), format_), decoder, format_)
            is_unknown = failures[-1][1].kind == "unsupported" or file_structures.describe(content, format_).is_rare
            if image_formats.is_stable(format_, head) and not is_unknown:
                break
    raise file_faults.explain(_content(file), format_, failures)


def _render_preview(content: bytes, format_: image_formats.Format, render: Callable[[BinaryIO, image_formats.Format], Rendered]) -> Decoded[Rendered]:
    """What ``render`` makes of the largest preview in a camera raw file, or of the picture that a TIFF decoder sees in it."""
    from . import pillow_decoder

    pillow_decoder.require()
    raw = raw_preview.read(content)
    pictures = [(preview, image_formats.JPEG) for preview in raw.previews]
    if raw_preview.has_plain_picture(content):
        pictures.append((content, image_formats.TIFF))
    failures: list[tuple[str, ImageError]] = []
    for picture, shown_as in pictures:
        with _failures_into(failures, "raw_preview"):
            return Decoded(render(io.BytesIO(picture), shown_as), "raw_preview", format_, (raw.width, raw.height))
    without_preview = ImageError("unsupported", "the file has sensor data and no preview", DEVELOP)
    raise file_faults.explain(content, format_, failures or [("raw_preview", without_preview)])


@contextlib.contextmanager
def _failures_into(failures: list[tuple[str, ImageError]], decoder: str) -> Iterator[None]:
    """Collect the errors that another decoder may not meet."""
    try:
        yield
    except ImageError as error:
        if error.kind not in OF_THE_DECODER:
            raise
        failures.append((decoder, error))


def _own(file: BinaryIO) -> BinaryIO:
    """``file`` for one decoder alone: some decoders close what they are given."""
    return open(file.fileno(), "rb", closefd=False)


def _content(file: BinaryIO) -> bytes:
    with _own(file) as whole:
        whole.seek(0)
        return whole.read()


def _orientation(file: BinaryIO, format_: image_formats.Format) -> int | None:
    """The Exif orientation by which a decoder is to turn the picture in ``file``; None if the decoder knows it, if there is any."""
    if format_ is not image_formats.AVIF:
        return None
    with _own(file) as opened_again:
        return heif_properties.exif_orientation(opened_again)


def _render_by_ffmpeg(file: BinaryIO, format_: image_formats.Format, render: Callable[[BinaryIO, image_formats.Format], Rendered],
                      limits: decoder_limits.Limits, deadline: float, is_black: Callable[[Rendered], bool]) -> Rendered:
    from . import ffmpeg_decoder

    orientation = _orientation(file, format_)

    def rendered(index: int) -> Rendered:
        png = ffmpeg_decoder.frame_as_png(file.fileno(), format_, index, limits.pixels, deadline, orientation)
        return render(io.BytesIO(png), image_formats.PNG)

    first = rendered(0)
    if format_.moving and is_black(first):
        visible = ffmpeg_decoder.first_visible_frame(file.fileno(), format_, limits.pixels, deadline)
        return rendered(visible) if visible else first
    return first


def identify(head: bytes) -> image_formats.Format:
    """The format of the file that begins with ``head``. Raises ImageError if no decoder is tried on this format."""
    format_ = image_formats.identify(head)
    if format_ is None:
        raise ImageError("not_an_image", "not a supported image or video format")
    if format_.refused:
        raise ImageError("unsupported", f"{format_.name} is not decoded: {format_.refused}", CONVERT)
    return format_


def decoders_for(format_: image_formats.Format, head: bytes) -> list[str]:
    """The decoders to try, in this order, on the file that begins with ``head``.

    Raises ImageError if this host has none, MissingRequirementError if this Python has no Pillow.
    """
    from . import pillow_decoder

    pillow_decoder.require()
    if format_ is image_formats.HEIC:
        if not pillow_decoder.register_heif():
            raise ImageError("unsupported", "HEIC needs the Python package pillow-heif", INSTALL_HEIF)
        return ["pillow_heif"]
    in_process = ["pillow"] if pillow_decoder.can_open(format_, head) else []
    if pyav_decoder.can_decode(format_):
        in_process.append("pyav")
    if format_.demuxer is None:
        if not in_process:
            raise ImageError("unsupported", f"the Pillow of this host was built without {format_.name}, or is too old for it", UPDATE_PILLOW)
        return in_process
    # Pillow versions decode run lengths differently.
    return ["ffmpeg", *in_process] if format_.stable and not image_formats.is_stable(format_, head) else [*in_process, "ffmpeg"]
