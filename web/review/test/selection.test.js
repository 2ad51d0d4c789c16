// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Filters and orders: which pairs are shown, and which one comes next.

import assert from "node:assert/strict";
import {test} from "node:test";

import {BOTH, LEFT, RIGHT, SKIP} from "../decisions.js";
import {Selection} from "../selection.js";
import {decide, match, pairs, queueOf, workOn} from "./helpers.js";

const ALL = {status: "all", from: 0, to: 100, text: ""};

function selectionOf(matches, ...decisions) {
  const queue = queueOf(matches);
  const work = workOn(queue);
  decide(work, ...decisions);
  return new Selection(queue, work);
}

function shown(selection, filter = {}) {
  selection.filter = {...ALL, ...filter};
  selection.refresh();
  return selection.shown.map((pair) => pair.index);
}

test("each status shows the pairs that have it", () => {
  const selection = selectionOf(pairs(6), LEFT, RIGHT, BOTH, SKIP);
  assert.deepEqual(shown(selection, {status: "pending"}), [4, 5]);
  assert.deepEqual(shown(selection, {status: "duplicate"}), [0, 1]);
  assert.deepEqual(shown(selection, {status: "different"}), [2]);
  assert.deepEqual(shown(selection, {status: "skipped"}), [3]);
  assert.deepEqual(shown(selection, {status: "all"}), [0, 1, 2, 3, 4, 5]);
});

test("warnings show the whole cluster that has them", () => {
  const circle = [match("x", "a", "b"), match("y", "b", "c"), match("z", "a", "c")];
  const others = pairs(3).map((other) => ({...other, cluster: other.id}));
  const selection = selectionOf([...circle, ...others], LEFT, LEFT, RIGHT);
  assert.deepEqual(shown(selection, {status: "trouble"}), [0, 1, 2]);
});

test("bounds of confidence show the pairs that lie on them", () => {
  const selection = selectionOf(pairs(20));
  assert.deepEqual(shown(selection, {from: 88, to: 89}), [1, 2]);
  assert.deepEqual(shown(selection, {from: 88.5}), [0, 1]);
});

test("text is looked for in paths and names of both images", () => {
  const named = match("x", "in/A.jpg", "in/b.jpg");
  named.image2.filename = "Holiday.JPG";
  const selection = selectionOf([named, ...pairs(2)]);
  assert.deepEqual(shown(selection, {text: "in/a"}), [0]);
  assert.deepEqual(shown(selection, {text: "holiday.jpg"}), [0]);
  assert.deepEqual(shown(selection, {text: "001-right"}), [2]);
  assert.deepEqual(shown(selection, {text: "nowhere"}), []);
});

test("filters narrow each other down", () => {
  const selection = selectionOf(pairs(20), LEFT, RIGHT, BOTH);
  assert.deepEqual(shown(selection, {text: "in/00", status: "pending", from: 85}), [3, 4, 5]);
  assert.equal(selection.isWhole, false);
});

test("each order sorts by what its name says", () => {
  const selection = selectionOf([
    match("w", "b", "x", {cluster: 1, confidence: 0.5, hammingDistance: 9}),
    match("x", "a", "z", {cluster: 2, confidence: 0.7, hammingDistance: 12}),
    match("y", "c", "y", {cluster: 3, confidence: 0.6}),
    match("z", "a", "y", {cluster: 2, confidence: 0.7, hammingDistance: 8}),
  ]);
  const sorted = (name, backwards = false) => {
    selection.sort(name, backwards);
    return selection.shown.map((pair) => pair.id).join("");
  };
  assert.equal(sorted("queue"), "wxyz");
  assert.equal(sorted("confidence"), "xzyw");
  assert.equal(sorted("distance"), "zwxy", "a distance that is unknown comes last");
  assert.equal(sorted("cluster"), "xzwy", "the largest first, and each together");
  assert.equal(sorted("path"), "zxwy");
  assert.equal(sorted("path", true), "ywxz");
});

test("a pair that is left out has a place nevertheless", () => {
  const selection = selectionOf(pairs(5), LEFT, LEFT);
  shown(selection, {status: "pending"});
  const [first, , , fourth] = selection.queue.pairs;
  assert.equal(selection.placeOf(first), 0);
  assert.equal(selection.placeOf(fourth), 1);
  assert.equal(selection.neighbour(first, 1), selection.queue.pairs[2]);
  assert.equal(selection.neighbour(first, -1), null);
});

test("the next undecided pair is looked for from the start again", () => {
  const selection = selectionOf(pairs(4), LEFT);
  const [decided, second, third, last] = selection.queue.pairs;
  assert.equal(selection.nextPending(decided, (pair) => pair === decided), second);
  assert.equal(selection.nextPending(last, (pair) => pair === last), second);
  assert.equal(selection.nextPending(second, (pair) => pair !== third), third);
  assert.equal(selection.nextPending(second, () => true), null);
});
