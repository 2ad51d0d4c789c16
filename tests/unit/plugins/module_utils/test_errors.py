# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _errors
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, ImageError, from_os_error, printable
from hypothesis import given
from hypothesis import strategies as st


def test_error_gives_path_cause_and_next_step() -> None:
    error = DhashError("is empty", "/srv/library.json", "Restore a backup.")
    assert str(error) == "/srv/library.json: is empty. Restore a backup."


def test_a_cause_that_ends_in_a_full_stop_gets_no_second_one() -> None:
    assert str(DhashError("It failed.", next_step="Run again.")) == "It failed. Run again."


def test_an_error_without_a_path_or_a_next_step_is_its_cause() -> None:
    assert str(DhashError("numpy is missing")) == "numpy is missing"


def test_odd_path_cannot_break_the_line_or_the_output() -> None:
    error = DhashError("is empty", "/srv/a\nb\udcff\x1b[31m.json")
    assert str(error) == "/srv/a\\nb\\udcff\\x1b[31m.json: is empty"


def test_image_error_has_no_path_and_is_the_same_anywhere() -> None:
    error = ImageError("missing", "the file does not exist", "Check the path.")
    assert (error.kind, error.path, str(error)) == ("missing", None, "the file does not exist. Check the path.")


@pytest.mark.parametrize("number", [
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ELOOP,
    errno.ENOTDIR, errno.EISDIR, errno.EMFILE,
], ids=errno.errorcode.get)
def test_disk_error_names_path_action_reason_and_next_step(number: int) -> None:
    error = from_os_error(OSError(number, "any text", "/srv/x"), "write the backup")
    assert error.path == "/srv/x"
    assert error.cause == f"could not write the backup: {os.strerror(number)}"
    assert str(error.next_step).endswith(".")


def test_path_known_to_the_operator_outranks_a_temporary_one() -> None:
    assert from_os_error(OSError(errno.ENOSPC, "", "/srv/.x.tmp"), "write it", "/srv/x").path == "/srv/x"


def test_a_path_in_bytes_is_told_as_text() -> None:
    assert from_os_error(OSError(errno.ENOENT, "", b"/srv/\xff"), "read it").path == "/srv/\udcff"


def test_an_unusual_reason_is_told_without_a_next_step_of_ours() -> None:
    assert str(from_os_error(OSError("timed out"), "read the file", "/srv/x")) == "/srv/x: could not read the file: timed out"


def test_all_that_the_engine_raises_is_of_one_family() -> None:
    family = (_errors.LibraryError, _errors.LockedError, _errors.MissingRequirementError, ImageError)
    assert all(issubclass(member, DhashError) for member in family)


@given(st.text(st.characters()))
def test_printed_name_fits_one_line_and_any_terminal(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    shown.encode("utf-8")


@given(st.text(st.characters(codec="utf-8")).filter(str.isprintable))
def test_an_ordinary_name_is_printed_as_it_is(name: str) -> None:
    assert printable(name) == name
