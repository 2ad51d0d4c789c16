# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""add_bytecode.py <ARCHIVE >ARCHIVE: a zip archive with this Python's bytecode of each Python file beside it, valid whatever the source (PEP 552)."""

from __future__ import annotations

import io
import marshal
import sys
import zipfile
from importlib.util import MAGIC_NUMBER

UNCHECKED_HASH = (1).to_bytes(4, "little")

archive = io.BytesIO(sys.stdin.buffer.read())
with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as made:
    for name in made.namelist():
        if name.endswith(".py"):
            code = compile(made.read(name), name, "exec", dont_inherit=True)
            made.writestr(f"{name}c", MAGIC_NUMBER + UNCHECKED_HASH + bytes(8) + marshal.dumps(code))
sys.stdout.buffer.write(archive.getvalue())
