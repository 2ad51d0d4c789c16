# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decoders of this host and their versions. Hashes and errors depend on them."""

from __future__ import annotations

import functools
from importlib import metadata

from . import ffmpeg_decoder


@functools.cache  # FFmpeg starts slowly, and the library may change in that time
def versions() -> dict[str, str | None]:
    """The versions of all decoders that a hash or an error may depend on, None for one that this host lacks."""
    return {"pillow": _package_version("pillow"), "pillow_heif": _package_version("pillow-heif"), "pyav": _package_version("av"),
            "ffmpeg": ffmpeg_decoder.version(), "ffmpeg_python": _package_version("ffmpeg-python")}


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
