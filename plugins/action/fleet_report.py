# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the report in the process of Ansible: a module on the controller takes half a second, and every run writes its report twice."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.filter.core import to_nice_json
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._files import durable

FOLDER_MODE = 0o750
FILE_MODE = 0o640


class ActionModule(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """The action plugin of ``fleet_report``."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(dict(
            directory=dict(type="path", required=True),
            fallback_directory=dict(type="path", required=True),
            report=dict(type="dict"),
            page=dict(type="str"),
        ))
        files = {}
        if arguments["report"] is not None:
            files["fleet.json"] = to_nice_json(arguments["report"], indent=2) + "\n"
        if arguments["page"] is not None:
            files["index.html"] = arguments["page"]
        result.update(changed=False, directory=arguments["directory"], written=True)
        if self._task.check_mode:
            return result
        try:
            _write(arguments["directory"], files)
        except DhashError as error:
            result["directory"] = arguments["fallback_directory"]
            try:
                _write(arguments["fallback_directory"], files)
            except DhashError as also:
                result.update(written=False, warnings=[f"The report of this run could not be written. {error} {also}"])
            else:
                result["warnings"] = [f"The report is in {arguments['fallback_directory']}. {error}"]
        return result


def _write(directory: str, files: dict[str, str]) -> None:
    """Create ``directory`` where it is missing, and write ``files``, each by its name. Raises ``DhashError``."""
    durable.make_folder(directory, FOLDER_MODE)
    if (obstacle := durable.obstacle(directory)) is not None:
        raise DhashError(f"the folder {obstacle.cause}", obstacle.path)
    for name, text in files.items():
        durable.write(os.path.join(directory, name), [text.encode("utf-8", "backslashreplace")], mode=FILE_MODE)
