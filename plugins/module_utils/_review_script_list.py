# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A part of the review page's script: which pairs are shown, and the list of them."""

from __future__ import annotations

LIST = r"""
// ---------------------------------------------------------------- Elements

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// Text of the queue: shown as it is, isolated from the direction of what stands around it.
function fromQueue(text, className = "") {
  return element("bdi", {className, textContent: visible(text)});
}

function say(node, text) {
  node.hidden = !text;
  node.textContent = text;
}

function picture(image, alt, settings = {}) {
  if (!image.preview) {
    return placeholder(image.noPreview);
  }
  const node = element("img", {alt, draggable: false, ...settings});
  node.addEventListener("error", () => {
    node.replaceWith(placeholder(`The file ${image.preview} is not beside this page, or is not a picture.`));
  }, {once: true});
  node.src = image.preview;
  return node;
}

function placeholder(reason) {
  return element("p", {className: "placeholder"}, element("strong", {textContent: "No preview"}), ` ${reason}`);
}

// ---------------------------------------------------------------- Which pairs are shown, and in which order

const byText = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

const ORDERS = {
  queue: () => 0,
  confidence: (one, other) => other.confidence - one.confidence,
  distance: (one, other) => (one.distance ?? Infinity) - (other.distance ?? Infinity) || 0,
  path: (one, other) => byText(one.left.path, other.left.path) || byText(one.right.path, other.right.path),
};

class Selection {
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

// ---------------------------------------------------------------- The list: only the rows that are seen exist

const ROW_HEIGHT = 64;
const SPARE_ROWS = 4;
const THUMBNAILS_WAIT = 80; // milliseconds without scrolling, so that flying past thousands of rows loads no pictures

class List {
  constructor(app) {
    this.app = app;
    this.box = byId("list");
    this.space = byId("list-space");
    this.rows = [];
    this.box.addEventListener("scroll", () => this.draw(), {passive: true});
    this.box.addEventListener("click", (event) => this.onClick(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  onClick(event) {
    const row = event.target.closest("[role=option]");
    if (row) {
      this.app.closeOverview();
      this.app.goTo(this.app.selection.shown[Number(row.dataset.place)]);
    }
  }

  draw() {
    const {shown} = this.app.selection;
    this.space.style.height = `${shown.length * ROW_HEIGHT}px`;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const seen = Math.ceil(this.box.clientHeight / ROW_HEIGHT) + 2 * SPARE_ROWS;
    this.keepRows(Math.min(seen, shown.length));
    for (let place = first; place < first + this.rows.length; place += 1) {
      this.fillRow(this.rows[place % this.rows.length], place);
    }
    this.box.setAttribute("aria-activedescendant", this.rows.find((row) => row.ariaSelected === "true")?.id ?? "");
    clearTimeout(this.thumbnails);
    this.thumbnails = setTimeout(() => this.showThumbnails(), THUMBNAILS_WAIT);
  }

  keepRows(wanted) {
    if (this.rows.length !== wanted) {
      this.rows = Array.from({length: wanted}, (unused, number) => this.rows[number] ?? newRow(number));
      this.space.replaceChildren(...this.rows);
    }
  }

  fillRow(row, place) {
    const pair = this.app.selection.shown[place];
    row.hidden = !pair;
    if (!pair) {
      return;
    }
    row.style.transform = `translateY(${place * ROW_HEIGHT}px)`;
    row.dataset.place = place;
    row.ariaPosInSet = place + 1;
    row.ariaSetSize = this.app.selection.shown.length;
    row.ariaSelected = String(pair === this.app.pair);
    row.dataset.decision = this.app.work.of(pair);
    if (row.pair !== pair) {
      row.pair = pair;
      row.thumbs.replaceChildren();
      row.one.textContent = visible(pair.left.name);
      row.other.textContent = visible(pair.right.name);
      row.confidence.textContent = percent(pair.confidence);
    }
    row.decision.textContent = WORDS[this.app.work.of(pair)];
  }

  showThumbnails() {
    for (const row of this.rows) {
      if (row.pair && !row.hidden && !row.thumbs.childElementCount) {
        row.thumbs.append(...[row.pair.left, row.pair.right].map(thumbnail));
      }
    }
  }

  reveal() {
    if (!this.app.pair) {
      return;
    }
    const top = this.app.selection.placeOf(this.app.pair) * ROW_HEIGHT;
    const {scrollTop, clientHeight} = this.box;
    if (top < scrollTop || top + ROW_HEIGHT > scrollTop + clientHeight) {
      this.box.scrollTop = Math.max(0, top - clientHeight / 2 + ROW_HEIGHT / 2);
    }
  }
}

function thumbnail(image) {
  const empty = () => element("span", {className: "thumb"});
  if (!image.preview) {
    return empty();
  }
  const node = element("img", {alt: "", className: "thumb", decoding: "async", loading: "lazy"});
  node.addEventListener("error", () => node.replaceWith(empty()), {once: true});
  node.src = image.preview;
  return node;
}

function newRow(number) {
  const row = element("div", {role: "option", id: `row-${number}`, className: "row"});
  row.thumbs = element("span", {className: "thumbs"});
  row.one = element("bdi");
  row.other = element("bdi");
  row.confidence = element("span");
  row.decision = element("span", {className: "state"});
  row.append(row.thumbs, element("span", {className: "names"}, row.one, row.other),
    element("span", {className: "figures"}, row.confidence, row.decision));
  return row;
}
"""
