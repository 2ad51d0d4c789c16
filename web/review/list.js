// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The list: only the rows that are seen exist.

import {WORDS} from "./decisions.js";
import {byId, element} from "./elements.js";
import {percent, visible} from "./text.js";

export const ROW_HEIGHT = 64;
const SPARE_ROWS = 4;
const THUMBNAILS_WAIT = 80; // milliseconds without scrolling, so that flying past thousands of rows loads no pictures

export class List {
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
