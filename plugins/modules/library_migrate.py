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
  - Gives every image of a C(library.json) its difference hash, finds the duplicates, and writes the migrated library
    beside the live one, which it leaves as it is. M(mobius.dhash.library_deploy) puts it in place.
  - What is hashed is kept in a journal, so that a killed migration goes on where it was, and a library that has not
    changed is not hashed again.
  - In check mode nothing is hashed and nothing is written; only the standard library of Python is needed.
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
      - Where the migrated library is written. A relative path counts from the folder of the library. Its folder has to be there.
      - By default beside the library, with C(.dhash.json) in place of C(.json).
        With O(limit) it is C(test-) before that name.
      - Not written where the live library holds the same already.
    type: path
  threshold:
    description: The largest Hamming distance at which two images are called duplicates.
    type: int
    default: 10
  limit:
    description:
      - Take only the first so many images, to try things out.
      - The migrated subset is written to O(output), and is never deployed.
    type: int
  sample:
    description:
      - How many hashed images are hashed again although the journal knows them, the same as M(mobius.dhash.image_hash) takes from the
        migrated library.
      - If one of them does not have the hash that is on record, the journal's entries of this library are dropped and its images
        are hashed again. In check mode that is only reported, as images to hash.
    type: int
    default: 0
  dry_run:
    description:
      - Do everything but write the migrated library. The journal is filled, so that the real run is short.
      - Neither the journal nor the report counts as a change.
    type: bool
    default: false
  report:
    description:
      - Where to write the whole report as JSON, every error, duplicate and missing path in it.
      - By default, if O(log_dir) is set, C(library.json.migration-report.json) in it, C(library.json.test-migration-report.json) with
        O(limit), and C(library.json.migrate-dryrun.json) beside the library with O(dry_run).
      - A relative path counts from the folder of the library.
    type: path
  log_dir:
    description:
      - The folder for the log of the run, C(library.json.migration-YYYYMMDD-HHMMSS.log), C(library.json.dry-run-...) with O(dry_run), and
        for the log of operations, C(library.json.operations-YYYYMM.jsonl).
      - A relative path counts from the folder of the library. No log is written without it.
    type: path
  log_retention:
    description:
      - How many days logs and reports stay in O(log_dir) after they were last written to. V(0) keeps all.
      - Only files that are named as this collection names them are removed.
    type: int
    default: 365
  progress_file:
    description:
      - A file that is replaced by the state of the hashing now and then. The action plugin sets it, to show progress.
    type: path
"""

EXAMPLES = r"""
- name: Migrate a library
  mobius.dhash.library_migrate:
    library: /srv/mobius/library.json
    media_roots:
      - /srv/mobius/media
    log_dir: /srv/mobius/logs

- name: Say what a migration would find, and fill the journal for it
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
  description: Whether the live library lacks something that the migration found, so that a deploy is due.
  returned: success
  type: bool
  sample: true
watch:
  description: The last watch over a deploy, as RV(mobius.dhash.library_info#module:watch) tells of it; none where there was none.
  returned: success, in check mode
  type: dict
staged_file_is_stale:
  description: Whether a migrated library was left that need no longer be deployed. It is removed.
  returned: success
  type: bool
staged_file_is_current:
  description: Whether the migrated library that is due was there already.
  returned: success
  type: bool
output:
  description: Where the migrated library is, or would be, written.
  returned: success
  type: str
  sample: /srv/mobius/library.dhash.json
run:
  description: The run in this host's record of the last operation; none where there is none.
  returned: success
  type: str
output_sha256:
  description: The digest of the migrated library; none where none was due or the run was a dry one.
  returned: success, not in check mode
  type: str
source_sha256:
  description: The digest of the live library that was read.
  returned: success
  type: str
before:
  description: The number of V(images), V(hashed), V(errors) and V(duplicates) in the live library.
  returned: success
  type: dict
images:
  description: The number of images.
  returned: success
  type: int
  sample: 755
hashed:
  description: The number of images with a hash after the migration. In check mode the most that there can be.
  returned: success
  type: int
  sample: 750
to_hash:
  description: The number of images that are yet to be hashed, in check mode.
  returned: success
  type: int
distrusted:
  description:
    - The number of images whose entries in the journal were dropped, because a sample (O(sample)) did not have the hashes on record.
    - They were hashed again.
  returned: success, not in check mode
  type: int
hashed_now:
  description: The number of files that this run opened and hashed.
  returned: success
  type: int
errors:
  description: The number of images without a hash. In check mode those that are known before hashing.
  returned: success
  type: int
  sample: 5
errors_by_kind:
  description: The same by kind.
  returned: success
  type: dict
  sample: {missing: 1, not_an_image: 2, truncated: 2}
missing:
  description: The number of images whose file is not there.
  returned: success
  type: int
low_detail:
  description: The number of images that are too flat to be matched by hash.
  returned: success, where all images are hashed
  type: int
duplicates:
  description: The number of duplicates found; none in check mode as long as there are images to hash.
  returned: success
  type: int
  sample: 540
failure_rate:
  description: The share of the images that have no hash.
  returned: success
  type: float
  sample: 0.0066
average_ms:
  description: The average time (ms) from opening a file to its pixels, of the images whose hash is new to the library.
  returned: success, where all images are hashed
  type: float
p95_ms:
  description: The 95th percentile of the same times.
  returned: success, where all images are hashed
  type: float
times:
  description: How many of the same times were at most so many seconds, and more than the bound before, by that bound.
  returned: success, where all images are hashed
  type: dict
  sample: {"0.001": 0, "0.002": 4, "0.005": 120, "0.01": 431, "0.02": 198, "0.05": 2, "0.1": 0, "0.2": 0, "0.5": 0, "1": 0, "2": 0, "5": 0,
    "10": 0, "20": 0, "50": 0, "more": 0}
images_per_second:
  description: How many images were hashed in a second; none where none had to be.
  returned: success, not in check mode
  type: float
resources:
  description: What the run took of the host.
  returned: success, not in check mode
  type: dict
  contains:
    seconds:
      description: Seconds from its start to its end.
      type: float
    parent_cpu_seconds:
      description: Seconds of CPU time, user and system, of the module itself.
      type: float
    workers_cpu_seconds:
      description: The same of the processes that it started.
      type: float
    peak_memory_bytes:
      description: The most resident memory that the largest of these processes had.
      type: int
    read_bytes:
      description: The size of all files that it opened to hash them.
      type: int
forecast:
  description: Seconds and bytes that the rest of the way will take.
  returned: success
  type: dict
  contains:
    hashing_seconds:
      description: Seconds to hash what is not in the journal; none where nothing has been measured.
      type: float
    hashing_seconds_without_journal:
      description: Seconds to hash all images.
      type: float
    disk_bytes:
      description: Bytes for the backup, the copy that is kept until verification, and the migrated library.
      type: int
report:
  description: Where the report was written.
  returned: when O(report) is given, not in check mode
  type: str
report_set_aside:
  description: Where a file was renamed to that was at the path of the report and that this collection had not written; none if there was none.
  returned: success, if a report was written
  type: str
log:
  description: Where the log was written.
  returned: when O(log_dir) is given, not in check mode
  type: str
summary:
  description: The report in a few lines.
  returned: success, not in check mode
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import migration_report, migration_run, migration_settings
from ansible_collections.mobius.dhash.plugins.module_utils._module import audit_log, module_arguments, respawn
from ansible_collections.mobius.dhash.plugins.module_utils._monitor import watch_record
from ansible_collections.mobius.dhash.plugins.module_utils._telemetry import metrics_file, run_log


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            output=dict(type="path"),
            threshold=dict(type="int", default=10),
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
            settings = migration_settings.of(params)
            metrics = metrics_file.of(params, settings.library, settings.state, module.warn)
            if module.check_mode:
                metrics.forewarn()
                result = {**migration_run.check(settings), "watch": watch_record.summary(settings.state)}
            else:
                with run_log.progress_to(params["progress_file"]) as progress:
                    result = migration_run.run(settings, progress, metrics, params["log_retention"])
                result["summary"] = migration_report.summary_lines(result)
                if result.get("report_set_aside"):
                    module.warn(f"{settings.report} was not written by this collection. It was renamed to {result['report_set_aside']}.")
                if result["distrusted"]:
                    module.warn(f"{settings.library}: a sample of its images did not have the hashes on record, so"
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
