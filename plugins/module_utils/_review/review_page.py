# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review page: one HTML file that is opened from disk, with previews in ``images/`` beside it, and without any network access.

Its Content-Security-Policy allows only the script of the page itself, by its digest, and only pictures from the folder of the page
('self' also under file://, in Chromium and in Firefox). Trusted Types forbid the script to create markup from text. The sources of
the page are in web/review.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator

from .page_assets import MARKUP, SCRIPT, STYLE

# In JSON these characters occur only in strings, where escapes are allowed. The first three could end the element or begin
# another, U+2028 and U+2029 end lines in scripts, and lone surrogates (file names that are not UTF-8) cannot be encoded.
ESCAPED = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def render(queue_pieces: Iterable[str]) -> Iterator[bytes]:
    """The page as pieces of UTF-8; ``queue_pieces`` are pieces of the queue's JSON, cut anywhere, so the queue is never in memory as a whole."""
    before, after = MARKUP.split("<!-- queue -->")
    yield _filled(before).encode("utf-8")
    for piece in queue_pieces:
        yield ESCAPED.sub(_escape, piece).encode("utf-8")
    yield _filled(after).encode("utf-8")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def _filled(markup: str) -> str:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy()}">'
    for place, element in (("policy", policy), ("style", f"<style>{STYLE}</style>"), ("script", f"<script>{SCRIPT}</script>")):
        markup = markup.replace(f"<!-- {place} -->", element)
    return markup


def content_security_policy() -> str:
    """The policy of the page: its own script and style by SHA-256, pictures from its folder, and nothing else."""
    return "; ".join([
        "default-src 'none'", f"script-src '{_source(SCRIPT)}'", f"style-src '{_source(STYLE)}'", "img-src 'self'",
        "connect-src 'none'", "base-uri 'none'", "form-action 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    ])


def _source(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
