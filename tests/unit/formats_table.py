# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make docs/formats.md from the table of signatures and from the files that the tests decode.

    formats_table.py COLLECTIONS      the folder that holds ansible_collections/mobius/dhash; writes docs/formats.md
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing.image_formats import Format

GOLDEN = Path(__file__).with_name("golden") / "files"
TESTS = "tests/unit/plugins/module_utils/_hashing"
DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"
OF_TIFF = ("CR2", "NEF", "ARW", "DNG", "PEF")  # raw files with the signature of TIFF
LARGEST = ("ICO", "CUR", "ICNS")
ANIMATED = ("GIF", "WebP", "PNG", "AVIF", "FLI", "JPEG")
PAGED = ("TIFF", "DCX")
TESTED = {  # where the files are made by the test
    "AVIF": "test_pyav_decoder.py", "HEIC": "test_image_decoder.py", "JPEG XL": "test_image_decoder.py", "MP4 or QuickTime": "test_image_decoder.py",
    "Matroska or WebM": "test_image_decoder.py", "AVI": "test_image_decoder.py", "MPEG transport stream": "test_image_decoder.py",
    "MRW": None, "X3F": None,
}
INTRODUCTION = """# Formats

<!-- Made by tests/unit/formats_table.py. Do not edit. -->

The first bytes of a file decide its format, never its name. The decoders of the format are tried in this order, until one succeeds.

*Same everywhere*: every host and every Pillow from 9.0 on that reads the format gives a file the same hash, except BMP with run lengths and TGA
with 15 or 16 bits. *One decoder*: the hash is stable for one version of one decoder. A test file is in `tests/unit/golden/files`, or is made by
the test that is named. A format without a test is decoded, but nobody has checked it.

The *variant* of a file may need another decoder than its format: JPEG 2000 with more than 8 bits per colour, lossless JPEG and JPEG-LS, and PCX
with more padding than usual are decoded by FFmpeg, and are `unsupported` on a host without it.

"""


def document() -> str:
    """The text of docs/formats.md."""
    rows = [_row(format_) for format_ in _formats()]
    lines = ["| Format | Decoder | What is hashed | Promise | Test |", "| --- | --- | --- | --- | --- |"]
    return INTRODUCTION + "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def _formats() -> list[Format]:
    """Every format: those that are decoded in alphabetical order, then those that are not."""
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_formats

    known = {format_.name: format_ for _pattern, format_ in image_formats.SIGNATURES}
    others = (image_formats.AVIF, image_formats.HEIC, image_formats.CR3, image_formats.TGA, image_formats.SPIDER)
    known.update({format_.name: format_ for format_ in others})
    known.update({name: image_formats.Format(name, is_raw=True) for name in OF_TIFF})
    return sorted(known.values(), key=lambda format_: (format_.refused is not None, format_.name.lower()))


def _row(format_: Format) -> list[str]:
    if format_.refused:
        return [format_.name, "none", f"nothing: {format_.refused}", "\u2013", "`test_image_decoder.py`"]
    return [format_.name, ", ".join(_decoders(format_)), _hashed(format_), "same everywhere" if format_.stable else "one decoder", _test(format_)]


def _decoders(format_: Format) -> list[str]:
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_formats, pyav_decoder

    if format_ is image_formats.HEIC:
        return ["pillow_heif"]
    if format_.is_raw:
        return ["raw_preview"]
    able = (("pillow", format_.pillow), ("pyav", format_ in pyav_decoder.CODECS), ("ffmpeg", format_.demuxer))
    return [decoder for decoder, is_able in able if is_able]


def _hashed(format_: Format) -> str:
    if format_.is_raw:
        return "the largest preview, upright"
    if format_.moving:
        return "the first frame that is not black"
    if format_.name in LARGEST:
        return "the largest picture, of several that with the most colours" if format_.name == "ICO" else "the largest picture"
    if format_.name in ANIMATED:
        return "the first frame"
    return "the first page" if format_.name in PAGED else "the picture"


def _test(format_: Format) -> str:
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_formats

    if format_.is_raw and format_.name not in TESTED:
        return "`test_raw_preview.py`"
    for path in sorted(GOLDEN.iterdir()):
        if image_formats.identify(path.read_bytes()[:image_formats.HEAD_BYTES]) == format_:
            return f"`{path.name}`"
    test = TESTED.get(format_.name)
    return "none" if test is None else f"`{test}`"


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    DOCUMENT.write_text(document(), encoding="utf-8")
