// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the page foretells of an import, held against the cases that tests/unit/test_review_decisions.py holds the
// import against.

import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";

import {BOTH, LEFT, PENDING, RIGHT, SKIP} from "../decisions.js";
import {endsOf, keepOnly, leavingIn, outcome, problemsIn} from "../results.js";
import {match, queueOf} from "./helpers.js";

const shared = new URL("../../../tests/shared/review_decisions.json", import.meta.url);
const DECISIONS = {left: LEFT, right: RIGHT, different: BOTH, skipped: SKIP, undecided: PENDING};

// The pairs of a case, and what was decided about each.
function decided(decisions) {
  const {pairs} = queueOf(decisions.map(([one, other], place) => match(`m${place}`, one, other)));
  return [pairs, (pair) => DECISIONS[decisions[pair.index][2]]];
}

function paths(images) {
  return images.map((image) => image.path).sort();
}

function foretold(pairs, decide) {
  const {lost, apart} = problemsIn(pairs, decide);
  const refused = (images, why) => paths(images).map((path) => [path, why]);
  return [...refused(lost, "nothing remains"), ...refused(apart, "judged different")];
}

function removals(pairs, decide) {
  const images = outcome(pairs, decide);
  const ends = endsOf(images);
  return Object.fromEntries(leavingIn(images).map(({path}) => [path, ends.get(path)]));
}

for (const {name, page_knows: isKnown = true, ...expected} of JSON.parse(readFileSync(shared, "utf8")).cases) {
  test(`the page foretells: ${name}`, () => {
    const [pairs, decide] = decided(expected.decisions);
    assert.deepEqual(foretold(pairs, decide), isKnown ? expected.refused : []);
    if (isKnown && !expected.refused.length) {
      assert.deepEqual(removals(pairs, decide), expected.removals);
    }
  });
}

test("a kept image that leaves in another pair deserves a look", () => {
  const [pairs, decide] = decided([["a", "b", "left"], ["b", "c", "left"], ["a", "c", "undecided"]]);
  assert.deepEqual(paths(problemsIn(pairs, decide).mixed), ["b"]);
});

test("a cluster brought down to one image deserves none", () => {
  const [pairs, decide] = decided([["a", "b", "left"], ["b", "c", "left"], ["a", "c", "left"]]);
  assert.deepEqual(problemsIn(pairs, decide), {lost: [], apart: [], mixed: []});
});

test("what is lost is not told a second time as mixed", () => {
  const [pairs, decide] = decided([["a", "b", "left"], ["b", "c", "left"], ["a", "c", "right"]]);
  assert.deepEqual(problemsIn(pairs, decide).mixed, []);
});

for (const kept of ["a", "b", "c", "d"]) {
  test(`keeping only ${kept} takes out all others for it`, () => {
    const [pairs] = decided([["a", "b"], ["b", "c"], ["c", "d"], ["a", "c"]]);
    const decisions = keepOnly(pairs, kept);
    const decide = (pair) => decisions.get(pair);
    const others = ["a", "b", "c", "d"].filter((path) => path !== kept);
    assert.deepEqual(removals(pairs, decide), Object.fromEntries(others.map((path) => [path, kept])));
    assert.deepEqual(foretold(pairs, decide), []);
  });
}
