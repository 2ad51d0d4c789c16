# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a calibration: one HTML file with charts, without a script, that loads nothing. File names are text in it."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Sequence

from .._errors import printable
from .._hashing import confirmation
from . import library_measures, pair_counts, svg_charts, threshold_choice
from .svg_charts import Mark, Series

SUMMARY = "mobius-dhash-summary"  # the name of the meta element that has the summary
MOST_BITS = 48  # on the axis of the distance: pairs that are further apart are counted as this far
CONFIDENCE_BINS = 20
STYLE = """
:root{color-scheme:light dark;--page:#f5f6f4;--card:#fff;--text:#1c2226;--soft:#59646c;--line:#dfe3e1;--copies:#1f66ad;--different:#c0540a;
--copies-fill:#1f66ad40;--different-fill:#c0540a3b;--good:#e7f1fb;--mark:#1c2226}
@media (prefers-color-scheme:dark){:root{--page:#12161a;--card:#1b2126;--text:#e5eaed;--soft:#9ca8b0;--line:#333c43;--copies:#6fb3f5;
--different:#f39c55;--copies-fill:#6fb3f54d;--different-fill:#f39c5544;--good:#17283a;--mark:#e5eaed}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 16px 48px}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:34px 0 8px}
p{margin:6px 0;max-width:72ch}
.path{color:var(--soft);font:.85rem/1.5 ui-monospace,"SFMono-Regular",Consolas,monospace;overflow-wrap:anywhere}
.advice{background:var(--good);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin:20px 0 0;display:flex;gap:8px 28px;flex-wrap:wrap}
.advice>div:first-child{flex:0 0 auto;text-align:center;min-width:96px}
.advice>div:last-child{flex:1 1 300px}
.value{font-size:3.2rem;font-weight:650;line-height:1;font-variant-numeric:tabular-nums;color:var(--copies)}
.unit{color:var(--soft);font-size:.85rem}
.advice strong{font-size:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,150px),1fr));gap:12px;margin:12px 0 0}
.tiles div,figure,.wide{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tiles div{padding:12px 16px}
.tiles b{display:block;font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:.85rem;line-height:1.4;display:block}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:16px;margin:28px 0 0}
figure{margin:0;padding:14px 14px 10px;display:flex;flex-direction:column}
figure h2{margin:0 0 2px;font-size:1rem}
figcaption{color:var(--soft);font-size:.85rem;line-height:1.45;margin-bottom:auto}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.82rem;margin:8px 0 0}
.key span::before{content:"";display:inline-block;width:14px;height:10px;margin-right:6px;border-radius:2px;vertical-align:baseline;background:var(--swatch)}
.key .copies{--swatch:var(--copies)}.key .different{--swatch:var(--different)}
.key .copies.thin,.key .different.thin{opacity:.62}
.key .thin::before{height:3px;vertical-align:middle}
.chart{display:block;width:100%;height:auto;margin-top:6px;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.chart .name{font-weight:600}.chart .small{fill:var(--text);font-size:12.5px;font-weight:600}
.grid{stroke:var(--line);fill:none}
.mark{stroke:var(--mark);stroke-width:1.4;fill:none;stroke-dasharray:5 3}
.limit{stroke:var(--soft);stroke-width:1.2;fill:none;stroke-dasharray:2 3}
.area{stroke-width:1.6;stroke-linejoin:round}
.area.copies{stroke:var(--copies);fill:var(--copies-fill)}.area.different{stroke:var(--different);fill:var(--different-fill)}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.line.copies{stroke:var(--copies)}.line.different{stroke:var(--different)}
circle.copies{fill:var(--copies)}circle.different{fill:var(--different)}
.line.thin{stroke-width:1.6;stroke-dasharray:4 3;opacity:.62}circle.thin{opacity:0}
.wide{overflow-x:auto;padding:4px 6px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:600;font-size:.8rem;line-height:1.3;vertical-align:bottom}
tbody th{font-weight:500}
td{white-space:nowrap}
th:first-child,td:first-child{text-align:left}
tr.chosen{background:var(--good)}tr.chosen th{font-weight:700}
td.graph{width:34%;min-width:90px}
.bar{display:block;width:100%;height:8px}.bar .track{fill:var(--line)}.bar .copies{fill:var(--copies)}
ul{margin:6px 0;padding-left:1.2em;max-width:76ch}li{margin:5px 0}
footer{color:var(--soft);font-size:.85rem;margin-top:28px}
@media (max-width:520px){main{padding:20px 10px 36px}.advice{padding:16px}
.advice>div:first-child{text-align:left}td.graph,th:empty,.most{display:none}figure{padding:12px 8px 8px}
table{font-size:.82rem}thead th{font-size:.7rem}th,td{padding:5px 4px}.wide{padding:2px}}
@media print{body{background:#fff}figure,.wide{break-inside:avoid}}
""".strip()


def render(found: library_measures.Calibration) -> bytes:
    """The report in UTF-8."""
    name = os.path.basename(found.library)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    body = "\n".join([
        f"<h1>Calibration of {_text(name)}</h1>", f'<p class="path">{_text(found.library)}</p>',
        _advice(found), _tiles(found), f'<div class="charts">{"".join(_charts(found))}</div>',
        f"<h2>Every threshold</h2>{_thresholds(found)}", f"<h2>Every edit, at a threshold of {chosen(found).threshold}</h2>{_edits(found)}",
        f"<h2>How this was measured</h2>{_method(found)}",
        "<footer>Written by mobius.dhash.calibrate. The library and its images were only read.</footer>"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="{SUMMARY}" content="{_text('; '.join(summary(found)))}">
<title>Calibration of {_text(name)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
""".encode("utf-8", "backslashreplace")


def summary(found: library_measures.Calibration) -> list[str]:
    """The report in a few lines."""
    row = chosen(found)
    return [
        f"images: {found.images}", f"threshold: {found.current}", f"recommended threshold: {found.choice.threshold} ({found.choice.reason})",
        f"edited copies found: {_percent(row.recall(found.confirm))}", f"expected false duplicates: {_number(row.expected(found.confirm))}"]


def summary_in(report: bytes) -> list[str]:
    """The :func:`summary` of a report; empty if the file is not a report."""
    match = re.search(f'<meta name="{SUMMARY}" content="([^"]*)">', report[:4096].decode("utf-8", "replace"))
    return html.unescape(match[1]).split("; ") if match else []


def _text(text: str) -> str:
    return html.escape(printable(text))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float) -> str:
    """A number of pairs, which may be a fraction of one."""
    if value == 0:
        return "0"
    return "below 0.1" if value < 0.1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def chosen(found: library_measures.Calibration) -> threshold_choice.Outlook:
    """The row of the recommended threshold, or the nearest one that was measured."""
    return found.table[min(found.choice.threshold, pair_counts.WIDEST)]


def _advice(found: library_measures.Calibration) -> str:
    same = found.choice.threshold == found.current
    headline = f"Keep dhash_threshold at {found.current}." if same else f"Set dhash_threshold to {found.choice.threshold}. It is {found.current} now."
    rule = "Duplicates are confirmed by their pixels." if found.confirm else "Duplicates are not confirmed by their pixels (dhash_confirm is false)."
    return (f'<section class="advice"><div><div class="value">{found.choice.threshold}</div><div class="unit">bits, recommended</div></div>'
            f"<div><strong>{headline}</strong><p>{_text(found.choice.text)}</p><p>{rule}</p></div></section>")


def _tiles(found: library_measures.Calibration) -> str:
    row = chosen(found)
    tiles = [
        (_percent(row.recall(found.confirm)), f"of the edited copies are found at {row.threshold} bits"),
        (_number(row.expected(found.confirm)), f"false duplicates expected in {found.images:,} images"),
        (_number(row.expected(not found.confirm)), f"false duplicates {'without' if found.confirm else 'with'} confirmation"),
        (f"{found.images:,}", "images that can be matched")]
    return '<div class="tiles">' + "".join(f"<div><b>{value}</b><span>{text}</span></div>" for value, text in tiles) + "</div>"


def _charts(found: library_measures.Calibration) -> list[str]:
    recommended = Mark(found.choice.threshold, f"recommended: {found.choice.threshold}")
    marks = [recommended] if found.choice.threshold <= pair_counts.WIDEST else []
    groups = [("copies", "edited copies"), ("different", "unrelated pairs")]
    rules = [("copies", "confirmed"), ("copies thin", "all within the threshold")]
    false_rules = [("different", "confirmed"), ("different thin", "all within the threshold")]
    table = found.table
    limit = threshold_choice.tolerated(found.images)
    return [
        _figure("Distance", "Bits in which the hashes of two pictures differ. Share of each group, on a logarithmic axis.", groups,
                svg_charts.distribution("Distribution of the distance", "distance in bits", [(bits + 0.5, str(bits)) for bits in range(0, MOST_BITS + 1, 8)],
                                        MOST_BITS + 1, _distances(found), [mark._replace(x=mark.x + 1) for mark in marks])),
        _figure("Confidence", f"Of the pairs within {pair_counts.WIDEST} bits. A pair is confirmed from 0.5 on. Unrelated: one picture of each pair is"
                " mirrored.", groups,
                svg_charts.distribution("Distribution of the confidence", "confidence", [(2 * tenth, f"{tenth / 10:g}") for tenth in range(0, 11, 2)],
                                        CONFIDENCE_BINS, _confidences(found), [Mark(CONFIDENCE_BINS / 2, "confirmed from here")])),
        _figure("Edited copies that are found", "Share of the edited copies at each threshold.", rules,
                svg_charts.lines("Recall by threshold", "threshold in bits", pair_counts.WIDEST,
                                 [Series("copies thin", [row.found for row in table]), Series("copies", [row.found_confirmed for row in table])],
                                 False, marks)),
        _figure(f"False duplicates in {found.images:,} images", "Expected number of pairs at each threshold, on a logarithmic axis.", false_rules,
                svg_charts.lines("False duplicates by threshold", "threshold in bits", pair_counts.WIDEST,
                                 [Series("different thin", [row.false for row in table]), Series("different", [row.false_confirmed for row in table])],
                                 True, marks, (limit, f"tolerated: {limit:,.0f}"))),
    ]


def _figure(title: str, caption: str, key: Sequence[tuple[str, str]], chart: str) -> str:
    entries = "".join(f'<span class="{style}">{text}</span>' for style, text in key)
    return f'<figure><h2>{title}</h2><figcaption>{caption}</figcaption><div class="key">{entries}</div>{chart}</figure>'


def _distances(found: library_measures.Calibration) -> list[Series]:
    series = []
    for style, counts in (("different", found.unrelated.pairs), ("copies", found.edits)):
        numbers = [*counts.by_distance[:MOST_BITS].tolist(), int(counts.by_distance[MOST_BITS:].sum())]
        series.append(Series(style, [number / max(counts.total, 1) for number in numbers]))
    return series


def _confidences(found: library_measures.Calibration) -> list[Series]:
    series = []
    wide = 100 // CONFIDENCE_BINS
    for style, counts in (("different", found.unrelated.mirrored), ("copies", found.edits)):
        by_confidence = counts.near.sum(axis=0).tolist()
        by_confidence[99] += by_confidence.pop()  # a confidence of 1 is in the last bin
        numbers = [sum(by_confidence[wide * at:wide * at + wide]) for at in range(CONFIDENCE_BINS)]
        series.append(Series(style, [number / max(sum(numbers), 1) for number in numbers]))
    return series


def _thresholds(found: library_measures.Calibration) -> str:
    rows = []
    for row in found.table:
        style = ' class="chosen"' if row.threshold == found.choice.threshold else ""
        note = " (now)" if row.threshold == found.current else ""
        most = ""
        if row.false and _number(row.most_confirmed) != _number(row.false_confirmed):
            most = f'<span class="most"> (at most {_number(row.most_confirmed)})</span>'
        rows.append(f"<tr{style}><th>{row.threshold}{note}</th><td>{_percent(row.found)}</td><td>{_percent(row.found_confirmed)}</td>"
                    f"<td>{_number(row.false)}</td><td>{_number(row.false_confirmed)}{most}</td></tr>")
    head = "".join(f"<th>{text}</th>" for text in ("Bits", "Copies found", "and confirmed", "False duplicates", "and confirmed"))
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _edits(found: library_measures.Calibration) -> str:
    at = chosen(found).threshold
    rows = []
    for edit in found.by_edit:
        share = (edit.found_confirmed if found.confirm else edit.found)[at]
        rows.append(f'<tr><th>{edit.name}</th><td class="graph">{svg_charts.share_bar(share, "copies")}</td><td>{_percent(edit.found[at])}</td>'
                    f"<td>{_percent(edit.found_confirmed[at])}</td></tr>")
    head = "".join(f"<th>{text}</th>" for text in ("Edit", "", "Copies found", "and confirmed"))
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _method(found: library_measures.Calibration) -> str:
    unrelated, edits = found.unrelated, found.edits
    near = int(unrelated.mirrored.near.sum())
    confirmed = int(unrelated.mirrored.near[:, confirmation.CONFIRMED:].sum())
    points = [
        f"<b>Edited copies.</b> {found.pictures:,} pictures of the library were edited in memory in {len(found.by_edit)} ways, which gave"
        f" {edits.total:,} copies. Each copy is compared with its picture." + (
            f" {found.unreadable:,} more pictures could not be decoded." if found.unreadable else "") + (
            " The library has hashes of FFmpeg; the pictures and their copies were hashed with Pillow." if found.algorithm == "ffmpeg" else ""),
        f"<b>Unrelated pairs.</b> {unrelated.pairs.total:,} pairs of different images, among {unrelated.images:,} images."
        + (f" Images with the same pixels as another one are not compared: {found.copies:,}." if found.copies else "") + f" {unrelated.left_out:,} pairs are"
        " left out because they are likely duplicates: they are confirmed, or clearly confirmed pairs connect them. Some of them may be different"
        " pictures, so the number of false duplicates can be slightly too low.",
        f"<b>Confirmation.</b> The pairs of the library cannot show how many false duplicates are confirmed, because a confirmed pair may be a true"
        f" duplicate. The share is taken from {unrelated.mirrored.total:,} pairs in which one picture is mirrored: these are different pictures, and as"
        f" likely to be similar by chance. {unrelated.mirrored_left_out:,} pairs are left out because they are likely duplicates or mirrored copies."
        f" {near:,} of them are within {pair_counts.WIDEST} bits, and {confirmed:,} of these would be confirmed. In one of twenty libraries the number"
        " of false duplicates is greater than the one after \"at most\".",
        f"<b>False duplicates</b> are pairs. The share of the unrelated pairs is multiplied by the {found.images * (found.images - 1) // 2:,} pairs of the"
        " library. A library records at most one duplicate per image, so it has fewer records.",
        f"<b>Recommendation.</b> The smallest threshold that finds at most {100 * threshold_choice.LEAST_GAIN:g} % of the copies less than any other"
        f" threshold with at most one false duplicate in {threshold_choice.TOLERATED:,} images. The present threshold is kept if it does that, too."]
    if found.without_pixels:
        points.append(f"<b>Left out.</b> {found.without_pixels:,} images have no pixels in the journal: their files have changed or are missing, or an"
                      " older version hashed them. dhash_rehash=true completes the latter in the next migration.")
    return "<ul>" + "".join(f"<li>{point}</li>" for point in points) + "</ul>"
