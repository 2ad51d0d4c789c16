# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confine a process that decodes files, so that a hostile file cannot use it for anything else.

Every step is applied as far as the host allows it, and the process reports what is in force. Linux only, but for the limits: Landlock
(landlock(7), version 1 or later, for files; 4 for TCP; 6 for signals), no_new_privs, a seccomp filter (seccomp(2), x86_64 and aarch64)
that denies sockets and the system calls that no decoder needs, no capabilities, and another user. FFmpeg inherits all of this.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import json
import os
import platform
import pwd
import resource
import shutil
import signal
import stat
import struct
import sys
import sysconfig
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import MissingRequirementError, printable
from . import decoder_limits

LANDLOCK, NO_NEW_PRIVS, SECCOMP, NO_CAPABILITIES, UNPRIVILEGED_USER, RESOURCE_LIMITS = TOKENS = (
    "landlock", "no_new_privs", "seccomp", "no_capabilities", "unprivileged_user", "resource_limits")
REQUIRED = (LANDLOCK, NO_NEW_PRIVS, SECCOMP, RESOURCE_LIMITS)  # the others depend on who may read the images
ONLY_LINUX = "only Linux has this"

OPEN_FILES = 256
FILE_BYTES = 256 << 20
PROCESSES = 256  # besides those of the user, and PROCESSES_OF_A_WORKER for each worker
PROCESSES_OF_A_WORKER = 64  # FFmpeg has some twenty threads
PATIENCE_SECONDS = 20  # for a trial in a child: a dead file server does not answer
NO_ANSWER = "did not answer"

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store", "/gnu/store")
SYSTEM_FILES = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/dev/zero", "/dev/random", "/dev/urandom",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu")

# linux/landlock.h
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
FILE_RIGHTS_OF_VERSION = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
NET_RIGHTS, NET_VERSION = 3, 4  # to bind and to connect TCP sockets
SCOPES, SCOPE_VERSION = 3, 6  # abstract Unix sockets and signals to other processes
RIGHTS_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

# linux/prctl.h, linux/capability.h, linux/seccomp.h, linux/audit.h
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID, CAP_SETUID, LAST_CAPABILITY = 1, 2, 5, 6, 7, 63
CAPABILITY_VERSION = 0x20080522
FILTER, SPEC_ALLOW = 1, 4  # without SPEC_ALLOW, kernels before 5.16 slow the process down
ALLOW, DENY = 0x7FFF0000, 0x00050000 | errno.EPERM


class Architecture(NamedTuple):
    """The numbers of system calls on a kind of processor. ``denied``: no decoder needs them."""

    audit: int
    seccomp: int
    denied: tuple[int, ...]


# socket, socketpair, io_uring_setup, io_uring_enter, io_uring_register, ptrace, process_vm_readv, process_vm_writev, pidfd_getfd,
# setsid, setpgid (a worker is killed with its process group), memfd_create, execveat (Landlock does not see the files), unshare,
# setns, mount, umount2, pivot_root, chroot, open_by_handle_at, bpf, perf_event_open, userfaultfd, add_key, request_key, keyctl,
# init_module, finit_module, kexec_load
ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 317, (
        41, 53, 425, 426, 427, 101, 310, 311, 438, 112, 109, 319, 322, 272, 308, 165, 166, 155, 161, 304, 321, 298, 323, 248, 249, 250,
        175, 313, 246)),
    "aarch64": Architecture(0xC00000B7, 277, (
        198, 199, 425, 426, 427, 117, 270, 271, 438, 157, 154, 279, 281, 97, 268, 40, 39, 41, 51, 265, 280, 241, 282, 217, 218, 219,
        105, 273, 104)),
}
X32 = 0x40000000  # system calls with this bit have another numbering on x86_64

_LIBC: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Plan(NamedTuple):
    """How to confine a worker: paths to read, write and execute, the user (uid and gid, None to stay), and limits.

    ``reads_all``: keep the capability to read files of every user, if this process has it. ``stays``: why there is no other user.
    ``tasks``: the processes and threads that the user has now.
    """

    read: tuple[str, ...]
    write: tuple[str, ...]
    execute: tuple[str, ...]
    user: tuple[int, int] | None
    reads_all: bool
    stays: str
    memory_bytes: int
    tasks: int
    parallel: int


class Confinement(NamedTuple):
    """What is in force in a process: tokens of TOKENS, and (token, reason) of the others; ``landlock`` is its version, 0 without."""

    in_force: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    landlock: int
    uid: int


def make_plan(media_roots: Sequence[str], limits: decoder_limits.Limits, parallel: int = 1, images: Sequence[str] = ()) -> Plan:
    """The plan for workers that decode below ``media_roots`` (real paths). ``images``: some of their paths, to try out who can read them."""
    program = shutil.which("ffmpeg")
    read = (*media_roots, *_interpreter_paths(), *SYSTEM, *SYSTEM_FILES, *glob.glob("/etc/ld-musl-*.path"), *_program_paths(program))
    plan = Plan(read, (), _executable(program), None, False, "", limits.memory_bytes, 0, parallel)
    if _LIBC is not None and _capabilities()[0]:
        needed = [path for path in (os.__file__, *([program] if program else []), *_pillow_paths(), *media_roots) if os.path.exists(path)]
        plan = _choose_user(plan, limits.worker_user, needed, images)
    return plan._replace(tasks=_tasks_of(plan.user[0] if plan.user else os.getuid()))


def apply(plan: Plan) -> Confinement:
    """Confine this process, which must have a single thread, for the rest of its life; returns what is in force."""
    missing: dict[str, str] = {}
    _set_limits(plan, missing)
    if _LIBC is None:
        missing.update((token, ONLY_LINUX) for token in (LANDLOCK, NO_NEW_PRIVS, SECCOMP, NO_CAPABILITIES))
        return _confinement(missing, 0)
    ruleset, version = _make_ruleset(plan, missing)
    if plan.user:
        _change_user(plan.user, missing)
    elif plan.stays:
        missing[UNPRIVILEGED_USER] = plan.stays
    _drop_capabilities(plan.reads_all, missing)
    _limit_processes(plan)
    if _LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        missing[NO_NEW_PRIVS] = _reason("prctl")
    if ruleset is not None:
        if len(_threads()) > 1:
            missing[LANDLOCK] = "the process has several threads"
        elif _LIBC.syscall(RESTRICT_SELF, ruleset, 0):
            missing[LANDLOCK] = _reason("landlock_restrict_self")
        os.close(ruleset)
    _filter_system_calls(missing)
    return _confinement(missing, version)


def try_out(plan: Plan) -> Confinement:
    """What would be in force in a worker: found out in a child process."""
    answer = _in_child(lambda: json.dumps(apply(plan)))
    try:
        in_force, missing, version, uid = json.loads(answer)
    except ValueError:
        return Confinement((), tuple((token, "the trial in a child process failed") for token in TOKENS), 0, os.geteuid())
    return Confinement(tuple(in_force), tuple((token, reason) for token, reason in missing), version, uid)


def require(limits: decoder_limits.Limits) -> None:
    """Raise ``MissingRequirementError`` if ``limits`` require the sandbox, and this host does not have it."""
    if limits.require_sandbox:
        require_complete(try_out(make_plan((), limits)))


def require_complete(confinement: Confinement) -> None:
    """Raise ``MissingRequirementError`` unless everything in REQUIRED is in force."""
    lacking = [f"{token} ({reason})" for token, reason in confinement.missing if token in REQUIRED]
    if lacking:
        raise MissingRequirementError(
            f"dhash_require_sandbox is set, and the sandbox of the decoders is not complete on this host; missing: {', '.join(lacking)}",
            next_step="Use a kernel from 5.13 with Landlock, or allow its system calls in the container; or set dhash_require_sandbox: false.")


def weakest(confinements: Sequence[Confinement]) -> Confinement | None:
    """What was in force in every one of several processes; None without a process."""
    if not confinements:
        return None
    missing = {token: reason for each in confinements for token, reason in each.missing}
    return Confinement(tuple(token for token in TOKENS if all(token in each.in_force for each in confinements)),
                       tuple((token, missing[token]) for token in TOKENS if token in missing),
                       min(each.landlock for each in confinements), min(each.uid for each in confinements))


def text(confinement: Confinement) -> str:
    """``landlock 7, no_new_privs, seccomp, no_capabilities, uid 65534, resource_limits``."""
    words = {LANDLOCK: f"landlock {confinement.landlock}", UNPRIVILEGED_USER: f"uid {confinement.uid}"}
    return ", ".join(words.get(token, token) for token in confinement.in_force) or "none"


def as_result(confinement: Confinement | None) -> dict[str, Any] | None:
    """A confinement in the form of the results of modules."""
    return confinement and {
        "in_force": list(confinement.in_force), "missing": [{"id": token, "reason": reason} for token, reason in confinement.missing],
        "landlock_version": confinement.landlock, "uid": confinement.uid, "text": text(confinement)}


def _confinement(missing: dict[str, str], version: int) -> Confinement:
    if os.geteuid() == 0:
        missing.setdefault(UNPRIVILEGED_USER, "the worker runs as root")
    else:
        missing.pop(UNPRIVILEGED_USER, None)
    return Confinement(tuple(token for token in TOKENS if token not in missing),
                       tuple((token, missing[token]) for token in TOKENS if token in missing),
                       0 if LANDLOCK in missing else version, os.geteuid())


def _reason(call: str) -> str:
    return f"{call}: {os.strerror(ctypes.get_errno())}"


# Paths


def _interpreter_paths() -> list[str]:
    """The folders and files that Python imports from."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *os.environ.get("LD_LIBRARY_PATH", "").split(":")}
    found |= {os.path.abspath(entry) for entry in sys.path if entry}
    return sorted(path for path in found if os.path.isabs(path) and os.path.realpath(path) not in ("/", os.path.expanduser("~")))


def _pillow_paths() -> list[str]:
    module = sys.modules.get("PIL")
    return [os.path.dirname(module.__file__)] if module and module.__file__ else []


def _program_paths(program: str | None) -> list[str]:
    """The folders of a program and of libraries beside it."""
    if program is None:
        return []
    folder = os.path.dirname(os.path.realpath(program))
    return [folder, *glob.glob(os.path.join(glob.escape(os.path.dirname(folder)), "lib*"))]


def _executable(program: str | None) -> tuple[str, ...]:
    """The files that a worker has to execute to run ``program``: it and its loader. A script may run every program of the system."""
    if program is None:
        return ()
    path = os.path.realpath(program)
    loader = _loader_of(path)
    return (path, *SYSTEM) if loader is None else (path, loader)


def _loader_of(program: str) -> str | None:
    """The ELF interpreter of a 64-bit program (elf(5), PT_INTERP); the program itself if it needs none; None if it is something else."""
    with contextlib.suppress(OSError, struct.error, UnicodeDecodeError), open(program, "rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\2\1":
            return None
        (table,), (entry_bytes, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
        for number in range(count):
            file.seek(table + number * entry_bytes)
            entry = file.read(40)
            if struct.unpack_from("<I", entry)[0] == 3:
                (offset,), (length,) = struct.unpack_from("<Q", entry, 8), struct.unpack_from("<Q", entry, 32)
                file.seek(offset)
                return os.path.realpath(file.read(length).rstrip(b"\0").decode("ascii"))
        return program
    return None


# The user and the capabilities


def _choose_user(plan: Plan, name: str | None, needed: Sequence[str], images: Sequence[str]) -> Plan:
    """The plan with the least privileges with which the paths ``needed`` and some of ``images`` can be read."""
    user, stays = None, ""
    if os.geteuid() == 0:
        user, stays = _find_user(name)
    if user:
        for_user = plan._replace(user=user)
        obstacle = _in_child(lambda: _obstacle(for_user, needed, images))
        if not obstacle:
            return for_user
        stays = f"the user {name} {obstacle}"
    for_this = plan._replace(stays=stays)
    return for_this._replace(reads_all=bool(_in_child(lambda: _obstacle(for_this, needed, images))))


def _find_user(name: str | None) -> tuple[tuple[int, int] | None, str]:
    """The uid and gid of a user, or the reason why the workers cannot run as this user."""
    if not name:
        return None, "dhash_worker_user is empty"
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None, f"the user {printable(name)} does not exist"
    if found.pw_uid == 0:
        return None, f"the user {printable(name)} is root"
    if any(not _capabilities()[0] & 1 << capability for capability in (CAP_KILL, CAP_SETGID, CAP_SETUID)):
        return None, "root may not change the user here"
    return (found.pw_uid, found.pw_gid), ""


def _obstacle(plan: Plan, needed: Sequence[str], images: Sequence[str]) -> str:
    """What this process cannot read once it has changed its user and dropped its capabilities; empty if it reads all that is needed."""
    missing: dict[str, str] = {}
    if plan.user:
        _change_user(plan.user, missing)
    _drop_capabilities(False, missing)
    if missing:
        return f"cannot be used: {', '.join(missing.values())}"
    for path in needed:
        if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
            return f"cannot read {printable(path)}"
    refused = [path for path in images if not _is_readable(path)]
    return f"cannot read {printable(refused[0])}" if refused and len(refused) == len(images) else ""


def _is_readable(path: str) -> bool:
    """Whether the file can be opened, or there is another problem than its permissions."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY))
    except PermissionError:
        return False
    except (OSError, ValueError):
        pass
    return True


def _change_user(user: tuple[int, int], missing: dict[str, str]) -> None:
    uid, gid = user
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        missing[UNPRIVILEGED_USER] = f"the user could not be changed: {error.strerror}"


def _capabilities() -> tuple[int, int]:
    """The effective and permitted capabilities of this process, as bits."""
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for 32 capabilities each
    if _LIBC.capget((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), data):
        return 0, 0
    return data[0] | data[3] << 32, data[1] | data[4] << 32


def _drop_capabilities(reads_all: bool, missing: dict[str, str]) -> None:
    """Drop all capabilities, or, to read the files of every user, all but one."""
    effective, permitted = _capabilities()
    kept = 0
    if reads_all:  # containers often have only the second one
        kept = next((1 << capability for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if effective & 1 << capability), 0)
    for capability in range(LAST_CAPABILITY + 1):
        if not kept & 1 << capability:
            _LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # needs CAP_SETPCAP; no_new_privs has the same effect
    if permitted & ~kept:
        low = kept & 0xFFFFFFFF
        # FFmpeg, which this process executes, keeps an inheritable capability only if it is ambient; those were set by who started us.
        data = (ctypes.c_uint32 * 6)(low, low, low, kept >> 32, kept >> 32, kept >> 32)
        _LIBC.capset((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), data)
    left = _capabilities()[1]
    if left:
        missing[NO_CAPABILITIES] = ("one capability is kept to read the images of other users" if left == kept
                                    else "the capabilities could not be dropped")


# Limits


def _set_limits(plan: Plan, missing: dict[str, str]) -> None:
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_FSIZE, FILE_BYTES)]
    if sys.platform == "linux":
        limits.append((resource.RLIMIT_AS, plan.memory_bytes))
    for which, value in limits:
        try:
            set_limit(which, value)
        except (OSError, ValueError, OverflowError) as error:
            missing[RESOURCE_LIMITS] = f"setrlimit: {error}"


def set_limit(which: int, value: int) -> None:
    """Lower a limit of this process for good."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _limit_processes(plan: Plan) -> None:
    """Limit the processes of this user, if the number that it has is known.

    The kernel counts the processes of a user in all containers, and /proc shows only those of this one. So the limit is tried out first.
    """
    most = plan.tasks + PROCESSES + PROCESSES_OF_A_WORKER * plan.parallel
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY and hard <= most:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (plan.tasks + PROCESSES // 4 + plan.parallel, hard))
        if _in_child(lambda: "started") == "started":
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        else:
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


def _tasks_of(uid: int) -> int:
    """The number of processes and threads of a user, as far as /proc shows them."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f"/proc/{name}/task")) if os.stat(f"/proc/{name}").st_uid == uid else 0
    return count


def _threads() -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir("/proc/self/task")
    return []


# Landlock and seccomp


def _make_ruleset(plan: Plan, missing: dict[str, str]) -> tuple[int | None, int]:
    """The descriptor of a Landlock ruleset, None if there is none, and the version of Landlock."""
    version = _LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        missing[LANDLOCK] = ("the kernel does not have it" if ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP)
                             else _reason("landlock_create_ruleset"))
        return None, 0
    handled = FILE_RIGHTS_OF_VERSION[min(version, len(FILE_RIGHTS_OF_VERSION) - 1)]
    fields = struct.pack("=QQQ", handled, NET_RIGHTS if version >= NET_VERSION else 0, SCOPES if version >= SCOPE_VERSION else 0)
    ruleset = _LIBC.syscall(CREATE_RULESET, fields, ctypes.c_size_t(len(fields)), 0)
    if ruleset < 0:
        missing[LANDLOCK] = _reason("landlock_create_ruleset")
        return None, 0
    os.set_inheritable(ruleset, False)
    rules = [*((path, READ_FILE | READ_DIR) for path in plan.read), *((path, EXECUTE | READ_FILE) for path in plan.execute),
             *((path, handled & ~EXECUTE) for path in plan.write), ("/dev/null", READ_FILE | WRITE_FILE)]
    for path, rights in rules:
        if not _add_rule(ruleset, path, rights & handled):
            missing[LANDLOCK] = _reason("landlock_add_rule")
            os.close(ruleset)
            return None, 0
    return ruleset, version


def _add_rule(ruleset: int, path: str, rights: int) -> bool:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]  # Linux only
    except (OSError, ValueError):
        return True  # what is not there needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= RIGHTS_OF_A_FILE
        return bool(_LIBC.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0) == 0)
    finally:
        os.close(descriptor)


def _filter_system_calls(missing: dict[str, str]) -> None:
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None or sys.maxsize < 1 << 32:
        missing[SECCOMP] = f"there is no filter for {platform.machine()}"
        return
    program = _filter_program(architecture)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    for flags in (SPEC_ALLOW, 0):
        if _LIBC.syscall(architecture.seccomp, FILTER, flags, filter_) == 0:
            return
    missing[SECCOMP] = _reason("seccomp")


def _filter_program(architecture: Architecture) -> bytes:
    """The filter in classic BPF (linux/filter.h): the offsets of jumps count from the next instruction."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    count = len(architecture.denied)
    checks = [struct.pack("=HBBI", equal, count - index, 0, number) for index, number in enumerate(architecture.denied)]
    return b"".join([
        struct.pack("=HBBI", load, 0, 0, 4),  # the architecture
        struct.pack("=HBBI", equal, 0, count + 3, architecture.audit),
        struct.pack("=HBBI", load, 0, 0, 0),  # the number of the system call
        struct.pack("=HBBI", at_least, count + 1, 0, X32),
        *checks,
        struct.pack("=HBBI", give, 0, 0, ALLOW),
        struct.pack("=HBBI", give, 0, 0, DENY),
    ])


# Trials


def _in_child(function: Callable[[], str]) -> str:
    """The result of ``function`` in a child process; NO_ANSWER if there is none."""
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a fork with threads: the child takes no lock
            child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return NO_ANSWER
    if child == 0:
        code = 1
        try:
            os.close(reader)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE_SECONDS)
            os.write(writer, function().encode("utf-8", "backslashreplace"))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    return answer.decode("utf-8") if os.waitpid(child, 0)[1] == 0 else NO_ANSWER
