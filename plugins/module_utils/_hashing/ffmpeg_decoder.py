# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run FFmpeg: the decoder of files that Pillow cannot open, and of all files with ``algorithm: ffmpeg``.

FFmpeg reads only the descriptor that is already open, with the demuxer of the file's signature. Other demuxers and protocols are
refused, so FFmpeg follows no playlist, expands no pattern and opens no address.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from .._errors import ImageError
from .image_formats import Format

SEARCHED_FRAMES = 200  # 8 s of a video; 2 x 14 KB of pixels, which a pipe's buffer holds
BLACK = 32  # a frame whose brightest pixel is at most this is black: film titles and fades from black
SCALE_HORIZONTAL = "scale=9:8:flags=bicubic,format=gray"
SCALE_VERTICAL = "scale=8:9:flags=bicubic,format=gray"
TURNS = {  # Exif orientation: the filters that make the picture upright
    2: ",hflip", 3: ",hflip,vflip", 4: ",vflip", 5: ",transpose=cclock_flip", 6: ",transpose=clock", 7: ",transpose=clock_flip",
    8: ",transpose=cclock"}
INSTALL_PROGRAM = ("Install FFmpeg (Debian, Ubuntu: apt-get install ffmpeg; Fedora: dnf install ffmpeg-free; "
                   "macOS: brew install ffmpeg), then run again.")
INSTALL_PACKAGE = "Install ffmpeg-python (pip install ffmpeg-python) into the Python that runs the modules, then run again."
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux; elsewhere nothing happens)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def signal_name(number: int) -> str:
    """``signal SIGSEGV``."""
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:  # a real-time signal
        return f"signal {number}"


def version() -> str | None:
    """The FFmpeg program's version as it prints it (``5.1.6-0+deb12u1``); None if FFmpeg is not installed."""
    try:
        answer = subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            ["ffmpeg", "-version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=10, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(rb"ffmpeg version (\S+)", answer.stdout)
    return found.group(1).decode("ascii", "replace") if found else None


def is_black(pixels: bytes) -> bool:
    """Whether a frame, scaled to 72 pixels of luma, is black or nearly black."""
    return max(pixels) <= BLACK


def gray_pixels(descriptor: int, format_: Format, max_pixels: int, deadline: float) -> tuple[bytes, bytes]:
    """The horizontal and vertical 72 pixels that ``ffmpeg -vf scale=…,format=gray -f rawvideo`` prints.

    A picture: the first frame. A video: the first frame that is not black among SEARCHED_FRAMES, otherwise the first frame.
    Luma bytes, 0 black to 255 white. ``deadline`` is on the clock of ``time.monotonic``. Raises ImageError,
    subprocess.TimeoutExpired.
    """
    horizontal, vertical = _gray_frames(descriptor, format_, 1, max_pixels, deadline)
    if format_.moving and is_black(horizontal[0]):
        horizontal, vertical = _gray_frames(descriptor, format_, SEARCHED_FRAMES, max_pixels, deadline)
    index = _first_visible(horizontal)
    if len(vertical) <= index:
        raise _failure(b"", format_)
    return horizontal[index], vertical[index]


def first_visible_frame(descriptor: int, format_: Format, max_pixels: int, deadline: float) -> int:
    """The number of the first frame that is not black among the first SEARCHED_FRAMES; 0 if all are black.

    Raises ImageError, subprocess.TimeoutExpired.
    """
    ffmpeg = _library(format_)
    # One frame out per frame in: without these timestamps FFmpeg drops and repeats frames to keep the rate.
    numbered = SCALE_HORIZONTAL + ",settb=1/25,setpts=N"
    output = _input(ffmpeg, descriptor, format_, max_pixels).output(
        "pipe:1", f="rawvideo", vf=numbered, r=25, **{"frames:v": SEARCHED_FRAMES}
    )
    return _first_visible(_frames(_run(output, [descriptor], format_, deadline)))


def frame_as_png(descriptor: int, format_: Format, index: int, max_pixels: int, deadline: float, orientation: int | None = None) -> bytes:
    """Frame ``index`` (0 is the first) as a PNG file with transparency, in full size.

    It is turned by the Exif ``orientation``; None leaves that to FFmpeg. Raises ImageError, subprocess.TimeoutExpired.
    """
    ffmpeg = _library(format_)
    filters = f"select=gte(n\\,{index})"
    options: dict[str, None] = {}
    if orientation is not None:
        filters += TURNS.get(orientation, "")
        options["noautorotate"] = None
    output = _input(ffmpeg, descriptor, format_, max_pixels, **options).output(
        "pipe:1", f="image2pipe", pix_fmt="rgba", vf=filters, compression_level=1, threads=1,
        **{"c:v": "png", "frames:v": 1},
    )
    return _run(output, [descriptor], format_, deadline)


def _library(format_: Format) -> Any:
    """The ffmpeg-python package. Other packages have the same import name."""
    try:
        import ffmpeg
    except ImportError:
        ffmpeg = None
    if not (hasattr(ffmpeg, "input") and hasattr(ffmpeg, "merge_outputs")):
        raise ImageError("unsupported", f"{format_.name} needs the Python package ffmpeg-python", INSTALL_PACKAGE)
    if shutil.which("ffmpeg") is None:
        raise ImageError("unsupported", f"{format_.name} needs the FFmpeg program", INSTALL_PROGRAM)
    return ffmpeg


def _input(ffmpeg: Any, descriptor: int, format_: Format, max_pixels: int, **options: None) -> Any:
    return ffmpeg.input(
        f"file:/dev/fd/{descriptor}", f=format_.demuxer, format_whitelist=format_.demuxer, protocol_whitelist="file",
        max_pixels=max_pixels, threads=1,  # workers are parallel, and a thread costs address space, which is limited
        **options,
    )


def _gray_frames(
    descriptor: int, format_: Format, count: int, max_pixels: int, deadline: float
) -> tuple[list[bytes], list[bytes]]:
    """At most the first ``count`` frames, scaled for the horizontal and for the vertical hash."""
    ffmpeg = _library(format_)
    reader, writer = os.pipe()
    try:
        source = _input(ffmpeg, descriptor, format_, max_pixels)
        options = {"f": "rawvideo", "frames:v": count}
        outputs = ffmpeg.merge_outputs(
            source.output("pipe:1", vf=SCALE_HORIZONTAL, **options),
            source.output(f"pipe:{writer}", vf=SCALE_VERTICAL, **options),
        )
        try:
            horizontal = _run(outputs, [descriptor, writer], format_, deadline)
        finally:
            os.close(writer)
        with open(reader, "rb", closefd=False) as pipe:
            return _frames(horizontal), _frames(pipe.read())
    finally:
        os.close(reader)


def _frames(pixels: bytes) -> list[bytes]:
    return [pixels[start:start + 72] for start in range(0, len(pixels), 72)]


def _first_visible(frames: list[bytes]) -> int:
    return next((index for index, pixels in enumerate(frames) if not is_black(pixels)), 0)


def _run(output: Any, descriptors: list[int], format_: Format, deadline: float) -> bytes:
    """The output of FFmpeg, at least one byte."""
    command = output.global_args("-nostdin", "-hide_banner", "-v", "error", "-filter_threads", "1").compile()
    os.lseek(descriptors[0], 0, os.SEEK_SET)  # on macOS /dev/fd shares the position instead of opening the file again
    try:
        answer = subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            pass_fds=descriptors, preexec_fn=end_with_parent, timeout=max(0.0, deadline - time.monotonic()),
        )
    except OSError as error:
        cause = f"FFmpeg cannot be started: {os.strerror(error.errno or 0)}"
        raise ImageError("unsupported", cause, INSTALL_PROGRAM) from None
    if answer.returncode == -signal.SIGXCPU:
        raise subprocess.TimeoutExpired(command, 0)
    if answer.returncode < 0:
        raise ImageError("crashed", f"FFmpeg was killed by {signal_name(-answer.returncode)}")
    if not answer.stdout:
        raise _failure(answer.stderr, format_)
    return answer.stdout


def _failure(messages: bytes, format_: Format) -> ImageError:
    """The error if FFmpeg printed nothing. FFmpeg words its messages differently in each version; these texts stay the same."""
    if b"exceeds specified max pixel count" in messages:
        return ImageError("too_large", "the image has more pixels than the limit allows")
    if b"Cannot allocate memory" in messages:
        return ImageError("too_large", "decoding takes more memory than the limit allows")
    if b"Unknown input format" in messages or re.search(rb"[Dd]ecoder .*not found", messages):
        return ImageError("unsupported", f"the FFmpeg of this host was built without {format_.name}", INSTALL_PROGRAM)
    if format_.moving and b"does not contain any stream" in messages:
        return ImageError("not_an_image", f"{format_.name} without a picture, for example sound alone")
    return ImageError("damaged", "cannot decode a picture from it")
