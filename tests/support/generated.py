# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of the scripts that generate files of this repository: --check names the stale ones, --write brings them up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def main(description: str | None, stale_files: Callable[[], dict[Path, str]], root: Path, advice: str) -> int:
    """The exit code. ``stale_files`` returns the new text of each file that is stale; what it raises is shown (ValueError, OSError)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", action="store_true")
    args = parser.parse_args()
    try:
        stale = stale_files()
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for file, text in stale.items():
        if args.write:
            file.write_text(text, encoding="utf-8")
        else:
            print(f"{file.relative_to(root)} is stale: {advice}", file=sys.stderr)
    return int(bool(stale) and args.check)
