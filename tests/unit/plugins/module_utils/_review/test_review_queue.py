# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._errors import DhashError
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import difference_hash
from ansible_collections.mobius.dhash.plugins.module_utils._migrate import matchable_images
from ansible_collections.mobius.dhash.plugins.module_utils._review import known_different, review_queue
from hypothesis import given
from hypothesis import strategies as st
from reviews import Host, bits, digests, picture

Side = tuple[matchable_images.Image, Optional[review_queue.Detail]]

NEAR = bits(*range(9))  # nine bits from 0
FAR = bits(*range(40, 60))
PIXELS = picture()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def export(host: Host, **changes: Any) -> dict[str, Any]:
    host.write()
    host.export(include_images=False, **changes)
    return host.queue()


# Which pairs are asked.


def test_only_pairs_within_both_distances_are_queued(host: Host) -> None:
    for name, dhash in (("a", 0), ("at 7", bits(*range(7))), ("at 8", bits(*range(20, 28))), ("at 15", bits(*range(30, 45))),
                        ("at 16", bits(*range(48, 64)))):
        host.add(name, dhash)
    export(host)
    assert [pair for pair in host.pairs() if "a" in pair] == [("a", "at 8"), ("a", "at 15")]
    queue = export(host, minimum=7, maximum=7)
    assert host.pairs() == [("a", "at 7")]
    assert (queue["minDistance"], queue["maxDistance"], queue["totalMatches"]) == (7, 7, 1)


def test_images_without_a_usable_hash_or_too_flat_are_not_queued(host: Host) -> None:
    host.add("a", 0).add("flat", NEAR, dhash_low_detail=True).add("plain", NEAR).add("broken", NEAR).add("good", NEAR)
    del host.value["images"][2]["dhash"]
    host.value["images"][3]["dhash"] = "00000000000001ff"
    export(host)
    assert host.pairs() == [("a", "good")]


def test_a_path_that_the_library_has_twice_is_asked_about_once(host: Host) -> None:
    host.add("a", 0).add("b", NEAR).add("b", NEAR).add("a", 0)
    export(host)
    assert host.pairs() == [("a", "b")]


def test_refuted_pair_is_counted_and_only_shown_on_request(host: Host) -> None:
    host.add("a", 0, 0, PIXELS).add("refuted", NEAR, bits(*range(17)), PIXELS).add("confirmed", NEAR, bits(*range(16)), PIXELS)
    queue = export(host)
    assert host.pairs() == [("a", "confirmed")]
    assert (queue["totalMatches"], queue["exportedMatches"], queue["refutedMatches"]) == (1, 1, 1)
    queue = export(host, confirm=False)
    assert host.pairs() == [("a", "confirmed"), ("a", "refuted")]
    assert (queue["totalMatches"], queue["refutedMatches"]) == (2, 0)


@pytest.mark.parametrize("why", ["never hashed here", "changed since", "no file"])
def test_pair_without_a_vertical_hash_cannot_be_refuted(host: Host, why: str) -> None:
    host.add("a", 0, 0, PIXELS).add("b", NEAR, None if why == "never hashed here" else 2**64 - 1, PIXELS)
    if why == "changed since":
        (host.folder / "b").write_bytes(PIXELS * 2)
    elif why == "no file":
        (host.folder / "b").unlink()
    queue = export(host)
    assert host.pairs() == [("a", "b")]
    assert queue["matches"][0]["verticalDistance"] is None


def test_limit_keeps_the_likeliest_pairs_and_the_true_total(host: Host) -> None:
    host.add("a", 0, 0, PIXELS).add("at 10", bits(*range(10)), 0, PIXELS).add("at 9", bits(*range(20, 29)), 9, PIXELS)
    queue = export(host, maximum=10, limit=1)
    assert (queue["totalMatches"], queue["exportedMatches"]) == (2, 1)
    assert host.pairs() == [("a", "at 10")]
    queue = export(host, maximum=10, limit=2)
    assert queue["exportedMatches"] == 2


# The order, and what is said of a pair.


def test_likeliest_pairs_come_first_then_library_order(host: Host) -> None:
    host.add("a", 0).add("at 9", bits(*range(9))).add("at 8, later", bits(*range(50, 58))).add("at 8", bits(*range(40, 48)))
    export(host)
    assert host.pairs()[:3] == [("a", "at 8, later"), ("a", "at 8"), ("a", "at 9")]
    confidences = [match["confidence"] for match in host.queue()["matches"]]
    assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize(("distance", "vertical", "confidence"), [
    (8, 0, 0.88), (9, 16, 0.61), (8, None, 0.75), (15, None, 0.53), (15, 64, 0.0), (8, 1, 0.86),
])
def test_the_confidence_falls_with_both_distances(distance: int, vertical: int | None, confidence: float) -> None:
    assert difference_hash.confidence(distance, vertical) == confidence


def test_a_match_has_all_that_the_page_and_the_import_need(host: Host) -> None:
    host.add("in/a.png", 0).add("b.png", NEAR)
    queue = export(host)
    assert list(queue) == ["exportedAt", "library", "algorithm", "minDistance", "maxDistance", "totalMatches", "exportedMatches",
                           "refutedMatches", "recordedMatches", "decidedMatches", "reviewInstructions", "matches"]
    [match] = queue["matches"]
    assert match == {
        "id": review_queue.match_id("in/a.png", "0" * 16, "b.png", f"{NEAR:016X}"),
        "image1": {"filename": "a.png", "path": "in/a.png", "dhash": "0" * 16, "width": None, "height": None, "bytes": None,
                   "format": None, "modifiedAt": None, "preview": None},
        "image2": {"filename": "b.png", "path": "b.png", "dhash": f"{NEAR:016X}", "width": None, "height": None, "bytes": None,
                   "format": None, "modifiedAt": None, "preview": None},
        "hammingDistance": 9, "confidence": 0.71, "verticalDistance": None, "sameFile": False, "cluster": 1, "needsReview": True,
        "reviewStatus": "pending", "reviewNotes": "", "isDuplicate": None, "keepImage": None, "proposedKeep": "image1",
        "proposedReason": "first in the library", "createdAt": queue["exportedAt"]}
    assert len(match["id"]) == 16


def test_matches_that_share_images_are_one_cluster(host: Host) -> None:
    for name, dhash in (("a", 0), ("b", NEAR), ("c", NEAR ^ bits(*range(30, 38))), ("x", FAR), ("y", FAR ^ NEAR)):
        host.add(name, dhash)
    export(host)
    clusters = {tuple(sorted(pair)): match["cluster"] for pair, match in zip(host.pairs(), host.queue()["matches"])}
    assert set(clusters) == {("a", "b"), ("b", "c"), ("x", "y")}
    assert clusters["a", "b"] == clusters["b", "c"] != clusters["x", "y"]
    assert host.queue()["matches"][0]["cluster"] == 1


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_clusters_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    clusters = review_queue._clusters([one for one, _other in pairs], [other for _one, other in pairs])
    component = {number: {number} for pair in pairs for number in pair}
    for one, other in pairs:
        merged = component[one] | component[other]
        for number in merged:
            component[number] = merged
    for (one, _other), cluster in zip(pairs, clusters):
        for (another, _its_other), its_cluster in zip(pairs, clusters):
            assert (cluster == its_cluster) == (another in component[one])
    assert list(dict.fromkeys(clusters)) == list(range(1, len(set(clusters)) + 1))


# Which image to keep.


def side(size: int | None = 100, width: int = 40, height: int = 30, format_: str = "JPEG", seen: bool = True) -> Side:
    image = matchable_images.Image("path", "name", "0" * 16, None, "file", size, 0, True, None)
    return image, review_queue.Detail(width, height, format_, "images/0.jpg") if seen else None


@pytest.mark.parametrize(("one", "other", "keep", "reason"), [
    (side(width=41), side(size=9999, format_="PNG"), "image1", "larger: 41 x 30 against 40 x 30"),
    (side(), side(width=80, height=60), "image2", "larger: 80 x 60 against 40 x 30"),
    (side(size=101), side(format_="PNG"), "image1", "more bytes: 101 against 100"),
    (side(seen=False), side(size=102, seen=False), "image2", "more bytes: 102 against 100"),
    (side(width=9000, seen=True), side(size=102, seen=False), "image2", "more bytes: 102 against 100"),
    (side(), side(format_="PNG"), "image2", "better format: PNG rather than JPEG"),
    (side(format_="WebP"), side(format_="GIF"), "image1", "better format: WebP rather than GIF"),
    (side(), side(format_="Matroska or WebM"), "image1", "better format: JPEG rather than Matroska or WebM"),
    (side(), side(), "image1", "first in the library"),
    (side(size=None, seen=False), side(), "image1", "first in the library"),
])
def test_proposal_prefers_size_then_weight_format_and_position(one: Side, other: Side, keep: str, reason: str) -> None:
    assert review_queue.propose(one, other) == (keep, reason)


def test_of_two_names_of_one_file_neither_is_proposed(host: Host) -> None:
    host.add("a.png", 0, 0, content=b"a picture").add("b.png", NEAR, 0, content=b"a picture").add("c.png", 0, 0)
    os.link(host.folder / "a.png", host.folder / "c.png")
    matches = {(match["image1"]["path"], match["image2"]["path"]): match for match in export(host, minimum=0)["matches"]}
    same, other = matches["a.png", "c.png"], matches["a.png", "b.png"]
    assert (same["sameFile"], same["proposedKeep"], same["proposedReason"]) == (True, None, "both names are the same file")
    assert (other["sameFile"], other["proposedKeep"]) == (False, "image1")


def test_what_loses_nothing_is_preferred_to_what_does() -> None:
    lossless = [review_queue.FORMATS.index(name) for name in ("TIFF", "PNG", "BMP", "PPM")]
    assert max(lossless) < min(review_queue.FORMATS.index(name) for name in ("JPEG", "WebP", "AVIF", "HEIC", "GIF"))


# What was judged different.


def judged(host: Host, one: tuple[str, int], other: tuple[str, int], vertical: int | None = None) -> None:
    shown = None if vertical is None else f"{vertical:016X}"
    first, second = (known_different.Side(path, f"{dhash:016X}", shown) for path, dhash in (one, other))
    known_different.write(str(host.live), [known_different.different(first, second, "no", "2026-01-31T12:00:00.000Z")])


def test_pair_judged_different_is_counted_but_not_asked_again(host: Host) -> None:
    host.add("a", 0).add("b", NEAR).add("c", NEAR ^ 1)
    host.write()
    judged(host, ("b", NEAR), ("a", 0))
    queue = export(host, limit=1)
    assert host.pairs() == [("a", "c")]
    assert (queue["totalMatches"], queue["exportedMatches"], queue["decidedMatches"]) == (1, 1, 1)


def test_it_is_asked_again_when_an_image_has_changed(host: Host) -> None:
    host.add("a", 0).add("b", NEAR)
    host.write()
    judged(host, ("a", 0), ("b", NEAR))
    host.value["images"][1]["dhash"] = f"{NEAR ^ 1:016X}"
    queue = export(host)
    assert host.pairs() == [("a", "b")]
    assert queue["decidedMatches"] == 0


def test_pair_is_asked_again_if_only_the_vertical_hash_changed(host: Host) -> None:
    host.add("a", 0, 1, PIXELS).add("b", NEAR, 1, PIXELS)
    host.write()
    judged(host, ("a", 0), ("b", NEAR), vertical=1)
    assert export(host)["decidedMatches"] == 1
    host.know("b", NEAR, 3)
    assert export(host)["decidedMatches"] == 0
    assert host.pairs() == [("a", "b")]


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{}", b'{"different": [1]}', b'{"different": [{"path1": "a"}]}', b"\xff", b'{"different": ' + b"[" * 500,
    b'{"different": [{"path1": 1, "dhash1": "0000000000000000", "vertical1": null, "path2": "b", "dhash2": "0000000000000000",'
    b' "vertical2": null, "notes": "", "decidedAt": ""}]}'])
def test_damaged_decisions_stop_the_export_and_say_what_to_do(host: Host, content: bytes) -> None:
    host.add("a", 0)
    host.write()
    (host.folder / "library.json.review.json").write_bytes(content)
    with pytest.raises(DhashError) as failed:
        host.export(include_images=False)
    assert failed.value.path == str(host.live) + ".review.json"
    assert "move it away" in str(failed.value.next_step)
    assert not host.review.exists()


def test_remembered_decisions_get_the_librarys_owner_and_mode(host: Host) -> None:
    host.add("a", 0)
    host.write()
    host.live.chmod(0o604)
    judged(host, ("a", 0), ("b", 1))
    file = host.folder / "library.json.review.json"
    assert file.stat().st_mode & 0o777 == 0o604
    assert len(digests(host.folder)) == 2
