// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the tests share: queues, and a store like the browser's.

import {Queue} from "../queue.js";
import {Memory} from "../storage.js";
import {Work} from "../work.js";

export function match(id, one, other, fields = {}) {
  return {
    id, image1: {path: one}, image2: {path: other}, cluster: 1, confidence: 0.82, proposedKeep: "image1",
    needsReview: true, reviewStatus: "pending", reviewNotes: "", isDuplicate: null, keepImage: null, ...fields,
  };
}

// Matches that share no image, each a cluster of its own, of falling confidence: 0.90, 0.89, …
export function pairs(total) {
  return Array.from({length: total}, (unused, place) => {
    const name = String(place).padStart(3, "0");
    const fields = {cluster: place + 1, confidence: Number((0.9 - place / 100).toFixed(2))};
    return match(`m${name}`, `in/${name}-left.jpg`, `in/${name}-right.jpg`, fields);
  });
}

export function queueOf(matches, fields = {}) {
  return new Queue(JSON.stringify({library: "/srv/library.json", matches, ...fields}));
}

// The Storage of a browser, as far as the page uses it; `room` is how many entries it takes.
export class FakeStorage {
  constructor(room = Infinity) {
    this.entries = new Map();
    this.room = room;
  }

  getItem(name) {
    return this.entries.get(name) ?? null;
  }

  setItem(name, text) {
    if (!this.entries.has(name) && this.entries.size >= this.room) {
      throw new DOMException("no", "QuotaExceededError");
    }
    this.entries.set(name, String(text));
  }

  removeItem(name) {
    this.entries.delete(name);
  }
}

export function workOn(queue, storage = new FakeStorage()) {
  return new Work(queue, new Memory(queue.library, storage));
}

// Decide the pairs of a queue one after the other, one step each.
export function decide(work, ...decisions) {
  decisions.forEach((decision, place) => work.change("Decided", [{pair: work.queue.pairs[place], decision}]));
}
