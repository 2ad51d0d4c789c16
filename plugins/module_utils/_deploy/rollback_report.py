# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a rollback, for the log, for people who run a playbook, and for Ansible's diff."""

from __future__ import annotations

from typing import Any

from .._errors import LibraryError, printable
from .._library import library_fields, library_index, library_losses
from . import rollback_plan, run_record

EDITED = {run_record.REMOVE_DHASH: "the live library without the fields of the migration",
          run_record.REVIEW_REVERSAL: "the live library with the images that the last review removed"}


def lines(library: str, planned: rollback_plan.RollbackPlan, kept: str | None) -> list[str]:
    """The lines of the report: what is restored from where, what is lost, and where the replaced library is kept."""
    counts = library_fields.counts(planned.content)
    source = EDITED[planned.operation] if planned.source is None else printable(planned.source)
    return [
        f"Library: {printable(library)}",
        f"Restored from: {source}",
        f"Images: {counts['images']}",
        f"Images with DHash after rollback: {counts['hashed']}",
        f"Lost: {library_losses.text(planned.losses)}",
        *([f"The newest intact backup is another one: {printable(planned.newest)}"] if planned.newest else []),
        *(f"Skipped, because it is not intact or not known to be of this library: {printable(path)}" for path in planned.passed_over),
        f"The replaced library is kept as: {printable(kept) if kept else 'none, because there was no library'}",
    ]


def diff(library: str, result: dict[str, Any]) -> dict[str, Any]:
    """Before and after in counts, for Ansible's diff."""
    try:
        live = library_index.read(library)[0].counts()
        before = f"images: {live['images']}\nhashed: {live['hashed']}\n"
    except LibraryError as error:
        before = f"{error.cause}\n"
    source = result["restored_from"] or EDITED[result["operation"]]
    return {"before_header": library, "after_header": printable(source), "before": before,
            "after": f"images: {result['images']}\nhashed: {result['hashed']}\n"}
