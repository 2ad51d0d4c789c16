# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""summary.py FOLDER: add up the JUnit files in FOLDER and print "N passed, N failed", with ", N skipped" where some were."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
for report in Path(sys.argv[1]).glob("*.xml"):
    for suite in ET.parse(report).iter("testsuite"):
        for name in total:
            total[name] += int(suite.get(name, 0))
failed = total["failures"] + total["errors"]
line = f"{total['tests'] - failed - total['skipped']} passed, {failed} failed"
print(line + (f", {total['skipped']} skipped" if total["skipped"] else ""))
