# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options that several modules share."""

    DOCUMENTATION = r"""
options:
  library:
    description:
      - The C(library.json) that is worked on.
      - A symbolic link is resolved first. Everything that belongs to the library lies beside the real file.
    type: path
    required: true
  state_dir:
    description:
      - The folder in which this host keeps its journals and the records of its runs, on a disk of its own.
      - By default V(/var/lib/mobius-dhash) for root and V(~/.local/state/mobius-dhash) for others.
    type: path
"""

    # Of a module that a playbook runs several times on the same library.
    REAL_PATH = r"""
options:
  real_path:
    description:
      - The real file that O(library) has to lead to, as an earlier task of the same run has returned it.
      - If a symbolic link was replaced or leads elsewhere meanwhile, the module fails and names both files.
    type: str
"""

    # Of a module after which a service has to be restarted.
    RESTARTED = r"""
options:
  service_manager:
    description: What manages the service that has the library open. With V(none) no restart is on record as owed to a service.
    type: str
    choices: [none, systemd, docker, pm2, command]
    default: none
  service_name:
    description: The unit, the container or the process.
    type: str
"""

    LOCK = r"""
options:
  lock_timeout:
    description:
      - How many seconds to wait for another operation on the same library to end.
      - After them the task fails and says who holds the lock.
    type: float
    default: 10
"""

    # Of a module that finds out what monitoring is told.
    METRICS = r"""
options:
  metrics_dir:
    description:
      - The folder that the textfile collector of Prometheus' node_exporter reads. The metrics of the library are written into it.
      - A relative path counts from the folder of the library. Without it no metrics are kept.
      - Where they cannot be written, the task warns of it and does not fail. They do not count as a change.
    type: path
"""

    # Of a module that changes a library, or what belongs to it.
    LOG = r"""
options:
  log_dir:
    description:
      - The folder for the log of operations, C(library.json.operations-YYYYMM.jsonl), a JSON line for each operation that changes something or fails.
      - A relative path counts from the folder of the library. No log is written without it, but the line to journald or syslog.
    type: path
  origin:
    description:
      - Who runs this from where, for the log of operations.
      - The playbooks of this collection give V(user) and V(host) of the controller, V(playbook), and V(run), which names the run there.
    type: dict
"""

    # Of a module that opens images.
    DECODING = r"""
options:
  media_roots:
    description:
      - The folders that images may lie in. Nothing outside them is opened, symbolic links included.
      - By default the folder of the library.
    type: list
    elements: path
  image_timeout:
    description: How many seconds one image may take before it is given up as V(timeout).
    type: int
    default: 30
  max_image_bytes:
    description: The largest file that is opened; a larger one is an error of kind V(too_large).
    type: int
    default: 1073741824
  max_image_pixels:
    description: The most pixels that are decoded of one image; more is an error of kind V(too_large).
    type: int
    default: 250000000
  worker_memory:
    description: How many bytes of memory one worker may take; an image that needs more is an error of kind V(too_large).
    type: int
    default: 2147483648
  parallel:
    description:
      - How many worker processes decode images at the same time.
      - By default as many as this process may use processor cores.
    type: int
  temp_dir:
    description: Where decoders may put temporary files. This folder has to be there.
    type: path
  interpreter:
    description:
      - A Python that has Pillow and numpy, where the one that Ansible uses has not; that of a virtual environment, say.
      - Left aside in check mode as long as it is not there.
    type: path
"""

    # Of a module that hashes them, besides.
    HASHING = r"""
options:
  algorithm:
    description:
      - How the 64 bits are made of a picture.
      - V(pillow) gives the same hash on every host for JPEG, PNG, GIF, WebP, BMP, TIFF and PNM.
      - V(ffmpeg) gives what the FFmpeg program of that host gives, for services that hash with FFmpeg themselves.
    type: str
    choices: [pillow, ffmpeg]
    default: pillow
"""

    # Of a module that hashes all of a library or of a part of it, besides.
    BATCHES = r"""
requirements:
  - Pillow >= 9.0
  - numpy >= 1.24
options:
  batch_size:
    description: How many images are hashed between two checkpoints in the journal.
    type: int
    default: 100
"""

    # Of a module that takes hashes from the journal, and adds to it.
    JOURNAL = r"""
options:
  ignore_ctime:
    description:
      - Whether a file counts as unchanged if its size and its time of change (mtime) are the same, whatever its ctime and its inode are.
      - For file systems where these two change although nobody touches the file (some network and FUSE file systems), and for hosts
        where a nightly job resets the times of files. Without it all images are hashed again there at each run.
    type: bool
    default: false
"""

    # Of a watch.
    SERVICE = r"""
options:
  service_manager:
    description: What manages the service. V(command) asks O(status_command).
    type: str
    choices: [none, systemd, docker, pm2, command]
    default: none
  service_name:
    description: The unit, the container or the process.
    type: str
  service_scope:
    description: "The systemd instance that runs the unit: the system's or the user's."
    type: str
    choices: [system, user]
    default: system
  status_command:
    description: A command line for C(/bin/sh) that ends with 0 while the service runs.
    type: str
"""

    GATES = r"""
options:
  gates:
    description:
      - How much of what is borne, and what happens otherwise. What is not given is as by default.
      - The actions are V(ignore), V(warn), which lets the watch go on, V(fail) and V(rollback), which end it.
    type: dict
    suboptions:
      health:
        description: The health URL, so many times in a row not well.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 3
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: rollback
      service:
        description: The service, so many times in a row not running.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 2
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: rollback
      library:
        description: The library, so many times in a row not readable.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 2
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: fail
      error_log:
        description: More new lines than this in the error log.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 0
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      failure_rate:
        description: A larger share of the images than this has no hash.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 0.05
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      average:
        description: More milliseconds an image on average in the last migration.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 100
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      p95:
        description: More milliseconds an image at the 95th percentile in the last migration.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 200
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      queue:
        description: More pairs than this in the last review export.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 100
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      memory:
        description: More bytes of memory than this held by the service.
        type: dict
        suboptions:
          limit:
            description: The limit. Without one nothing is too much.
            type: float
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      disk:
        description: Fewer bytes than this free beside the library.
        type: dict
        suboptions:
          limit:
            description: The limit.
            type: float
            default: 1073741824
          action:
            description: What happens.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
"""
