#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: review_export
short_description: Export likely duplicates for manual review
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Finds the pairs of images in a migrated C(library.json) whose hashes are similar but not similar enough to be certain duplicates. Writes
    these pairs to a folder as JSON, CSV and an HTML page for the review.
  - The module does not change the library or the images. M(mobius.dhash.review_import) imports the decisions.
  - Pairs that a reviewer has marked as different are not exported again, unless one of the two images has changed.
  - The most likely duplicates come first. Each pair has a suggestion which image to keep, and a reason for it.
  - If nothing has changed since the last export, nothing is written. A file of the last export that was edited since is renamed, with
    C(.edited-YYYYMMDDTHHMMSSZ) at the end of its name.
  - In check mode the module writes nothing and opens no image.
requirements:
  - numpy >= 1.24
  - Pillow >= 9.0, for previews
  - ffmpeg-python and the FFmpeg program, for previews of what Pillow cannot decode (optional)
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.metrics
  - mobius.dhash._options.decoding
options:
  review_dir:
    description:
      - The folder for the export. Defaults to C(library.json.review) beside the library. A relative path counts from the folder of the
        library.
      - The module writes C(queue.json), C(queue.csv) and C(review.html) into this folder, and previews into its subfolder C(images).
    type: path
  formats:
    description: The formats to write. The HTML page needs no other files than the previews.
    type: list
    elements: str
    choices: [json, csv, html]
    default: [json, html]
  min_distance:
    description: Minimum Hamming distance of an exported pair, from 0 to 64.
    type: int
    default: 8
  max_distance:
    description: Maximum Hamming distance of an exported pair, from 0 to 64.
    type: int
    default: 15
  include_images:
    description:
      - Whether to make previews of the images, at most 640 pixels wide and high. Previews that no pair needs are removed.
      - Without previews the resolution and the format of the images are unknown, and the suggestions depend on the file size.
    type: bool
    default: true
  confirm:
    description:
      - Whether to leave out the pairs that need no decision. A pair is clearly refuted if its confidence is below 0.05
        (RV(refuted_matches)). A pair is clearly confirmed if its confidence is 0.95 or more; the pair is left out if the library records it
        as a duplicate (RV(recorded_matches)).
    type: bool
    default: true
  limit:
    description: Maximum number of pairs to export, the most likely ones first. RV(total_matches) is the number of all pairs.
    type: int
    default: 10000
  progress_file:
    description:
      - A file that the module regularly replaces with the progress of the previews. The action plugin sets this option to show the progress.
    type: path
"""

EXAMPLES = r"""
- name: Export likely duplicates
  mobius.dhash.review_export:
    library: /srv/mobius/library.json
    media_roots:
      - /srv/mobius/media

- name: Export the queue for a spreadsheet, with the pairs that need no decision
  mobius.dhash.review_export:
    library: /srv/mobius/library.json
    formats: [csv]
    include_images: false
    confirm: false
"""

RETURN = r"""
review_dir:
  description: The folder of the export.
  returned: success
  type: str
  sample: /srv/mobius/library.json.review
files:
  description: The paths of the requested files.
  returned: success
  type: list
  elements: str
  sample: [/srv/mobius/library.json.review/queue.json, /srv/mobius/library.json.review/review.html]
written:
  description: The names of the files that were written because they did not exist or had other content.
  returned: success, empty in check mode
  type: list
  elements: str
set_aside:
  description: The new paths of edited files of the last export.
  returned: success, empty in check mode
  type: list
  elements: str
images:
  description: The number of images that can be matched. In check mode on a host without numpy this value and all other counts are none.
  returned: success
  type: int
  sample: 750
total_matches:
  description: The number of pairs to review, before O(limit).
  returned: success
  type: int
  sample: 34
exported_matches:
  description: The number of pairs in the export.
  returned: success
  type: int
  sample: 34
refuted_matches:
  description: The number of pairs that were left out because they are clearly refuted.
  returned: success
  type: int
recorded_matches:
  description: The number of pairs that were left out because they are clearly confirmed and recorded as duplicates in the library.
  returned: success
  type: int
decided_matches:
  description: The number of pairs that were left out because a reviewer has already marked them as different.
  returned: success
  type: int
clusters:
  description: The number of groups of images in the exported pairs.
  returned: success
  type: int
previews:
  description: The number of images that have a preview or will get one.
  returned: success
  type: int
without_preview:
  description: The number of images in the export whose file exists but cannot be decoded.
  returned: success
  type: int
throttled:
  description: How long no image was begun because the host was busy or the run was paused.
  returned: success
  type: dict
  contains:
    seconds:
      description: The number of seconds in all.
      type: float
    reasons:
      description: The number of seconds for each reason, one of V(load), V(cpu_pressure), V(io_pressure), V(command), V(pause_file), and V(lock)
        for another operation that had locked the library at the end of a wait.
      type: dict
      sample: {cpu_pressure: 41.2, pause_file: 3600.4}
    unavailable:
      description: What O(max_load) or O(max_pressure) could not limit because this host does not tell it, of V(load), V(cpu_pressure) and
        V(io_pressure).
      type: list
      elements: str
sandbox:
  description: What confined the processes that decoded images. None if no image was decoded.
  returned: success
  type: dict
  contains:
    in_force:
      description: What was in force in every one of these processes.
      type: list
      elements: str
      choices: [landlock, no_new_privs, seccomp, no_capabilities, unprivileged_user, resource_limits]
    missing:
      description: What was not in force in at least one of them, each with C(id), one of the tokens of RV(sandbox.in_force), and C(reason).
      type: list
      elements: dict
    landlock_version:
      description: The version of Landlock. 0 if it was not in force.
      type: int
    uid:
      description: The user ID with which the images were decoded, the smallest if there were several.
      type: int
    text:
      description: RV(sandbox.in_force) as text for people.
      type: str
      sample: landlock 7, no_new_privs, seccomp, no_capabilities, uid 65534, resource_limits
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import path_rules, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import host_throttle, sandbox, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._review import review_export, review_queue
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, run_log


def settings_of(params: dict[str, Any]) -> review_export.Settings:
    library, state = module_arguments.library_and_state(params, writes=("state_dir", "review_dir", "temp_dir"))
    return review_export.Settings(
        library=library,
        state=state,
        review_dir=path_rules.review_dir_of(library, params),
        run=run_record.new_run(),
        formats=tuple(params["formats"]),
        terms=review_queue.PairOptions(params["min_distance"], params["max_distance"], params["confirm"], params["limit"]),
        include_images=params["include_images"],
        media_roots=module_arguments.media_roots(params, library),
        limits=module_arguments.limits(params),
        parallel=module_arguments.parallel(params),
        temp_dir=params["temp_dir"],
        lock_timeout=params["lock_timeout"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            review_dir=dict(type="path"),
            formats=dict(type="list", elements="str", choices=["json", "csv", "html"], default=["json", "html"]),
            min_distance=dict(type="int", default=8),
            max_distance=dict(type="int", default=15),
            include_images=dict(type="bool", default=True),
            confirm=dict(type="bool", default=True),
            limit=dict(type="int", default=10000),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.METRICS, **module_arguments.DECODING,
        ),
        supports_check_mode=True,
    )
    params = module.params
    if not 0 <= params["min_distance"] <= params["max_distance"] <= 64:
        module.fail_json(msg="min_distance and max_distance must be from 0 to 64, and min_distance must not be above max_distance")
    if not 1 <= params["limit"] <= review_queue.MOST_PAIRS:
        module.fail_json(msg=f"limit must be from 1 to {review_queue.MOST_PAIRS}")
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(params["interpreter"], module.check_mode)
        settings = settings_of(params)
        sandbox.require(settings.limits)
        throttle = host_throttle.Throttle(host_throttle.settings_of(params))
        if module.check_mode:
            outcome = review_export.check(settings)
        else:
            with run_log.progress_to(params["progress_file"]) as progress:
                meter = run_log.Meter(progress)
                throttle.tell = meter.wait
                outcome = review_export.run(settings, throttle, meter)
            metrics = metrics_file.for_module(params, settings.library, settings.state, module.warn)
            metrics.queued(outcome.result["total_matches"])
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        outcome.result["diff"] = review_export.difference(outcome)
    module.exit_json(changed=outcome.changed, sandbox=worker_pool.sandbox_in_force(), throttled=throttle.result(), **outcome.result)


if __name__ == "__main__":
    main()
