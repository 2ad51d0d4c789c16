// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Decisions: made, undone, done again, exported and loaded.

import assert from "node:assert/strict";
import {test} from "node:test";

import {BOTH, LEFT, PENDING, RIGHT, SKIP} from "../decisions.js";
import {Queue} from "../queue.js";
import {FakeStorage, decide, match, pairs, queueOf, workOn} from "./helpers.js";

const RIGHT_KEPT = '"needsReview": false, "reviewStatus": "approved", "isDuplicate": true, "keepImage": "image2"';

function repeat(times, run) {
  return Array.from({length: times}, run);
}

test("undo has no limit and goes back to the beginning", () => {
  const work = workOn(queueOf(pairs(120)));
  decide(work, ...repeat(30, () => [LEFT, RIGHT, BOTH, SKIP]).flat());
  assert.deepEqual(work.counts, {[PENDING]: 0, [LEFT]: 30, [RIGHT]: 30, [BOTH]: 30, [SKIP]: 30});
  repeat(120, () => work.undo());
  assert.equal(work.counts[PENDING], 120);
  assert.equal(work.undo(), null);
  repeat(120, () => work.redo());
  assert.equal(work.decided, 90);
  assert.equal(work.redo(), null);
});

test("what was undone stays undone in another tab", () => {
  const storage = new FakeStorage();
  const queue = queueOf(pairs(4));
  const work = workOn(queue, storage);
  decide(work, LEFT, RIGHT, RIGHT);
  work.undo();
  work.undo();
  const other = workOn(queue, storage);
  assert.deepEqual(other.decisions, [LEFT, PENDING, PENDING, PENDING]);
  assert.equal(other.redo().changes[0].pair.index, 1, "and can be done again there");
});

test("a decision after undo replaces what was undone", () => {
  const storage = new FakeStorage();
  const queue = queueOf(pairs(4));
  const work = workOn(queue, storage);
  decide(work, LEFT, RIGHT, RIGHT);
  work.undo();
  work.undo();
  work.change("Decided", [{pair: queue.pairs[1], decision: BOTH}]);
  const other = workOn(queue, storage);
  assert.deepEqual(other.decisions, [LEFT, BOTH, PENDING, PENDING]);
  assert.equal(other.redo(), null);
  other.undo();
  other.redo();
  assert.deepEqual(other.decisions, [LEFT, BOTH, PENDING, PENDING]);
});

test("many decisions at once are one step", () => {
  const work = workOn(queueOf(pairs(3)));
  decide(work, BOTH);
  const wanted = work.queue.pairs.map((pair) => ({pair, decision: LEFT}));
  assert.equal(work.change("Accepted many", wanted), 3);
  assert.equal(work.change("Accepted many", wanted), 0, "what is so already is no step");
  work.undo();
  assert.deepEqual(work.decisions, [BOTH, PENDING, PENDING]);
});

test("a note is undone with its step", () => {
  const work = workOn(queueOf(pairs(1)));
  const [pair] = work.queue.pairs;
  work.change("Wrote a note", [{pair, decision: PENDING, note: "blurred"}]);
  decide(work, LEFT);
  assert.equal(work.noteOf(pair), "blurred");
  work.undo();
  work.undo();
  assert.equal(work.noteOf(pair), "");
});

test("warnings follow decisions and their undoing", () => {
  const work = workOn(queueOf([match("x", "a", "b"), match("y", "b", "c"), match("z", "a", "c")]));
  decide(work, LEFT, LEFT);
  assert.deepEqual([work.refused.size, work.mixed.size], [0, 1]);
  decide(work, LEFT, LEFT, RIGHT);
  assert.deepEqual([work.refused.size, work.mixed.size], [1, 0]);
  work.undo();
  assert.equal(work.refused.size, 0);
});

// The queue's text with what is odd in JSON, as a browser's own reading and writing would change it.
const ODD = `{ "size": 12345678901234567890, "odd": [1.0, {"matches": [1e2]}, "\\ud800 </script> \\u2028 \\"}"],
 "matches": [ {"id":"x", "image1" : {"path": "a"}, "confidence": 0.900, "image2": {"path": "b"},
   "needsReview":true, "reviewStatus":"pending","isDuplicate" :null, "keepImage": null , "reviewNotes":""},
   7, {"id":"y"}],
 "more": {}}\n`;

test("an export without decisions is the queue as it came", () => {
  assert.equal(workOn(new Queue(ODD)).exported().join(""), ODD);
});

test("an export changes nothing but the decisions", () => {
  const work = workOn(new Queue(ODD));
  decide(work, RIGHT);
  assert.equal(work.exported().join(""), ODD
    .replace('"needsReview":true', '"needsReview":false')
    .replace('"reviewStatus":"pending"', '"reviewStatus":"approved"')
    .replace('"isDuplicate" :null', '"isDuplicate" :true')
    .replace('"keepImage": null', '"keepImage": "image2"'));
  work.undo();
  assert.equal(work.exported().join(""), ODD);
});

test("missing fields are added to a match that is decided", () => {
  const text = '{"matches": [{"id": "x", "image1": {"path": "a"}, "image2": {"path": "b"}}, {"id": "y"}]}';
  const work = workOn(new Queue(text));
  decide(work, RIGHT);
  assert.equal(work.exported().join(""),
    text.replace('"b"}}', `"b"}, ${RIGHT_KEPT}, "reviewNotes": ""}`));
});

test("an export that is loaded again brings its decisions back", () => {
  const work = workOn(queueOf(pairs(5)));
  decide(work, LEFT, RIGHT, BOTH, SKIP);
  const text = work.exported().join("");
  const other = workOn(queueOf(pairs(5)));
  const {changes, unknown, unreadable} = other.changesIn(text);
  assert.deepEqual([changes.length, unknown, unreadable], [4, 0, 0]);
  other.change("Loaded a file", changes);
  assert.deepEqual(other.decisions, [LEFT, RIGHT, BOTH, SKIP, PENDING]);
  assert.deepEqual(workOn(new Queue(text)).decisions, other.decisions);
});

test("a loaded file is counted by what it lacks", () => {
  const work = workOn(queueOf(pairs(3)));
  const [first, second, third] = pairs(3);
  const contradiction = {...second, reviewStatus: "approved", isDuplicate: false, keepImage: "image1"};
  const noted = {...third, reviewNotes: "a note alone"};
  const text = JSON.stringify({matches: [null, {id: []}, {...first, id: "gone"}, contradiction, noted, first]});
  const {changes, unknown, unreadable} = work.changesIn(text);
  assert.deepEqual([changes.map(({note}) => note), unknown, unreadable], [["a note alone"], 3, 1]);
});

test("a file that is no export is refused", () => {
  const work = workOn(queueOf(pairs(1)));
  for (const text of ["", "[]", "null", '{"matches": 3}', "{".repeat(100_000)]) {
    assert.throws(() => work.changesIn(text), text.slice(0, 20));
  }
});
