# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypt to recipients and decrypt with an identity, by the program age (https://age-encryption.org/v1)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from .._errors import DhashError, MissingRequirementError, from_os_error, printable

SUFFIX = ".age"


def encrypt(content: bytes, recipients: Sequence[str]) -> bytes:
    """``content``, encrypted so that each of ``recipients`` (age1… or ssh public keys) can decrypt it. Raises ``DhashError``."""
    options = [f"-r={recipient}" for recipient in recipients]
    return _run("age", options, content, "encrypt a backup", None, "Correct dhash_backup_encrypt_to, then run again.")


def require_recipients(recipients: Sequence[str]) -> None:
    """Raise ``DhashError`` if age cannot encrypt to ``recipients``. Without recipients nothing is checked."""
    if recipients:
        encrypt(b"", recipients)


def decrypt(path: str, identity: str) -> bytes:
    """The clear text of the file ``path``; ``identity`` is the text of an identity file. Raises ``DhashError``."""
    return _run("age", ["-d", "-i=-", path], identity.encode(), "decrypt the backup", path,
                "Set dhash_rollback_identity_file to the identity file of one of its recipients.")


def new_identity() -> tuple[str, str]:
    """The text of a new identity file, and its recipient. Raises ``DhashError``."""
    identity = _run("age-keygen", [], b"", "create an identity", None, "Run age-keygen on this host and fix the error that it reports.")
    text = identity.decode()
    return text, text.partition("# public key: ")[2].split("\n")[0]


def _run(name: str, options: list[str], content: bytes, doing: str, path: str | None, next_step: str) -> bytes:
    program = shutil.which(name)
    if program is None:
        raise MissingRequirementError(f"the program {name} is needed to {doing} and is not installed on this host", path,
                                      "Install age (Debian: apt-get install age), then run again.")
    try:
        ended = subprocess.run(  # pylint: disable=ansible-bad-function # the engine has no module whose run_command it could call
            [program, *options], input=content, capture_output=True, check=False)
    except OSError as error:
        raise from_os_error(error, f"run {name} to {doing}", path) from error
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip().split("\n")[0].partition("error: ")[2]
        raise DhashError(f"{name} could not {doing}: {printable(said)}", path, next_step)
    return ended.stdout
