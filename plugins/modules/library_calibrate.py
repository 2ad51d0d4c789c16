#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_calibrate
short_description: Measure which threshold suits a library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Compares the images of a migrated C(library.json) with each other, and makes edited copies of some of its pictures in memory. Writes one
    HTML file with charts that shows how many edited copies each threshold finds, and how many false duplicates it gives in a library of
    this size.
  - Recommends a threshold, and gives the reason.
  - The pixels of the images are those in the journal in O(state_dir). The library and its images are only read.
  - The same library gives the same report, and a report with the same content is not written again. A file at O(calibration_report) that
    is not the report of a calibration is renamed, with C(.set-aside-YYYYMMDDTHHMMSSZ) at the end of its name. A library there is refused.
  - In check mode the module measures the library and writes nothing.
requirements:
  - Pillow >= 9.0
  - numpy >= 1.24
  - ffmpeg-python and the FFmpeg program, for pictures that Pillow cannot decode (optional)
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.decoding
options:
  calibration_report:
    description:
      - The path of the report. Defaults to C(library.json.calibration.html) beside the library. A relative path counts from the folder of
        the library.
    type: path
  pictures:
    description: Number of pictures of which edited copies are made.
    type: int
    default: 200
  confirm:
    description: Whether the recommendation is for a library whose duplicates are confirmed by their pixels. The report shows both.
    type: bool
    default: true
  progress_file:
    description:
      - A file that the module regularly replaces with the progress of the editing. The action plugin sets this option to show the progress.
    type: path
"""

EXAMPLES = r"""
- name: Measure which threshold suits the library
  mobius.dhash.library_calibrate:
    library: /srv/mobius/library.json
    media_roots:
      - /srv/mobius/media
  register: calibration

- name: Show the recommendation
  ansible.builtin.debug:
    msg: "{{ calibration.recommended_threshold }}: {{ calibration.reason_text }}"
"""

RETURN = r"""
report:
  description: The path of the report.
  returned: success
  type: str
  sample: /srv/mobius/library.json.calibration.html
report_set_aside:
  description: The new path of a file at the path of the report that was not the report of a calibration; none if there was no such file.
  returned: success, none in check mode
  type: str
images:
  description: The number of images that can be matched. In check mode on a host without numpy or Pillow this value and all that follow are
    none.
  returned: success
  type: int
  sample: 10000
images_without_pixels:
  description: The number of these images whose pixels are not in the journal.
  returned: success
  type: int
  sample: 0
images_compared:
  description: The number of images that were compared with each other. Images with the same pixels are compared once.
  returned: success
  type: int
  sample: 10000
pairs_compared:
  description: The number of pairs of different images that count as unrelated.
  returned: success
  type: int
  sample: 49994481
pairs_left_out:
  description: The number of pairs that do not count as unrelated because they are likely duplicates.
  returned: success
  type: int
  sample: 519
pictures_edited:
  description: The number of pictures of which edited copies were made.
  returned: success
  type: int
  sample: 200
pictures_unreadable:
  description: The number of pictures that were chosen for editing and could not be decoded.
  returned: success
  type: int
  sample: 0
threshold:
  description: The threshold of the library.
  returned: success
  type: int
  sample: 10
recommended_threshold:
  description: The threshold that is recommended.
  returned: success
  type: int
  sample: 10
reason:
  description:
    - The reason for the recommendation.
    - With V(current_is_good) the threshold of the library finds about as much as any other with a tolerable number of false duplicates. With
      V(recall_levels_off) a greater threshold would hardly find more, and with V(false_duplicates) it would give too many false duplicates.
    - With V(greatest_measured) the greatest measured threshold is the best. With V(false_at_every_threshold) every threshold gives too many
      false duplicates. With V(too_little_data) the library is too small for a recommendation.
  returned: success
  type: str
  choices: [current_is_good, recall_levels_off, false_duplicates, greatest_measured, false_at_every_threshold, too_little_data]
  sample: current_is_good
reason_text:
  description: The reason as a text for people.
  returned: success
  type: str
recall:
  description: The share of the edited copies that the recommended threshold finds, in percent.
  returned: success
  type: float
  sample: 97.2
false_duplicates:
  description: The number of false duplicates that the recommended threshold is expected to give in the whole library.
  returned: success
  type: float
  sample: 1.3
thresholds:
  description: What each threshold from 0 to 16 would give.
  returned: success
  type: list
  elements: dict
  contains:
    threshold:
      description: The threshold.
      type: int
      returned: success
    found:
      description: The share of the edited copies within the threshold, from 0 to 1.
      type: float
      returned: success
    found_confirmed:
      description: The share of the edited copies that are also confirmed, from 0 to 1.
      type: float
      returned: success
    false_duplicates:
      description: The expected number of false duplicates in the whole library, without confirmation.
      type: float
      returned: success
    false_duplicates_confirmed:
      description: The expected number of false duplicates in the whole library, with confirmation.
      type: float
      returned: success
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
from ansible_collections.mobius.dhash.plugins.module_utils._calibration import calibration_run, library_measures
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import path_rules, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import host_throttle, sandbox, worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._module import module_arguments, number_ranges, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import run_log


def settings_of(params: dict[str, Any]) -> library_measures.Settings:
    library, state = module_arguments.library_and_state(params, writes=("state_dir", "calibration_report", "temp_dir"))
    return library_measures.Settings(
        library=library,
        state=state,
        report=path_rules.calibration_report_of(library, params),
        run=run_record.new_run(),
        pictures=params["pictures"],
        confirm=params["confirm"],
        media_roots=module_arguments.media_roots(params, library),
        limits=module_arguments.limits(params),
        parallel=module_arguments.parallel(params),
        temp_dir=params["temp_dir"],
        lock_timeout=params["lock_timeout"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            calibration_report=dict(type="path"),
            pictures=dict(type="int", default=200),
            confirm=dict(type="bool", default=True),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.DECODING,
        ),
        supports_check_mode=True,
    )
    try:
        number_ranges.require(module.params)
        respawn.respawn_if_needed(module.params["interpreter"], module.check_mode)
        settings = settings_of(module.params)
        sandbox.require(settings.limits)
        throttle = host_throttle.Throttle(host_throttle.settings_of(module.params))
        if module.check_mode:
            outcome = calibration_run.check(settings)
        else:
            with run_log.progress_to(module.params["progress_file"]) as progress:
                meter = run_log.Meter(progress)
                throttle.tell = meter.wait
                outcome = calibration_run.run(settings, throttle, meter)
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        outcome.result["diff"] = calibration_run.difference(outcome, settings.report)
    module.exit_json(changed=outcome.changed, sandbox=worker_pool.sandbox_in_force(), throttled=throttle.result(), **outcome.result)


if __name__ == "__main__":
    main()
