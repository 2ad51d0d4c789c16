#!/usr/bin/python
# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: library_migrate
short_description: Hash the images of a library and write the migrated library
version_added: 1.0.0
author:
  - mobius.dhash contributors (@mobius-dhash)
description:
  - Computes the difference hash of every image of a C(library.json), finds the duplicates, and writes the migrated library beside the live
    one. The module does not change the live library. M(mobius.dhash.library_deploy) deploys the migrated library.
  - Hashes are saved in a journal. An interrupted migration continues from the journal, and an unchanged library is not hashed again.
  - In check mode the module hashes and writes nothing, and needs only the standard library of Python.
requirements:
  - ffmpeg-python and the FFmpeg program, for what Pillow cannot decode (optional)
extends_documentation_fragment:
  - mobius.dhash._attributes
  - mobius.dhash._attributes.changing
  - mobius.dhash._options
  - mobius.dhash._options.lock
  - mobius.dhash._options.log
  - mobius.dhash._options.metrics
  - mobius.dhash._options.decoding
  - mobius.dhash._options.hashing
  - mobius.dhash._options.batches
  - mobius.dhash._options.journal
options:
  output:
    description:
      - The path of the migrated library. A relative path counts from the folder of the library. The folder of the path must exist.
      - Defaults to the path of the library with C(.dhash.json) in place of C(.json). With O(limit), the default file name begins with
        C(test-).
      - The migrated library is not written if the live library has the same content.
    type: path
  threshold:
    description: Maximum Hamming distance at which two images are duplicates.
    type: int
    default: 10
  confirm:
    description:
      - Whether the pixels of two images must confirm a duplicate. The pixels are the 144 brightness values that the hashes were computed
        from; for an image of which the journal has no pixels, the vertical hash confirms.
      - Without confirmation every image within O(threshold) is a duplicate. In a large library most of these are different pictures.
    type: bool
    default: true
  limit:
    description:
      - Process only the first N images, for a trial run.
      - The migrated subset is written to O(output) and is never deployed.
    type: int
  sample:
    description:
      - Number of hashed images to hash again although they are in the journal. M(mobius.dhash.image_hash) draws the same sample from the
        migrated library.
      - If an image of the sample does not have the recorded hash, the entries of this library are dropped from the journal, and its images
        are hashed again. In check mode the images are only counted as images to hash.
    type: int
    default: 0
  dry_run:
    description:
      - Do everything except writing the migrated library. The journal is filled, and the real run is therefore short.
      - Neither the journal nor the report counts as a change.
    type: bool
    default: false
  report:
    description:
      - The path of the complete report (JSON), with every error, duplicate and missing path. A list of more than 10,000 is a JSON Lines
        file beside it, which the report names in C(list_files).
      - If O(log_dir) is set, the default is C(library.json.migration-report.json) in that folder, and
        C(library.json.test-migration-report.json) with O(limit). With O(dry_run) the default is C(library.json.migrate-dryrun.json) beside
        the library.
      - A relative path counts from the folder of the library.
    type: path
  log_dir:
    description:
      - The folder for the log of the run, C(library.json.migration-YYYYMMDD-HHMMSS.log) or, with O(dry_run), C(library.json.dry-run-...),
        and for the audit log, C(library.json.operations-YYYYMM.jsonl).
      - A relative path counts from the folder of the library. Without this option no log is written.
    type: path
  log_retention:
    description:
      - Number of days to keep logs and reports in O(log_dir) after they were last written. V(0) keeps all files.
      - Only files with names of this collection are removed.
    type: int
    default: 365
  progress_file:
    description:
      - A file that the module regularly replaces with the progress of the hashing. The action plugin sets this option to show the progress.
    type: path
"""

EXAMPLES = r"""
- name: Migrate a library
  mobius.dhash.library_migrate:
    library: /srv/mobius/library.json
    media_roots:
      - /srv/mobius/media
    log_dir: /srv/mobius/logs

- name: Report what a migration would find, and fill the journal
  mobius.dhash.library_migrate:
    library: /srv/mobius/library.json
    dry_run: true
    report: /srv/mobius/reports/dry-run.json

- name: Try the first hundred images
  mobius.dhash.library_migrate:
    library: /srv/mobius/library.json
    limit: 100
"""

RETURN = r"""
would_change:
  description: Whether the migrated library differs from the live library. If so, a deploy is due.
  returned: success
  type: bool
  sample: true
watch:
  description: The last monitoring after a deploy, as in RV(mobius.dhash.library_info#module:watch). None if there was no monitoring.
  returned: success, in check mode
  type: dict
deploy:
  description:
    - What a deploy would find now. It has the return values of M(mobius.dhash.library_deploy) with O(mobius.dhash.library_deploy#module:state=deployed),
      and C(is_pending), whether a verification would have anything to record. None if the deploy would fail.
  returned: success, in check mode
  type: dict
sampled:
  description: How many images were hashed again and had the recorded hash. A verification of the same library would draw the same images.
  returned: success, in check mode, if nothing would change and Pillow and numpy are there
  type: int
staged_file_is_stale:
  description: Whether an earlier run left a migrated library that no longer needs to be deployed. The migration removes this file.
  returned: success
  type: bool
staged_file_is_current:
  description: Whether the file at RV(output) already has the content of the migrated library.
  returned: success
  type: bool
output:
  description: The path at which the migrated library is, or would be, written.
  returned: success
  type: str
  sample: /srv/mobius/library.dhash.json
run:
  description: The run in this host's record of the last operation. None if there is no record.
  returned: success
  type: str
output_sha256:
  description: The SHA-256 of the migrated library. None if no deploy is due, or in a dry run.
  returned: success, not in check mode
  type: str
source_sha256:
  description: The SHA-256 of the live library that was read.
  returned: success
  type: str
before:
  description: The number of V(images), V(hashed), V(errors) and V(duplicates) in the live library.
  returned: success
  type: dict
images:
  description: The number of images in the library.
  returned: success
  type: int
  sample: 755
hashed:
  description: The number of images with a hash after the migration. In check mode, the maximum that is possible.
  returned: success
  type: int
  sample: 750
to_hash:
  description: In check mode, the number of images that are not hashed yet.
  returned: success
  type: int
distrusted:
  description:
    - The number of images whose entries were dropped from the journal because a sample (O(sample)) did not have the recorded hashes.
    - These images were hashed again.
  returned: success, not in check mode
  type: int
hashed_now:
  description: The number of files that this run opened and hashed.
  returned: success
  type: int
errors:
  description: The number of images without a hash. In check mode, the number of errors that are known without hashing.
  returned: success
  type: int
  sample: 5
errors_by_kind:
  description: The number of images without a hash, by kind of error.
  returned: success
  type: dict
  sample: {missing: 1, not_an_image: 2, truncated: 2}
missing:
  description: The number of images whose file does not exist.
  returned: success
  type: int
low_detail:
  description: The number of images that are too flat to be matched by hash.
  returned: success, if all images are hashed
  type: int
duplicates:
  description: The number of duplicates found. None in check mode if there are images to hash.
  returned: success
  type: int
  sample: 540
duplicates_refuted:
  description:
    - The number of images whose nearest earlier image within O(threshold) is not the same picture. None in check mode if there are images
      to hash, and V(0) without O(confirm).
  returned: success
  type: int
  sample: 12
failure_rate:
  description: The fraction of the images that have no hash, from 0 to 1.
  returned: success
  type: float
  sample: 0.0066
average_ms:
  description: The average time per image, in milliseconds, from opening the file to its pixels. Only images whose hash is new to the
    library count.
  returned: success, if all images are hashed
  type: float
p95_ms:
  description: The 95th percentile of the time per image, in milliseconds. Only images whose hash is new to the library count.
  returned: success, if all images are hashed
  type: float
times:
  description: A histogram of the time per image, of the images whose hash is new to the library. Each key is an upper bound in seconds. Its
    value is the number of images that took at most this time and more than the bound before.
  returned: success, if all images are hashed
  type: dict
  sample: {"0.001": 0, "0.002": 4, "0.005": 120, "0.01": 431, "0.02": 198, "0.05": 2, "0.1": 0, "0.2": 0, "0.5": 0, "1": 0, "2": 0, "5": 0,
    "10": 0, "20": 0, "50": 0, "more": 0}
images_per_second:
  description:
    - The number of images hashed per second, without the time in which the run waited. None if no image had to be hashed.
    - If the library was surveyed again after a wait, of the images hashed since.
  returned: success, not in check mode
  type: float
resources:
  description: The resources of the host that the run used.
  returned: success, not in check mode
  type: dict
  contains:
    seconds:
      description: The duration of the run, in seconds.
      type: float
    parent_cpu_seconds:
      description: CPU time (user and system) of the module process, in seconds.
      type: float
    workers_cpu_seconds:
      description: CPU time (user and system) of the worker processes, in seconds.
      type: float
    peak_memory_bytes:
      description: Peak resident memory of the largest of these processes, in bytes.
      type: int
    read_bytes:
      description: Total size of the files that the run opened to hash them, in bytes.
      type: int
forecast:
  description: The expected time and disk space that the migration needs from here.
  returned: success
  type: dict
  contains:
    hashing_seconds:
      description: The expected time, in seconds, to hash the images that are not in the journal. None if nothing has been measured.
      type: float
    hashing_seconds_without_journal:
      description: The expected time, in seconds, to hash all images. None if nothing has been measured.
      type: float
    disk_bytes:
      description: The disk space, in bytes, for the backup, the copy that is kept until the verification, and the migrated library.
      type: int
report:
  description: The path of the report.
  returned: when O(report) is given, not in check mode
  type: str
report_set_aside:
  description: The new path of a file that was at the path of the report and was not written by this collection. None if there was no such
    file.
  returned: success, if a report was written
  type: str
log:
  description: The path of the log.
  returned: when O(log_dir) is given, not in check mode
  type: str
summary:
  description: A summary of the report, as lines of text.
  returned: success, not in check mode
  type: list
  elements: str
throttled:
  description: How long no image was begun because the host was busy or the run was paused.
  returned: success, not in check mode
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import cutover, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import worker_pool
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_report, migration_run, migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, run_log


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            output=dict(type="path"),
            threshold=dict(type="int", default=10),
            confirm=dict(type="bool", default=True),
            limit=dict(type="int"),
            dry_run=dict(type="bool", default=False),
            sample=dict(type="int", default=0),
            report=dict(type="path"),
            log_retention=dict(type="int", default=365),
            progress_file=dict(type="path"),
            **module_arguments.LIBRARY, **module_arguments.LOCK, **module_arguments.LOG, **module_arguments.METRICS, **module_arguments.BATCHES,
            **module_arguments.JOURNAL,
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        with audit_log.recorded(module, migration_run.operation(params["dry_run"], params["limit"])) as done:
            respawn.respawn_if_needed(params["interpreter"], module.check_mode)
            settings = migration_settings.from_params(params)
            metrics = metrics_file.for_module(params, settings.library, settings.state, module.warn)
            if module.check_mode:
                metrics.forewarn()
                result = {**migration_run.check(settings), "sandbox": worker_pool.sandbox_in_force(), "watch": watch_record.summary(settings.state),
                          "deploy": cutover.foresee(settings.library, settings.state)}
            else:
                with run_log.progress_to(params["progress_file"]) as progress:
                    result = migration_run.run(settings, progress, metrics, params["log_retention"])
                result["summary"] = migration_report.summary_lines(result)
                if result.get("report_set_aside"):
                    module.warn(f"{settings.report} was not written by this collection. It was renamed to {result['report_set_aside']}.")
                if result["distrusted"]:
                    module.warn(f"{settings.library}: a sample of its images did not have the recorded hashes, so"
                                f" {result['distrusted']} images were hashed again.")
            result["run"] = run_record.run_of(settings.state)
            done.changed = not settings.dry_run and (
                result["staged_file_is_stale"] or (result["would_change"] and not result["staged_file_is_current"]))
            done.run, done.before, done.after = settings.run, result["source_sha256"], result.get("output_sha256")
            done.details = {key: result[key] for key in ("images", "hashed", "hashed_now", "errors", "duplicates", "output")}
    except DhashError as error:
        module.fail_json(msg=str(error))
    if module._diff:
        result["diff"] = migration_report.diff(settings.library, result)
    module.exit_json(changed=done.changed, **result)


if __name__ == "__main__":
    main()
