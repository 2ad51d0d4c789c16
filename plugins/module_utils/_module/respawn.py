# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module again in another Python interpreter, or with paths in UTF-8."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ansible.module_utils.common.respawn import has_respawned, respawn_module

from .._errors import MissingRequirementError


def respawn_if_needed(python: str | None, check_mode: bool) -> None:
    """Run the module again in the interpreter ``python``, if it is given, and with paths in UTF-8. Then this call does not return.

    Call it before any path is used: Python encodes paths by its locale, and the paths of a library are UTF-8 on every host. Raises
    ``MissingRequirementError``.
    """
    if has_respawned():
        return
    chosen = sys.executable
    if python is not None and os.access(python, os.X_OK):
        chosen = python
    elif python is not None and not check_mode:
        raise MissingRequirementError("this Python interpreter does not exist", python,
                                      "Run the prerequisites role with dhash_install: venv.")
    is_utf8 = sys.getfilesystemencoding() == "utf-8"
    if is_utf8 and os.path.abspath(chosen) == os.path.abspath(sys.executable):
        return
    if not is_utf8:
        os.environ["PYTHONUTF8"] = "1"
    main = sys.modules["__main__"]
    if not hasattr(main, "_module_fqn") and main.__spec__:  # started manually (python -m), not by Ansible
        vars(main).update(_module_fqn=main.__spec__.name, _modlib_path=str(Path(__file__).parents[6]))
    respawn_module(chosen)
