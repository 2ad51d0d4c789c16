// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// A cluster as one screen.

import {resolution} from "./comparison.js";
import {LEFT, PENDING, RIGHT, WORDS} from "./decisions.js";
import {byId, element, fromQueue, picture, say} from "./elements.js";
import {leavingIn, outcome} from "./results.js";
import {count, number, percent, size, visible} from "./text.js";

const CARDS = 24; // on one screen; a chain of chance matches can tie thousands of images together
const ROWS = 40;

export class ClusterView {
  constructor(app) {
    this.app = app;
    this.first = 0;
    byId("cards").addEventListener("click", (event) => this.onClick(event));
    byId("cluster-rows").addEventListener("click", (event) => this.onOpen(event));
  }

  draw() {
    const {app} = this;
    const pairs = app.queue.clusterOf(app.pair);
    this.images = app.work.outcomeOf(pairs);
    if (this.pairs !== pairs) {
      this.pairs = pairs;
      this.first = 0;
      this.drawCards();
    }
    this.drawHead();
    this.drawStates();
    this.drawRows();
  }

  drawHead() {
    const {images} = this;
    byId("cluster-title").textContent = `Cluster of ${count(images.size, "image", "images")}`;
    const waiting = this.pairs.filter((pair) => this.app.work.of(pair) === PENDING).length;
    byId("cluster-facts").textContent =
      `${count(this.pairs.length, "pair", "pairs")}, ${waiting ? `${number(waiting)} undecided` : "all decided"} · `
      + `${count(leavingIn(images).length, "image leaves", "images leave")}`;
    byId("card-pages").hidden = images.size <= CARDS;
    say(byId("cluster-warning"), this.app.warningOf(this.app.pair.cluster));
  }

  drawCards() {
    const entries = [...this.images.values()];
    const proposedToLeave = new Set(leavingIn(outcome(this.pairs, (pair) => pair.proposed)));
    this.cards = entries.slice(this.first, this.first + CARDS).map(({image}, place) =>
      newCard(image, this.first + place, !proposedToLeave.has(image), place < 9 ? String(place + 1) : ""));
    byId("cards").replaceChildren(...this.cards);
  }

  drawStates() {
    const undecided = this.pairs.filter((pair) => this.app.work.of(pair) === PENDING);
    const waiting = new Set(undecided.flatMap(({left, right}) => [left.path, right.path]));
    for (const card of this.cards) {
      const {path} = card.image;
      const state = this.images.get(path).givesWayTo.length ? "Leaves" : waiting.has(path) ? "Undecided" : "Stays";
      card.dataset.state = state;
      card.state.textContent = state;
      card.state.className = `badge ${{Leaves: "leave", Stays: "keep", Undecided: ""}[state]}`;
    }
  }

  drawRows() {
    const numbers = new Map([...this.images.keys()].map((path, place) => [path, place + 1]));
    const seen = new Set(this.cards.map((card) => card.image.path));
    const pairs = this.pairs.filter((pair) => seen.has(pair.left.path) || seen.has(pair.right.path));
    byId("cluster-pairs").textContent = pairs.length > ROWS
      ? `Its pairs: ${ROWS} of ${number(pairs.length)}; all are in the list` : "Its pairs";
    byId("cluster-rows").replaceChildren(...pairs.slice(0, ROWS).map((pair) => this.row(pair, numbers)));
  }

  row(pair, numbers) {
    const [left, right] = [numbers.get(pair.left.path), numbers.get(pair.right.path)];
    const decision = this.app.work.of(pair);
    const words = decision === LEFT ? `Keeps ${left}` : decision === RIGHT ? `Keeps ${right}` : WORDS[decision];
    const open = element("button", {type: "button", textContent: "Show", ariaLabel: `Show pair ${left} and ${right}`});
    open.pair = pair;
    return element("tr", {}, element("th", {scope: "row", textContent: `${left} and ${right}`}),
      element("td", {textContent: pair.distance ?? "unknown"}), element("td", {textContent: percent(pair.confidence)}),
      element("td", {textContent: words}), element("td", {}, open));
  }

  onClick(event) {
    const card = event.target.closest("button") && event.target.closest(".card");
    if (card) {
      this.app.keepOnly(card.image);
    }
  }

  onOpen(event) {
    const {pair} = event.target;
    if (pair) {
      this.app.showCluster(false);
      this.app.goTo(pair);
      byId("work").focus();
    }
  }

  keepCard(place) {
    if (this.cards[place]) {
      this.app.keepOnly(this.cards[place].image);
    }
  }

  moveFocus(step) {
    const buttons = this.cards.map((card) => card.querySelector("button"));
    const place = buttons.indexOf(document.activeElement);
    buttons[Math.min(buttons.length - 1, Math.max(0, place + step))].focus();
  }

  turn(step) {
    const first = this.first + step * CARDS;
    if (first >= 0 && first < this.images.size) {
      this.first = first;
      this.drawCards();
      this.draw();
    }
  }
}

function newCard(image, place, isProposed, key) {
  const card = element("li", {className: "card"});
  card.image = image;
  card.state = element("span", {className: "badge"});
  const facts = [
    image.width === null ? "" : resolution(image), image.bytes === null ? "" : size(image.bytes), visible(image.format),
  ];
  const button = element("button", {type: "button", ariaLabel: `Keep only ${place + 1}, ${visible(image.name)}`},
    "Keep only this", ...(key ? [" ", element("kbd", {textContent: key, ariaHidden: "true"})] : []));
  card.append(
    element("div", {className: "pane"}, picture(image, "", {loading: "lazy"}), card.state),
    element("h3", {}, element("span", {className: "place", textContent: `${place + 1} `}), fromQueue(image.name)),
    element("p", {className: "quiet"}, fromQueue(image.path)),
    element("p", {textContent: facts.filter(Boolean).join(" · ") || "Size unknown"}),
    element("p", {className: "quiet", textContent: isProposed ? "Proposed to stay" : ""}), button);
  return card;
}
