# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata of a file: mode, owner, ACL, extended attributes, security label."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import stat
from typing import Any

from .._errors import DhashError, from_os_error

NO_METADATA_OF_THAT_KIND = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA, errno.ENOSYS)


def read(path: str) -> dict[str, Any]:
    """The mode, owner, ACL and extended attributes of the file at ``path``, as JSON can hold them. Raises ``DhashError``."""
    try:
        status = os.stat(path)
        attributes = {name: base64.b64encode(value).decode() for name, value in _attributes(path).items()}
    except OSError as error:
        raise from_os_error(error, "read the metadata of the file", path) from error
    return {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid, "xattrs": attributes}


def copy_to(source: str, descriptor: int) -> None:
    """Give the open file the owner, mode, ACL, extended attributes and security label of ``source``.

    Raises ``DhashError`` or ``OSError`` if one of them cannot be set.
    """
    wanted, present = os.stat(source), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (present.st_uid, present.st_gid):
        try:
            os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
        except PermissionError as error:
            raise DhashError(f"not permitted to set the owner of the new file to that of this file ({wanted.st_uid}:{wanted.st_gid})", source,
                             "Run with become as root or as that owner.") from error
    attributes, inherited = _attributes(source), _attributes(descriptor)
    for name in inherited.keys() - attributes.keys():
        os.removexattr(descriptor, name)
    for name, value in attributes.items():
        if inherited.get(name) != value:
            os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode))


def _attributes(file: str | int) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}
    try:
        return {name: os.getxattr(file, name) for name in os.listxattr(file)}
    except OSError as error:
        if error.errno in NO_METADATA_OF_THAT_KIND:
            return {}
        raise


def give_owner_where_allowed(source: str, descriptor: int) -> None:
    """Give the open file the owner of ``source``, if this user may."""
    wanted = os.stat(source)
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)


def give_where_allowed(noted: dict[str, Any], descriptor: int) -> None:
    """Give the open file as much of ``noted``, which :func:`read` returned for another file, as this user may set."""
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, noted["uid"], noted["gid"])
    for name, value in noted["xattrs"].items():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, name, base64.b64decode(value))
    os.fchmod(descriptor, noted["mode"])
