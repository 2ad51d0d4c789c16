# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two files beside a backup: its checksum file, and its manifest, which describes its library and its content.

``sha256sum --check`` accepts the checksum file: its first line is the digest of the backup, its second that of the
manifest. A backup made by other tools, or before manifests were written, has only the first line.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, NamedTuple

from .._errors import BoundsError, DhashError
from .._files import bounded_reads, durable, json_records

CHECKSUM, MANIFEST = ".sha256", ".json"
MAX_CHECKSUMS = 8192  # bytes: two lines, each a digest and the name of a file


class Manifest(NamedTuple):
    """The manifest: it describes the clear text of a backup. ``library`` is the real path of the backed up library on ``host``.

    ``images`` and ``hashed`` are None if the content could not be parsed as a library. ``metadata`` is that of the
    library (:func:`file_metadata.read`). ``recipients`` are those of an encrypted backup. Manifests that earlier
    versions wrote lack ``library``, ``metadata`` or ``host``.
    """

    sha256: str
    size: int
    images: int | None
    hashed: int | None
    recipients: tuple[str, ...] = ()
    library: str | None = None
    metadata: dict[str, Any] | None = None
    host: str | None = None


def write(path: str, digest: str, manifest: Manifest, owner_of: str) -> None:
    """Write both files for the backup that is about to be written at ``path``. Raises ``DhashError``."""
    text = json_records.text(manifest._asdict())
    write_checksums(path, digest, hashlib.sha256(text).hexdigest(), owner_of)
    durable.write(f"{path}{MANIFEST}", [text], owner_of=owner_of)


def write_checksums(path: str, digest: str, manifest_digest: str | None, owner_of: str) -> None:
    """Write the checksum file of the backup ``path``. Raises ``DhashError``."""
    lines = [_line(digest, path)] + ([_line(manifest_digest, f"{path}{MANIFEST}")] if manifest_digest else [])
    durable.write(f"{path}{CHECKSUM}", lines, owner_of=owner_of)


def read(path: str) -> Manifest | None:
    """The manifest of the backup ``path``; None if there is none, it is damaged, or a newer version wrote it."""
    try:
        content = bounded_reads.read(f"{path}{MANIFEST}", json_records.MAX_BYTES)
        if hashlib.sha256(content).hexdigest() != digest_of_manifest(path):
            return None
        fields = bounded_reads.parse_json(content)
        json_records.require_known_format(fields, path, "the manifest")
        manifest = json_records.build(Manifest, fields)
        return manifest._replace(recipients=tuple(manifest.recipients))
    except (DhashError, ValueError, TypeError, AttributeError):
        return None


def digest_of_backup(path: str) -> str | None:
    """The digest that the checksum file has for the backup ``path``; None if there is none."""
    return _noted(path, 0)


def digest_of_manifest(path: str) -> str | None:
    """The digest that the checksum file has for the manifest of the backup ``path``; None if there is none."""
    return _noted(path, 1)


def _line(digest: str, path: str) -> bytes:
    return os.fsencode(f"{digest}  {os.path.basename(path)}\n")


def _noted(path: str, line: int) -> str | None:
    try:
        with bounded_reads.open_file(f"{path}{CHECKSUM}") as file:
            noted = re.match(rb"([0-9a-f]{64})\s", file.read(MAX_CHECKSUMS).split(b"\n")[line])
    except (OSError, BoundsError, IndexError):
        return None
    return noted and noted.group(1).decode()
