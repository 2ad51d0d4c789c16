# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._library import json_text, library_losses, library_removals
from ansible_collections.mobius.dhash.plugins.module_utils._library.library_removals import Account, Removal


def image(name: str, **fields: Any) -> dict[str, Any]:
    return {"path": f"media/{name}.jpg", "filename": f"{name}.jpg", **fields}


def with_hash(value: dict[str, Any]) -> dict[str, Any]:
    images = [{**image, "dhash": "0123456789ABCDEF", "dhash_generated_at": "now", "dhash_low_detail": True} for image in value["images"]]
    return {**value, "images": images, "dhash_migration": {"algorithm": "pillow"}, "dhash_duplicates": [], "dhash_errors": []}


def imported(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """The library ``value`` after a review took the images ``names`` out."""
    removals = [Removal(f"m{name}", f"media/{name}.jpg", "0123456789ABCDEF", "media/a.jpg", "0123456789ABCDEF", "") for name in names]
    return library_removals.take_out(value, removals, Account("now", "queue.json", len(names), len(names)))


PLAIN: dict[str, Any] = {"version": 3, "images": [image("a", tags=["x"]), image("b"), image("c")], "settings": {"ratio": 0.5, "on": True}}
MIGRATED = with_hash(PLAIN)


def test_fields_of_a_migration_are_no_loss() -> None:
    assert library_losses.find(MIGRATED, PLAIN) == library_losses.find(PLAIN, MIGRATED) == library_losses.NONE


def test_review_import_is_no_loss_either_way() -> None:
    assert library_losses.find(imported(MIGRATED, "b"), PLAIN) == library_losses.NONE
    assert library_losses.find(MIGRATED, imported(MIGRATED, "b", "c")) == library_losses.NONE  # their entries are in its record


def test_images_added_beside_a_review_import_are_lost() -> None:
    live = {**MIGRATED, "images": [*MIGRATED["images"], image("d")]}
    assert library_losses.find(live, imported(MIGRATED, "b")) == library_losses.NONE._replace(images=["media/d.jpg"])


def test_order_of_images_and_of_members_is_no_loss() -> None:
    live = {**PLAIN, "images": [dict(reversed(image.items())) for image in reversed(PLAIN["images"])],
            "settings": dict(reversed(PLAIN["settings"].items()))}
    assert library_losses.find(live, PLAIN) == library_losses.NONE


@pytest.mark.parametrize(("change", "losses"), [
    (lambda value: value["images"].append(image("d")), (["media/d.jpg"], [], [])),
    (lambda value: value["images"].append(image("a", tags=["x"])), (["media/a.jpg"], [], [])),
    (lambda value: value["images"].append(image("a", tags=["y"])), (["media/a.jpg"], [], [])),
    (lambda value: value["images"][0].update(path="media/z.jpg"), (["media/z.jpg"], [], [])),
    (lambda value: value["images"][1].update(notes=""), ([], ["media/b.jpg"], [])),
    (lambda value: value["images"][0].update(tags=["y"]), ([], ["media/a.jpg"], [])),
    (lambda value: value["images"][0].pop("tags"), ([], ["media/a.jpg"], [])),
    (lambda value: value["images"].pop(), ([], [], [])),
    (lambda value: value.update(albums=[]), ([], [], ["albums"])),
    (lambda value: value.update(version="3"), ([], [], ["version"])),
    (lambda value: value.update(version=json_text.Number("3.0")), ([], [], ["version"])),
    (lambda value: value["settings"].update(on=1), ([], [], ["settings"])),
    (lambda value: value.pop("settings"), ([], [], [])),
    (lambda value: value.update(lcm_import={}, dhash_errors=[1]), ([], [], [])),
])
def test_each_kind_of_later_edit_is_found(change: Callable[[dict[str, Any]], object], losses: tuple[list[str], list[str], list[str]]) -> None:
    live = copy.deepcopy(MIGRATED)
    change(live)
    assert library_losses.find(live, PLAIN) == losses


def test_images_of_one_path_are_compared_one_by_one() -> None:
    target = {"images": [image("a", n=1), image("a", n=2), image("a", n=3)]}
    live = {"images": [image("a", n=3), image("a", n=4), image("a", n=1), image("a", n=1), image("a", n=5)]}
    assert library_losses.find(live, target) == (["media/a.jpg"] * 2, ["media/a.jpg"], [])


def test_many_images_of_one_path_take_linear_time() -> None:
    target = {"images": [image("a", n=number) for number in range(30_000)]}
    live = {"images": random.Random(1).sample([*target["images"], image("a", n=-1)], 30_001)}
    assert library_losses.find(live, target) == library_losses.NONE._replace(images=["media/a.jpg"])


def test_message_has_the_counts_and_a_few_names() -> None:
    losses = library_losses.Losses([f"media/{number}.jpg" for number in range(4)], [], ["al\nbums"])
    assert str(losses) == ("4 images (media/0.jpg, media/1.jpg, media/2.jpg, …), 0 changed images,"
                           " 1 other fields (al\\nbums)")
