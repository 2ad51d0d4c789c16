# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""build_collection.py FOLDER [URL]: builds the collection's tarball in FOLDER.

With the URL of the repository, the tarball is built from what git tracks or would track. galaxy.yml gets the URL in the place of its
placeholder, and the relative links of README.md lead there: Galaxy shows README.md without the other files. Without the URL the tarball
is built from the checkout as it is, which needs no git.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "https://repository.invalid/mobius/dhash"
RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)]+)\)")


def build(folder: Path, url: str = "") -> None:
    """Build the tarball in ``folder``. Raises ``ValueError`` if ``url`` is not an https URL, ``CalledProcessError`` if the build fails."""
    url = url.rstrip("/")
    if url and not re.fullmatch(r"https://[A-Za-z0-9./_~-]+", url):
        raise ValueError(f"{url} is not the https URL of a repository. For example: https://git.example.org/mobius/dhash")
    if not url:
        run_galaxy(ROOT, folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["bash", ROOT / "tests/copy_checkout.sh", scratch], check=True)
        copy = Path(scratch, "ansible_collections/mobius/dhash")
        publish_at(url, copy)
        run_galaxy(copy, folder)


def publish_at(url: str, copy: Path) -> None:
    """Name the repository at ``url`` in galaxy.yml and README.md of ``copy``."""
    metadata, readme = copy / "galaxy.yml", copy / "README.md"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace(PLACEHOLDER, url), encoding="utf-8")
    readme.write_text(RELATIVE_LINK.sub(rf"]({url}/blob/main/\1)", readme.read_text(encoding="utf-8")), encoding="utf-8")


def run_galaxy(source: Path, folder: Path) -> None:
    galaxy = Path(sys.executable).parent / "ansible-galaxy"
    subprocess.run([galaxy, "collection", "build", "--force", "--output-path", folder.absolute()], cwd=source, check=True)


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]), *sys.argv[2:])
    except ValueError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
