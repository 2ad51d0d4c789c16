# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the review page promises of its bytes: the queue comes out as it went in, and nothing in it is markup."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._review import page_assets, review_page
from hypothesis import given
from hypothesis import strategies as st

DANGEROUS = st.sampled_from(["</script>", "<!--", "<script", "]]>", "\u2028", "\u2029", "&lt;", "\ud800", "\udfff", "\"", "\\", "\0", "é"])
TEXTS = st.lists(st.one_of(DANGEROUS, st.text(max_size=8)), max_size=6).map("".join)
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
                      lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)), max_leaves=12)
BEGIN = b'<script type="application/json" id="queue">'


def page_of(pieces: Iterable[str]) -> bytes:
    return b"".join(review_page.render(pieces))


def queue_in(page: bytes) -> str:
    """What a browser takes for the queue: all up to the first end tag."""
    after = page.split(BEGIN)[1]
    return re.split(rb"(?i)</script", after)[0].decode("utf-8")


@given(VALUES, st.booleans())
def test_the_queue_comes_out_as_it_went_in(value: Any, ascii_only: bool) -> None:
    assert json.loads(queue_in(page_of([json.dumps(value, ensure_ascii=ascii_only)]))) == whole_characters(value)


def whole_characters(value: Any) -> Any:
    """``value`` as JSON has it: two surrogates that stand side by side are one character."""
    return json.loads(json.dumps(value))


@given(VALUES, st.booleans())
def test_queue_data_cannot_close_or_open_an_html_element(value: Any, ascii_only: bool) -> None:
    page = page_of([json.dumps(value, ensure_ascii=ascii_only)])
    inside = page.split(BEGIN)[1].removesuffix(page_of([]).split(BEGIN)[1])
    assert not set("<>&\u2028\u2029") & set(inside.decode("utf-8"))


@given(VALUES, st.lists(st.integers(0, 200), max_size=8))
def test_a_queue_divided_anywhere_gives_the_same_page(value: Any, places: list[int]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    cuts = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    assert page_of(text[start:end] for start, end in zip(cuts, cuts[1:])) == page_of([text])


def test_the_queue_is_never_held_whole() -> None:
    """Each piece is out before the next one is asked for."""
    asked = []

    def pieces() -> Iterator[str]:
        for piece in ('{"matches": [', "1", "]}"):
            asked.append(piece)
            yield piece

    page = review_page.render(pieces())
    next(page)
    assert asked == []
    for number in (1, 2, 3):
        next(page)
        assert len(asked) == number


class Elements(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[tuple[str, str | None], str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.begun.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            key = (self.cdata_elem, self.begun[-1][1].get("id"))
            self.texts[key] = self.texts.get(key, "") + data


@pytest.fixture
def elements() -> Elements:
    parser = Elements()
    parser.feed(page_of(['{"matches": []}']).decode("utf-8"))
    return parser


def test_the_policy_allows_the_pages_own_script_and_style_alone(elements: Elements) -> None:
    content = next(attrs["content"] for _tag, attrs in elements.begun if attrs.get("http-equiv") == "Content-Security-Policy")
    policy = dict(part.split(" ", 1) for part in str(content).split("; "))
    assert policy == {
        "default-src": "'none'", "connect-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "img-src": "'self'",
        "script-src": source(elements.texts["script", None]), "style-src": source(elements.texts["style", None]),
        "require-trusted-types-for": "'script'", "trusted-types": "'none'"}


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_page_loads_nothing_and_has_no_inline_code_or_style(elements: Elements) -> None:
    for tag, attrs in elements.begun:
        assert not {"src", "srcset", "style", "data", "action", "formaction"} & set(attrs), tag
        assert not [name for name in attrs if name.startswith("on")], tag
        assert str(attrs.get("href", "#")).startswith("#")
        assert tag not in ("link", "base", "iframe", "object", "embed")


def test_page_has_each_element_of_the_script_under_a_unique_id(elements: Elements) -> None:
    ids = [attrs["id"] for tag, attrs in elements.begun if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'byId\("([^"]+)"\)', page_assets.SCRIPT)) <= set(ids)
