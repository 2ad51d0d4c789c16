// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Decisions, undone and done again.

import {BOTH, FIELDS, LEFT, PENDING, RIGHT, SKIP, decisionIn} from "./decisions.js";
import {FilledText} from "./filled-text.js";
import {outcome, problemsIn} from "./results.js";
import {isObject, textIn} from "./values.js";

export class Work {
  constructor(queue, memory) {
    this.queue = queue;
    this.memory = memory;
    this.load();
  }

  load() {
    this.decisions = this.queue.pairs.map((pair) => pair.decision);
    this.notes = this.queue.pairs.map((pair) => pair.note);
    this.counts = {[PENDING]: 0, [LEFT]: 0, [RIGHT]: 0, [BOTH]: 0, [SKIP]: 0};
    this.decisions.forEach((decision) => { this.counts[decision] += 1; });
    this.steps = [];
    this.applied = 0;
    this.replay();
    this.refused = new Set();
    this.mixed = new Set();
    this.judge(this.queue.clusters.keys());
  }

  // Steps on matches that this queue does not have stay, empty, so that each keeps its place in the memory.
  replay() {
    const applied = Number(this.memory.read("applied") ?? 0);
    for (const {label, changes} of this.memory.steps()) {
      this.take(textIn(label), changes.filter(Array.isArray).map(([id, decision, note]) =>
        ({pair: this.queue.byId.get(id), decision, note})).filter(isChange));
    }
    while (this.applied > applied) {
      this.applied -= 1;
      this.set(this.steps[this.applied].changes, "before");
    }
  }

  of(pair) {
    return this.decisions[pair.index];
  }

  noteOf(pair) {
    return this.notes[pair.index];
  }

  get decided() {
    return this.counts[LEFT] + this.counts[RIGHT] + this.counts[BOTH];
  }

  isChanged(pair) {
    return this.of(pair) !== pair.decision || this.noteOf(pair) !== pair.note;
  }

  // One step, however many changes ({pair, decision, note}) it has. Returns how many pairs it changes.
  change(label, wanted) {
    const changes = wanted.filter(({pair, decision, note}) =>
      decision !== this.of(pair) || (note !== undefined && note !== this.noteOf(pair)));
    if (changes.length) {
      this.forgetUndone();
      this.memory.write(this.applied, JSON.stringify({
        label,
        changes: changes.map(({pair, decision, note}) => [pair.id, decision, ...(note === undefined ? [] : [note])]),
      }));
      this.take(label, changes);
      this.memory.write("applied", this.applied);
      this.judge(clustersOf(changes));
    }
    return changes.length;
  }

  forgetUndone() {
    for (let place = this.applied; place < this.steps.length; place += 1) {
      this.memory.remove(place);
    }
    this.steps.length = this.applied;
  }

  take(label, wanted) {
    const changes = wanted.map(({pair, decision, note}) => ({
      pair,
      before: {decision: this.of(pair), note: this.noteOf(pair)},
      after: {decision, note: note ?? this.noteOf(pair)},
    }));
    this.set(changes, "after");
    this.steps.push({label, changes});
    this.applied += 1;
  }

  set(changes, side) {
    for (const change of changes) {
      const {index} = change.pair;
      this.counts[this.decisions[index]] -= 1;
      this.counts[change[side].decision] += 1;
      this.decisions[index] = change[side].decision;
      this.notes[index] = change[side].note;
    }
  }

  undo() {
    return this.move(this.placeToUndo(), "before");
  }

  redo() {
    return this.move(this.placeToRedo(), "after");
  }

  placeToUndo() {
    let place = this.applied - 1;
    while (place >= 0 && !this.steps[place].changes.length) {
      place -= 1;
    }
    return place;
  }

  placeToRedo() {
    let place = this.applied;
    while (place < this.steps.length && !this.steps[place].changes.length) {
      place += 1;
    }
    return place;
  }

  // Takes the step at `place` back ("before") or makes it again ("after"), and returns it; null where there is none.
  move(place, side) {
    const step = this.steps[place];
    if (!step) {
      return null;
    }
    this.set(step.changes, side);
    this.applied = side === "before" ? place : place + 1;
    this.memory.write("applied", this.applied);
    this.judge(clustersOf(step.changes));
    return step;
  }

  judge(clusters) {
    for (const cluster of clusters) {
      const {lost, apart, mixed} = this.problemsOf(this.queue.clusters.get(cluster));
      mark(this.refused, cluster, lost.length + apart.length > 0);
      mark(this.mixed, cluster, mixed.length > 0);
    }
  }

  isTroubled(cluster) {
    return this.refused.has(cluster) || this.mixed.has(cluster);
  }

  problemsOf(pairs) {
    return problemsIn(pairs, (pair) => this.of(pair));
  }

  outcomeOf(pairs) {
    return outcome(pairs, (pair) => this.of(pair));
  }

  // The queue's JSON with the decisions, in pieces. A match whose decision and note are as they came stays as it is.
  exported() {
    const byPlace = new Map(this.queue.pairs.map((pair) => [pair.place, pair]));
    return new FilledText(this.queue.text).fill((place) => {
      const pair = byPlace.get(place);
      return pair && this.isChanged(pair) ? {...FIELDS[this.of(pair)], reviewNotes: this.noteOf(pair)} : null;
    });
  }

  // The changes that an exported file asks for, and how many of its matches this queue lacks or cannot read.
  changesIn(text) {
    const value = JSON.parse(text);
    if (!isObject(value) || !Array.isArray(value.matches)) {
      throw new TypeError("there is no list of matches in it");
    }
    const found = {changes: [], unknown: 0, unreadable: 0};
    for (const match of value.matches) {
      const pair = isObject(match) ? this.queue.byId.get(match.id) : undefined;
      const decision = pair ? decisionIn(match) : undefined;
      if (!pair) {
        found.unknown += 1;
      } else if (decision === undefined) {
        found.unreadable += 1;
      } else if (decision !== PENDING || textIn(match.reviewNotes)) {
        found.changes.push({pair, decision: decision || this.of(pair), note: textIn(match.reviewNotes)});
      }
    }
    return found;
  }
}

function isChange({pair, decision, note}) {
  return pair !== undefined && Object.hasOwn(FIELDS, decision) && (note === undefined || typeof note === "string");
}

function clustersOf(changes) {
  return new Set(changes.map(({pair}) => pair.cluster));
}

function mark(set, member, belongs) {
  if (belongs) {
    set.add(member);
  } else {
    set.delete(member);
  }
}
