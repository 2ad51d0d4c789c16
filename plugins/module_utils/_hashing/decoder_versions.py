# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decoders of this host, their versions, and that of the rules for using them. Hashes and errors depend on them."""

from __future__ import annotations

import functools
from importlib import metadata

from . import ffmpeg_decoder

RULES = "2"  # this collection's own, by which a decoder is chosen and an error explained: raise it where a file that failed may end otherwise


@functools.cache  # FFmpeg starts slowly, and the library may change in that time
def versions() -> dict[str, str | None]:
    """The versions of all that a hash or an error may depend on, None for a decoder that this host lacks."""
    return {"rules": RULES, "pillow": _package_version("pillow"), "pillow_heif": _package_version("pillow-heif"), "pyav": _package_version("av"),
            "ffmpeg": ffmpeg_decoder.version(), "ffmpeg_python": _package_version("ffmpeg-python")}


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
