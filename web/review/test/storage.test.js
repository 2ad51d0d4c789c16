// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the browser keeps, and what is found of it later.

import assert from "node:assert/strict";
import {test} from "node:test";

import {BOTH, LEFT, RIGHT} from "../decisions.js";
import {Memory, usableStorage} from "../storage.js";
import {FakeStorage, decide, pairs, queueOf, workOn} from "./helpers.js";

test("each library keeps its entries to itself", () => {
  const storage = new FakeStorage();
  new Memory("/srv/one.json", storage).write("place", "m1");
  assert.equal(new Memory("/srv/one.json", storage).read("place"), "m1");
  assert.equal(new Memory("/srv/other.json", storage).read("place"), null);
});

test("steps are read up to the first that is damaged", () => {
  for (const damaged of ["", "{", "[]", "null", "7", '{"changes": 7}']) {
    const memory = new Memory("/srv/library.json", new FakeStorage());
    [{changes: []}, {changes: [["m1", "1"]]}].forEach((step, place) => memory.write(place, JSON.stringify(step)));
    memory.write(2, damaged);
    memory.write(3, JSON.stringify({changes: []}));
    assert.equal(memory.steps().length, 2, damaged);
  }
});

test("a full store keeps no step after a gap", () => {
  const storage = new FakeStorage(3);
  const queue = queueOf(pairs(4));
  const work = workOn(queue, storage);
  decide(work, LEFT, RIGHT);
  assert.equal(work.memory.full, false);
  decide(work, LEFT, RIGHT, BOTH, LEFT);
  assert.equal(work.memory.full, true);
  assert.equal(work.decided, 4, "the page goes on without it");
  storage.room = Infinity;
  assert.equal(workOn(queue, storage).decided, 2);
});

test("a browser without a store gets none", () => {
  const refusing = {get localStorage() { throw new DOMException("no", "SecurityError"); }};
  assert.equal(usableStorage(refusing), null);
  assert.equal(usableStorage({localStorage: new FakeStorage(0)}), null, "one that takes nothing is none");
  const storage = new FakeStorage();
  assert.equal(usableStorage({localStorage: storage}), storage);
  assert.equal(storage.entries.size, 0, "the probe is taken away again");
});

test("without a store nothing is kept and nothing fails", () => {
  const queue = queueOf(pairs(2));
  const work = workOn(queue, null);
  decide(work, LEFT);
  assert.equal(work.decided, 1);
  work.undo();
  work.redo();
  work.memory.remove("applied");
  assert.equal(workOn(queue, null).decided, 0);
});

test("a later export finds the decisions that it still has", () => {
  const storage = new FakeStorage();
  const [first, second, third, last] = pairs(4);
  decide(workOn(queueOf([first, second, third, last]), storage), LEFT, RIGHT, BOTH);
  const work = workOn(queueOf([last, {...last, id: "new"}, second]), storage);
  assert.deepEqual(work.decisions, ["", "", RIGHT]);
  assert.equal(work.undo().changes.length, 1, "steps on other matches are passed over");
  assert.equal(work.decided, 0);
});

test("steps that make no sense change nothing", () => {
  const storage = new FakeStorage();
  const queue = queueOf(pairs(2));
  const {memory} = workOn(queue, storage);
  const changes = [null, 7, [], ["m000"], ["m000", "keep"], ["m000", "1", 7], ["gone", "1"], ["m001", "2", "a note"]];
  memory.write(0, JSON.stringify({label: 7, changes}));
  memory.write("applied", 1);
  const work = workOn(queue, storage);
  assert.deepEqual(work.decisions, ["", RIGHT]);
  assert.deepEqual(work.notes, ["", "a note"]);
});
