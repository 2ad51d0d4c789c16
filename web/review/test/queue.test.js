// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The queue as it is read, whatever its fields hold, and its texts for people.

import assert from "node:assert/strict";
import {test} from "node:test";

import {BOTH, LEFT, PENDING, RIGHT, SKIP, decisionIn} from "../decisions.js";
import {Queue} from "../queue.js";
import {day, exactSize, percent, visible} from "../text.js";
import {match, queueOf} from "./helpers.js";

test("a text without a list of matches is no queue", () => {
  for (const text of ["", "{", "[]", "null", '{"matches": {}}']) {
    assert.throws(() => new Queue(text), text);
  }
});

test("matches that cannot be read are counted and passed over", () => {
  const queue = queueOf([match("x", "a", "b"), null, 3, {id: 5}, match("x", "c", "d"), match("y", "e", "f")]);
  assert.equal(queue.unreadable, 4);
  assert.deepEqual(queue.pairs.map(({id, place, index}) => [id, place, index]), [["x", 0, 0], ["y", 5, 1]]);
});

test("fields of other types count as missing", () => {
  const odd = {
    id: "x", image1: 7, image2: {path: ["x"], width: "1", bytes: -1}, confidence: "high", hammingDistance: null,
    proposedKeep: 1, reviewStatus: 4, reviewNotes: {}, isDuplicate: "yes",
  };
  const [pair] = queueOf([odd], {library: 3, totalMatches: "many"}).pairs;
  const {path, width, bytes} = pair.right;
  assert.deepEqual({path, width, bytes}, {path: "", width: null, bytes: null});
  assert.deepEqual([pair.confidence, pair.distance, pair.proposed, pair.note], [0, null, null, ""]);
  assert.equal(pair.decision, PENDING);
});

test("pictures come from the page's own folder alone", () => {
  const preview = (value) => {
    const raw = match("x", "a", "b");
    raw.image1.preview = value;
    return queueOf([raw]).pairs[0].left.preview;
  };
  assert.equal(preview("images/0123.jpg"), "images/0123.jpg");
  const others = ["https://example.invalid/x.jpg", "images/../x.jpg", "images/.x", "/images/a", "javascript:0", 7];
  for (const other of others) {
    assert.equal(preview(other), null, String(other));
  }
});

test("matches without a cluster are alone in one", () => {
  const queue = queueOf([match("x", "a", "b", {cluster: undefined}), match("y", "a", "c", {cluster: null})]);
  assert.deepEqual(queue.pairs.map((pair) => queue.clusterOf(pair).length), [1, 1]);
});

test("a match carries a decision where its fields agree", () => {
  const fields = (reviewStatus, isDuplicate, keepImage) => decisionIn({reviewStatus, isDuplicate, keepImage});
  assert.equal(fields("approved", true, "image1"), LEFT);
  assert.equal(fields("approved", true, "image2"), RIGHT);
  assert.equal(fields("rejected", false, "both"), BOTH);
  assert.equal(fields("skipped", null, null), SKIP);
  assert.equal(fields("pending", null, null), PENDING);
  assert.equal(decisionIn({}), PENDING);
  const contradictions = [["approved", false, "image1"], ["approved", true, "both"], ["rejected", false, "image2"]];
  for (const wrong of [...contradictions, ["done", null, null]]) {
    assert.equal(fields(...wrong), undefined, wrong.join());
  }
});

test("hidden characters of a name are shown, not obeyed", () => {
  assert.equal(visible("safe\u202egpj.exe\u0007 \u2066\u200f.jpg"), "safe[U+202E]gpj.exe[U+0007] [U+2066][U+200F].jpg");
  assert.equal(visible("\ud800"), "[U+D800]");
  assert.equal(visible("a\u200db"), "a[U+200D]b");
  const family = "\u{1f469}\u200d\u{1f467}";
  assert.equal(visible(family), family, "what joins two emoji is a part of them");
});

test("a confidence is never rounded up to the next tenth", () => {
  assert.deepEqual([0.8199, 0.82, 0.9999, 1].map(percent), ["81.9 %", "82 %", "99.9 %", "100 %"]);
});

test("sizes have three digits and the exact number", () => {
  assert.equal(exactSize(999), "999 bytes");
  assert.equal(exactSize(1000), "1.00 kB (1,000 bytes)");
  assert.equal(exactSize(98_304), "98.3 kB (98,304 bytes)");
  assert.equal(exactSize(2_400_000), "2.40 MB (2,400,000 bytes)");
});

test("a date that is none is shown as it stands", () => {
  assert.equal(day("2026-01-31T12:00:00.000Z"), "2026-01-31 12:00 UTC");
  assert.equal(day("yesterday\u0007"), "yesterday[U+0007]");
});
