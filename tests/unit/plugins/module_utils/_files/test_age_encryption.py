# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils import _redeploy
from ansible_collections.mobius.dhash.plugins.module_utils._deploy import backup_files, cutover, rollback_plan, run_record
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError, MissingRequirementError
from ansible_collections.mobius.dhash.plugins.module_utils._files import age_encryption, file_metadata
from conftest import SmallLibrary, present

SECRET = "a name that nobody else may read"
RUN = "20260131T120000Z-7"


@pytest.fixture
def library(library: SmallLibrary, decoded_here: list[str]) -> SmallLibrary:
    library.add("a.png", seed=1, note=SECRET)
    library.add("b.png", seed=2)
    library.write()
    return library


@pytest.fixture
def recipient(age_key: tuple[str, str]) -> str:
    return age_key[1]


def make(library: SmallLibrary, *recipients: str) -> tuple[backup_files.Backup, bool]:
    return backup_files.make(str(library.path), str(library.folder), recipients)


def find(library: SmallLibrary) -> list[backup_files.Backup]:
    return backup_files.find(str(library.path), str(library.folder))


def migrate(library: SmallLibrary, *recipients: str) -> None:
    make(library, *recipients)
    library.run()
    library.deploy()


def verified(library: SmallLibrary, *recipients: str, check: bool = False) -> bool:
    return cutover.verified(str(library.path), str(library.state), check, recipients)


def plan(library: SmallLibrary, identity: str | None = None, to: str = rollback_plan.LATEST) -> rollback_plan.RollbackPlan:
    return rollback_plan.make_plan(str(library.path), str(library.state), str(library.folder), rollback_plan.RollbackRequest(to, False, False, identity))


def roll_back(library: SmallLibrary, way: rollback_plan.RollbackPlan) -> None:
    rollback_plan.prepare(str(library.path), str(library.state), way, False, RUN)
    _redeploy.run(str(library.path), str(library.state), 0)


def clear_texts(library: SmallLibrary) -> set[str]:
    """Which files beside the library, and in its state folder, can be read by everybody who has them."""
    files = [path for folder in (library.folder, library.state) for path in Path(folder).rglob("*") if path.is_file()]
    return {path.name for path in files if SECRET.encode() in path.read_bytes()}


# Making.


def test_an_encrypted_backup_can_be_read_by_its_recipient_alone(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    backup, created = make(library, age_key[1])
    assert created and backup.encrypted
    assert backup_files.clear_text(backup, age_key[0]) == library.path.read_bytes()
    with pytest.raises(DhashError, match="no identity matched"):
        backup_files.clear_text(backup, age_encryption.new_identity()[0])
    assert clear_texts(library) == {"library.json"}


def test_each_of_several_recipients_can_read_it(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    other = age_encryption.new_identity()
    backup, _created = make(library, age_key[1], other[1])
    assert backup_files.clear_text(backup, age_key[0]) == backup_files.clear_text(backup, other[0]) == library.path.read_bytes()


def test_sha256sum_checks_an_encrypted_backup_and_its_manifest(library: SmallLibrary, recipient: str) -> None:
    backup, _created = make(library, recipient)
    check = ["sha256sum", "--strict", "-c", f"{backup.path}.sha256"]

    def accepted() -> bool:
        return subprocess.run(check, cwd=library.folder, capture_output=True, check=False).returncode == 0

    assert accepted()
    for damaged in (Path(backup.path), Path(f"{backup.path}.json")):
        content = damaged.read_bytes()
        damaged.write_bytes(content + b" ")
        assert not accepted()
        assert not backup_files.examine(find(library)[0]).good
        damaged.write_bytes(content)
    assert backup_files.examine(find(library)[0]).good


def test_its_manifest_tells_without_an_identity_what_is_in_it(library: SmallLibrary, recipient: str) -> None:
    backup, _created = make(library, recipient)
    content = library.path.read_bytes()
    assert json.loads(Path(f"{backup.path}.json").read_text()) == {
        "format": 1, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "images": 2, "hashed": 0,
        "recipients": [recipient], "library": str(library.path), "metadata": file_metadata.read(str(library.path)),
        "host": socket.gethostname()}
    assert backup_files.examine(backup) == (True, None, None, 2, 0)


def test_it_has_mode_0600_and_so_has_its_manifest(library: SmallLibrary, recipient: str) -> None:
    backup, _created = make(library, recipient)
    for suffix in ("", ".json", ".sha256"):
        assert stat.S_IMODE(os.stat(f"{backup.path}{suffix}").st_mode) == 0o600


def test_content_is_encrypted_once_for_the_same_recipients(library: SmallLibrary, recipient: str) -> None:
    first, _created = make(library, recipient)
    assert make(library, recipient) == (first, False)
    other = age_encryption.new_identity()[1]
    second, created = make(library, recipient, other)
    assert created and second.path != first.path
    assert make(library, other, recipient) == (second, False)
    clear, created = make(library)
    assert created and not clear.encrypted


def test_pruning_removes_a_backups_manifest_and_checksum(library: SmallLibrary, recipient: str) -> None:
    old, _created = make(library, recipient)
    library.add("c.png", seed=3)
    library.write()
    make(library, recipient)
    backup_files.prune(backup_files.expired(find(library), 1, 0, datetime.now(timezone.utc).replace(year=2100)))
    assert not [name for name in os.listdir(library.folder) if name.startswith(os.path.basename(old.path))]
    assert len(find(library)) == 1


@pytest.mark.usefixtures("age_key")
def test_invalid_recipient_is_refused_and_nothing_is_written(library: SmallLibrary, tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = tree(library.folder)
    with pytest.raises(DhashError, match='unknown recipient type: "nobody"') as caught:
        make(library, "nobody")
    assert "dhash_backup_encrypt_to" in str(caught.value.next_step)
    assert tree(library.folder) == before


def test_a_recipient_is_never_taken_for_an_option(library: SmallLibrary, tmp_path: Path) -> None:
    with pytest.raises(DhashError):
        make(library, f"-o={tmp_path}/written")
    assert not (tmp_path / "written").exists()


def test_a_host_without_age_is_told_how_to_get_it(library: SmallLibrary, monkeypatch: pytest.MonkeyPatch, recipient: str) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingRequirementError, match="apt-get install age"):
        make(library, recipient)


# Clear text.


def test_verification_leaves_no_clear_text_but_the_live_library(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    migrate(library, age_key[1])
    assert clear_texts(library) == {"library.json", "library.json.pre-dhash"}  # a rescue at night has no identity
    verified(library, age_key[1])
    assert clear_texts(library) == {"library.json"}
    roll_back(library, plan(library, age_key[0]))
    assert verified(library, age_key[1], check=True)
    verified(library, age_key[1])
    assert clear_texts(library) == {"library.json"}
    assert not verified(library, age_key[1], check=True)


def test_library_replaced_by_a_rollback_is_kept_encrypted(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    migrate(library, age_key[1])
    verified(library, age_key[1])
    migrated = library.path.read_bytes()
    roll_back(library, plan(library, age_key[0]))
    verified(library, age_key[1])
    (kept,) = library.folder.glob("library.json.pre-rollback.*.age")
    assert age_encryption.decrypt(str(kept), age_key[0]) == migrated
    assert subprocess.run(["sha256sum", "-c", f"{kept}.sha256"], cwd=library.folder, capture_output=True, check=False).returncode == 0


# The way back.


def test_rollback_before_verification_needs_no_identity(library: SmallLibrary, recipient: str) -> None:
    before = library.path.read_bytes()
    migrate(library, recipient)
    way = plan(library)
    assert way.source == cutover.pre_dhash(str(library.path))
    roll_back(library, way)
    assert library.path.read_bytes() == before


def test_rollback_after_verification_needs_the_identity(
        library: SmallLibrary, age_key: tuple[str, str], tree: Callable[[Path], dict[str, tuple[Any, ...]]]) -> None:
    before = library.path.read_bytes()
    migrate(library, age_key[1])
    verified(library, age_key[1])
    now = tree(library.folder)
    with pytest.raises(DhashError) as caught:
        plan(library)
    assert caught.value.path == find(library)[0].path
    assert "dhash_rollback_identity_file" in str(caught.value.next_step)
    assert tree(library.folder) == now
    roll_back(library, plan(library, age_key[0]))
    assert library.path.read_bytes() == before


def test_library_changed_meanwhile_needs_the_identity_only_once(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    before = library.path.read_bytes()
    migrate(library, age_key[1])
    verified(library, age_key[1])
    way = plan(library, age_key[0])
    rollback_plan.prepare(str(library.path), str(library.state), way, False, RUN)
    value = json.loads(library.path.read_text())
    library.path.write_text(json.dumps(value))  # the same in another layout: nothing would be lost
    _redeploy.run(str(library.path), str(library.state), 0)
    assert library.path.read_bytes() == before
    assert present(run_record.read(str(library.state))).settings["source"] == find(library)[0].path


def test_damaged_encrypted_backup_is_refused_and_the_next_named(library: SmallLibrary, age_key: tuple[str, str]) -> None:
    make(library, age_key[1])
    library.add("c.png", seed=3)
    library.write()
    newest, _created = make(library, age_key[1])
    Path(newest.path).write_bytes(b"damaged")
    with pytest.raises(DhashError) as caught:
        plan(library, age_key[0], to=os.path.basename(newest.path))
    assert os.path.basename(find(library)[1].path) in str(caught.value.next_step)


# Copies.


def test_copy_has_the_same_bytes_and_verifies(library: SmallLibrary, recipient: str, tmp_path: Path) -> None:
    for backup, _created in (make(library), make(library, recipient)):
        folder = str(tmp_path / "elsewhere")
        assert backup_files.find_copy(backup, str(library.path), folder) is None
        backup_files.copy_to(backup, str(library.path), folder)
        copy = present(backup_files.find_copy(backup, str(library.path), folder)).path
        assert Path(copy).read_bytes() == Path(backup.path).read_bytes()
        check = ["sha256sum", "--strict", "-c", f"{copy}.sha256"]
        assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0
        Path(copy).write_bytes(b"damaged")
        assert backup_files.find_copy(backup, str(library.path), folder) is None


def test_damaged_backup_is_reported_when_it_is_copied(library: SmallLibrary, tmp_path: Path) -> None:
    backup, _created = make(library)
    Path(backup.path).write_bytes(b"damaged")
    with pytest.raises(DhashError, match="damaged"):
        backup_files.copy_to(backup, str(library.path), str(tmp_path / "elsewhere"))
