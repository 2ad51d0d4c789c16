# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why no decoder could decode a file: data are missing, data contradict each other, or no decoder knows the variant.

Whether data are missing, the structure of the file decides: decoders word their messages differently, and call a file cut off that they
merely do not know. Called only after all decoders have failed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .._errors import ImageError, printable
from . import file_structures
from .image_formats import Format

LONGEST_REPORT = 160  # characters of a decoder's message
CUT_OFF = ("truncated", "not enough", "only got", "end of file", "unexpected eof", "incomplete", "buffer is not large enough", "requires a buffer",
           "index out of range")
NOT_KNOWN = ("unsupported", "unknown", "unrecognized", "unimplemented", "not implemented", "not yet implemented", "not supported", "cannot handle",
             "cannot read this")
NO_DECODER = "Convert the image to another format, for example PNG."


def explain(content: bytes, format_: Format, failures: Sequence[tuple[str, ImageError]]) -> ImageError:
    """The error of the file ``content`` that each decoder of ``failures`` has refused with its error."""
    structure = file_structures.describe(content, format_)
    reports = "; ".join(f"{decoder}: {error.cause}" for decoder, error in failures)
    missing = (structure.length or 0) - len(content)
    if missing > 0:
        return ImageError("truncated", f"{structure.variant}: the file is cut off: {missing} of {structure.length} bytes are missing ({reports})")
    kinds = [error.kind for decoder, error in failures if decoder != "ffmpeg" or error.kind == "unsupported"]  # FFmpeg gives no reason
    next_step = next((error.next_step for _decoder, error in failures if error.kind == "unsupported" and error.next_step), None)
    if structure.damage:
        return ImageError("damaged", f"{structure.variant}: {structure.damage} ({reports})")
    if structure.is_rare or (kinds and set(kinds) == {"unsupported"}) or (format_.name == "AVIF" and "unsupported" in kinds):
        return ImageError("unsupported", f"{structure.variant}: no decoder of this host reads it ({reports})", next_step or NO_DECODER)
    if "truncated" in kinds and structure.length is None:
        return ImageError("truncated", f"{structure.variant}: the file is cut off ({reports})")
    return ImageError("damaged", f"{structure.variant}: the data are damaged ({reports})")


def of_exception(error: Exception) -> ImageError:
    """What an exception of Pillow says: the kind that its words suggest, and its message."""
    if isinstance(error, SyntaxError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # Pillow's ImageFile: a KeyError is a mode that it does not know
    text = " ".join(str(error).split())[:LONGEST_REPORT]
    words = text.lower()
    if isinstance(error, (EOFError, struct.error)) or any(phrase in words for phrase in CUT_OFF):
        kind = "truncated"
    elif isinstance(error, (NotImplementedError, KeyError)) or any(phrase in words for phrase in NOT_KNOWN):
        kind = "unsupported"
    else:
        kind = "damaged"
    return ImageError(kind, printable(text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}".strip()))
