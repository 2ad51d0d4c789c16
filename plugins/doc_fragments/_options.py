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
      - The C(library.json) to work on.
      - A symbolic link is resolved first. All files that belong to the library are beside the real file.
    type: path
    required: true
  state_dir:
    description:
      - The folder for this host's journals and run records. It must be on a disk of the host.
      - Defaults to V(/var/lib/mobius-dhash) for root and V(~/.local/state/mobius-dhash) for other users.
    type: path
"""

    # Of a module that a playbook runs several times on the same library.
    REAL_PATH = r"""
options:
  real_path:
    description:
      - The real file that O(library) must resolve to, as an earlier task of the same run has returned it.
      - If a symbolic link was replaced or now leads to another file, the module fails and names both files.
    type: str
"""

    # Of a module after which a service has to be restarted.
    RESTARTED = r"""
options:
  service_manager:
    description: What manages the service that has the library open. With V(none), no pending restart of a service is recorded.
    type: str
    choices: [none, systemd, docker, pm2, command]
    default: none
  service_name:
    description: The systemd unit, the container or the process of the service.
    type: str
"""

    LOCK = r"""
options:
  lock_timeout:
    description:
      - Maximum time, in seconds, to wait for another operation on the same library to end.
      - After that time the task fails and reports who holds the lock.
    type: float
    default: 10
"""

    # Of a module that finds out what monitoring is told.
    METRICS = r"""
options:
  metrics_dir:
    description:
      - The folder that the textfile collector of Prometheus' node_exporter reads. The module writes the metrics of the library into this
        folder.
      - A relative path counts from the folder of the library. Without this option no metrics are written.
      - If the metrics cannot be written, the task warns and does not fail. Metrics do not count as a change.
    type: path
"""

    # Of a module that changes a library, or what belongs to it.
    LOG = r"""
options:
  log_dir:
    description:
      - The folder for the audit log, C(library.json.operations-YYYYMM.jsonl). The audit log has one JSON line for each operation that
        changes something or fails.
      - A relative path counts from the folder of the library. Without this option the module writes no log file, only a line to journald or
        syslog.
    type: path
  origin:
    description:
      - Who runs the operation and from where, for the audit log.
      - The playbooks of this collection pass the V(user) and the V(host) of the controller, the V(playbook), and V(run), the name of the
        run on the controller.
    type: dict
"""

    # Of a module that opens images.
    DECODING = r"""
options:
  media_roots:
    description:
      - The folders that may contain images. Files outside these folders are never opened, not even through symbolic links.
      - Defaults to the folder of the library.
    type: list
    elements: path
  image_timeout:
    description: Maximum time, in seconds, for one image. An image that takes longer is an error of kind V(timeout).
    type: int
    default: 30
  max_image_bytes:
    description: Maximum size of an image file, in bytes. A larger file is not opened and is an error of kind V(too_large).
    type: int
    default: 1073741824
  max_image_pixels:
    description: Maximum number of pixels of an image. An image with more pixels is not decoded and is an error of kind V(too_large).
    type: int
    default: 250000000
  worker_memory:
    description: Maximum memory of one worker process, in bytes. An image that needs more is an error of kind V(too_large).
    type: int
    default: 2147483648
  worker_user:
    description:
      - The user as whom the worker processes decode images if the module runs as root, this user can read the media roots, and this user can
        run Python, Pillow and FFmpeg. Images that only root can read are decoded as root. Empty means root.
      - Linux only.
    type: str
    default: nobody
  require_sandbox:
    description:
      - Fail, before anything is changed, if the host cannot confine the worker processes with V(landlock), V(no_new_privs), V(seccomp) and
        V(resource_limits).
      - Without this option, the worker processes are confined as far as the host allows it.
    type: bool
    default: false
  nice:
    description: The nice value of the worker processes, from V(0) to V(19). The module itself keeps its own.
    type: int
    default: 10
  io_class:
    description:
      - The I/O scheduling class of the worker processes. V(idle) reads only if no other process uses the disk, V(best-effort) has the lowest
        level of the usual class, V(none) leaves the class unchanged.
      - The class has an effect on Linux with an I/O scheduler that knows priorities, such as BFQ. It is not set on other systems.
    type: str
    choices: [idle, best-effort, none]
    default: idle
  max_load:
    description:
      - The load average of one minute above which no image is begun. The worker processes count too.
      - The host is looked at about once a second. Images in progress finish, and the hashing goes on once nothing speaks against it. Without
        O(max_load), O(max_pressure), O(throttle_command) and O(pause_file) the module never waits, and it never waits in check mode.
    type: float
  max_pressure:
    description:
      - The percentage of the last 10 seconds in which a task waited for the CPU or for I/O (C(some avg10) in C(/proc/pressure/cpu) and
        C(/proc/pressure/io)) above which no image is begun.
      - Linux with pressure stall information only. Elsewhere this option has no effect, and RV(throttled.unavailable) says so.
    type: float
  throttle_command:
    description:
      - A command that is run with C(/bin/sh -c) about once a second. While its exit code is not V(0), no image is begun.
      - The module fails if the command cannot be run (exit codes V(126) and V(127)), is killed by a signal, or takes longer than 10 seconds.
        No image is begun while the command runs, so it should answer at once.
    type: str
  pause_file:
    description: The absolute path of a file. As long as it exists, no image is begun. The file is never read or changed.
    type: path
  parallel:
    description:
      - Number of worker processes that decode images at the same time.
      - Defaults to the number of CPU cores that the module may use.
    type: int
  temp_dir:
    description: The folder for temporary files of the decoders. It must exist.
    type: path
  interpreter:
    description:
      - A Python that has Pillow and numpy, if the Python that Ansible uses does not have them. For example the Python of a virtual
        environment.
      - In check mode a Python that does not exist yet is ignored.
    type: path
"""

    # Of a module that hashes them, besides.
    HASHING = r"""
options:
  algorithm:
    description:
      - The algorithm that computes the 64 bits of a hash from an image.
      - V(pillow) gives the same hash on every host for JPEG, PNG, GIF, WebP, BMP, TIFF and PNM.
      - V(ffmpeg) gives the hash that the FFmpeg program of the host gives, for services that hash with FFmpeg themselves.
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
    description: Number of images that are hashed between two commits to the journal.
    type: int
    default: 100
"""

    # Of a module that takes hashes from the journal, and adds to it.
    JOURNAL = r"""
options:
  ignore_ctime:
    description:
      - Treat a file as unchanged if its size and its modification time (mtime) are the same, even if its ctime or its inode has changed.
      - For file systems that change ctime or inode although nobody changes the file (some network and FUSE file systems), and for hosts
        where a nightly job resets the times of files. Without this option every run on such a host hashes all images again.
    type: bool
    default: false
  rehash:
    description:
      - Hash the images again whose journal entry was made by a version that did not keep the pixels. Without this option such an entry
        counts, and only the vertical hash confirms the duplicates of its image.
    type: bool
    default: false
"""

    # Of a watch.
    SERVICE = r"""
options:
  service_manager:
    description: What manages the service. With V(command), O(status_command) tells whether the service runs.
    type: str
    choices: [none, systemd, docker, pm2, command]
    default: none
  service_name:
    description: The systemd unit, the container or the process of the service.
    type: str
  service_scope:
    description: "The systemd instance that runs the unit: the system's or the user's."
    type: str
    choices: [system, user]
    default: system
  status_command:
    description: A command line for C(/bin/sh) that exits with 0 while the service runs.
    type: str
"""

    GATES = r"""
options:
  gates:
    description:
      - Limits for the monitoring period, and the action when a limit is exceeded. A gate that is not given keeps its default.
      - V(ignore) disables the gate, V(warn) warns and continues the monitoring, V(fail) and V(rollback) end the monitoring.
    type: dict
    suboptions:
      health:
        description: Consecutive failed health checks.
        type: dict
        suboptions:
          limit:
            description: Number of consecutive failed health checks at which the gate is exceeded.
            type: float
            default: 3
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: rollback
      service:
        description: Consecutive polls in which the service does not run.
        type: dict
        suboptions:
          limit:
            description: Number of consecutive polls without a running service at which the gate is exceeded.
            type: float
            default: 2
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: rollback
      library:
        description: Consecutive polls in which the library cannot be read.
        type: dict
        suboptions:
          limit:
            description: Number of consecutive polls without a readable library at which the gate is exceeded.
            type: float
            default: 2
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: fail
      error_log:
        description: New lines in the error log that match the pattern of an error.
        type: dict
        suboptions:
          limit:
            description: Maximum number of new matching lines in the error log.
            type: float
            default: 0
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      failure_rate:
        description: Fraction of the images that have no hash.
        type: dict
        suboptions:
          limit:
            description: Maximum fraction of images without a hash, from 0 to 1.
            type: float
            default: 0.05
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      average:
        description: Average time per image in the last migration.
        type: dict
        suboptions:
          limit:
            description: Maximum average time per image, in milliseconds.
            type: float
            default: 100
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      p95:
        description: 95th percentile of the time per image in the last migration.
        type: dict
        suboptions:
          limit:
            description: Maximum 95th percentile of the time per image, in milliseconds.
            type: float
            default: 200
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      queue:
        description: Number of pairs in the last review export.
        type: dict
        suboptions:
          limit:
            description: Maximum number of pairs in the last review export.
            type: float
            default: 100
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      memory:
        description: Memory of the service.
        type: dict
        suboptions:
          limit:
            description: Maximum memory of the service, in bytes. Without a limit the gate is never exceeded.
            type: float
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
      disk:
        description: Free disk space beside the library.
        type: dict
        suboptions:
          limit:
            description: Minimum free disk space beside the library, in bytes.
            type: float
            default: 1073741824
          action:
            description: What happens when the gate is exceeded.
            type: str
            choices: [ignore, warn, fail, rollback]
            default: warn
"""
