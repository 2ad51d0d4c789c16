# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options that several modules share."""

    DOCUMENTATION = r"""
options:
  library:
    description:
      - The C(library.json) that is worked on.
      - A symbolic link is resolved first. Everything that belongs to the library lies beside the real file.
    type: path
    required: true
  state_dir:
    description:
      - The folder in which this host keeps its journals and the records of its runs, on a disk of its own.
      - By default V(/var/lib/mobius-dhash) for root and V(~/.local/state/mobius-dhash) for others.
    type: path
"""

    LOCK = r"""
options:
  lock_timeout:
    description:
      - How many seconds to wait for another operation on the same library to end.
      - After them the task fails and says who holds the lock.
    type: float
    default: 10
"""

    # Of a module that opens images.
    DECODING = r"""
options:
  media_roots:
    description:
      - The folders that images may lie in. Nothing outside them is opened, symbolic links included.
      - By default the folder of the library.
    type: list
    elements: path
  image_timeout:
    description: How many seconds one image may take before it is given up as V(timeout).
    type: int
    default: 30
  max_image_bytes:
    description: The largest file that is opened; a larger one is an error of kind V(too_large).
    type: int
    default: 1073741824
  max_image_pixels:
    description: The most pixels that are decoded of one image; more is an error of kind V(too_large).
    type: int
    default: 250000000
  worker_memory:
    description: How many bytes of memory one worker may take; an image that needs more is an error of kind V(too_large).
    type: int
    default: 2147483648
  parallel:
    description:
      - How many worker processes decode images at the same time.
      - By default as many as this process may use processor cores.
    type: int
  temp_dir:
    description: Where decoders may put temporary files.
    type: path
  python:
    description:
      - A Python that has Pillow and numpy, where the one that Ansible uses has not; that of a virtual environment, say.
      - Left aside in check mode as long as it is not there.
    type: path
"""

    # Of a module that hashes them, besides.
    HASHING = r"""
options:
  algorithm:
    description:
      - How the 64 bits are made of a picture.
      - V(pillow) gives the same hash on every host for JPEG, PNG, GIF, WebP, BMP, TIFF and PNM.
      - V(ffmpeg) gives what the FFmpeg program of that host gives, for services that hash with FFmpeg themselves.
    type: str
    choices: [pillow, ffmpeg]
    default: pillow
"""
