// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Which pairs are shown, and in which order.

import {BOTH, LEFT, PENDING, RIGHT, SKIP} from "./decisions.js";

const byText = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

const ORDERS = {
  queue: () => 0,
  confidence: (one, other) => other.confidence - one.confidence,
  distance: (one, other) => (one.distance ?? Infinity) - (other.distance ?? Infinity) || 0,
  path: (one, other) => byText(one.left.path, other.left.path) || byText(one.right.path, other.right.path),
};

export class Selection {
  constructor(queue, work) {
    this.queue = queue;
    this.work = work;
    this.filter = {status: "all", from: 0, to: 100, text: ""};
    this.sort("queue", false);
  }

  sort(name, backwards) {
    const pairs = [...this.queue.pairs];
    const compare = name === "cluster" ? this.byCluster() : ORDERS[name];
    pairs.sort((one, other) => compare(one, other) || one.index - other.index);
    if (backwards) {
      pairs.reverse();
    }
    this.ordered = pairs;
    this.rank = new Uint32Array(pairs.length);
    pairs.forEach((pair, rank) => { this.rank[pair.index] = rank; });
    this.refresh();
  }

  byCluster() {
    const first = new Map([...this.queue.clusters].map(([cluster, pairs]) => [cluster, pairs[0].index]));
    return (one, other) => this.queue.clusterOf(other).length - this.queue.clusterOf(one).length
      || first.get(one.cluster) - first.get(other.cluster);
  }

  refresh() {
    this.shown = this.ordered.filter((pair) => this.shows(pair));
  }

  shows(pair) {
    const {status, from, to, text} = this.filter;
    const shownPercent = pair.confidence * 100;
    return this.hasStatus(pair, status) && shownPercent > from - 1e-6 && shownPercent < to + 1e-6
      && (!text || pair.words.includes(text));
  }

  hasStatus(pair, status) {
    if (status === "all") {
      return true;
    }
    if (status === "trouble") {
      return this.work.isTroubled(pair.cluster);
    }
    const decision = this.work.of(pair);
    return status === "duplicate" ? decision === LEFT || decision === RIGHT : decision === STATUS[status];
  }

  get isWhole() {
    return this.shown.length === this.ordered.length;
  }

  // Where `pair` is in what is shown, or where it would be.
  placeOf(pair) {
    const rank = this.rank[pair.index];
    let low = 0;
    let high = this.shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rank[this.shown[middle].index] < rank) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  // The pair to go to from `pair`, by a step of 1 or -1, past those of `skipped`; null at the end.
  neighbour(pair, step, skipped = (other) => other === pair) {
    let place = this.placeOf(pair) - (step < 0 ? 1 : 0);
    while (place >= 0 && place < this.shown.length && skipped(this.shown[place])) {
      place += step;
    }
    return this.shown[place] ?? null;
  }

  // The next undecided pair, from the start again where none comes after `pair`; null where none is left.
  nextPending(pair, isPassed) {
    const isDone = (other) => isPassed(other) || this.work.of(other) !== PENDING;
    return this.neighbour(pair, 1, isDone) ?? this.shown.find((other) => !isDone(other)) ?? null;
  }
}

const STATUS = {pending: PENDING, different: BOTH, skipped: SKIP};
