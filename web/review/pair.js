// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The pair, side by side.

import {comparison} from "./comparison.js";
import {BOTH, LEFT, RIGHT, SKIP} from "./decisions.js";
import {byId, element, fromQueue, picture, placeholder, say} from "./elements.js";
import {Lens} from "./lens.js";
import {number, percent, visible} from "./text.js";

export class PairView {
  constructor(app) {
    this.app = app;
    this.lens = new Lens(byId("stage"), () => app.drawTools());
    this.difference = false;
    this.preloaded = [];
  }

  draw() {
    const {pair} = this.app;
    if (this.pair !== pair) {
      this.pair = pair;
      this.lens.reset();
      this.drawPictures();
      this.drawFacts();
      this.preloadNext();
    }
    this.drawHead();
    this.drawState();
  }

  drawPictures() {
    const {left, right} = this.pair;
    const image = (side, alt) => picture(side, alt, {decoding: "sync"});
    byId("pane-left").replaceChildren(image(left, `Left: ${visible(left.name)}`));
    byId("pane-right").replaceChildren(image(right, `Right: ${visible(right.name)}`));
    this.drawDifference();
  }

  drawDifference() {
    const {left, right} = this.pair;
    byId("pane-left").hidden = byId("pane-right").hidden = this.difference;
    byId("pane-difference").hidden = !this.difference;
    const overlay = !this.difference ? []
      : left.preview && right.preview ? [picture(left, ""), picture(right, "")]
        : [placeholder("The difference needs the previews of both images.")];
    byId("pane-difference").replaceChildren(element("div", {className: "overlay"}, ...overlay),
      element("span", {className: "badge", textContent: "Difference, brightened: black is the same"}));
  }

  drawFacts() {
    const {left, right} = this.pair;
    const rows = comparison(left, right);
    const list = (side) => element("dl", {}, ...rows.map((row) => fact(row[0], row[side], row[3])));
    byId("facts-left").replaceChildren(element("h3", {}, fromQueue(left.name)), list(1));
    byId("facts-right").replaceChildren(element("h3", {}, fromQueue(right.name)), list(2));
  }

  drawHead() {
    const {app, pair} = this;
    const place = app.selection.placeOf(pair);
    const isShown = app.selection.shown[place] === pair;
    byId("pair-title").textContent = isShown
      ? `Pair ${number(place + 1)} of ${number(app.selection.shown.length)}` : "A pair that the filters leave out";
    byId("pair-facts").textContent = [
      `Confidence ${percent(pair.confidence)}`,
      pair.distance === null ? "" : `distance ${pair.distance} of 64`,
      pair.vertical === null ? "" : `vertical distance ${pair.vertical}`,
    ].filter(Boolean).join(" · ");
    const pairs = app.queue.clusterOf(pair);
    byId("open-cluster").firstElementChild.textContent =
      pairs.length > 1 ? `Cluster of ${number(pairs.length)} pairs` : "Cluster";
    say(byId("pair-warning"), app.warningOf(pair.cluster));
  }

  drawState() {
    const {app, pair} = this;
    const decision = app.work.of(pair);
    for (const [name, value] of [["left", LEFT], ["right", RIGHT], ["both", BOTH], ["skip", SKIP]]) {
      app.press(name, decision === value);
    }
    badge(byId("pane-left"), side(decision, pair.proposed, LEFT));
    badge(byId("pane-right"), side(decision, pair.proposed, RIGHT));
    byId("proposal").replaceChildren(...proposal(pair));
    app.enable("accept", pair.proposed !== null);
    if (document.activeElement !== byId("note")) {
      byId("note").value = app.work.noteOf(pair);
    }
  }

  preloadNext() {
    const next = this.app.selection.neighbour(this.pair, 1);
    const images = next ? [next.left, next.right].filter((image) => image.preview) : [];
    this.preloaded = images.map((image) => element("img", {src: image.preview}));
  }

  toggleDifference() {
    this.difference = !this.difference;
    this.drawDifference();
  }
}

function fact(name, value, isSame) {
  return element("div", {className: isSame ? "same" : ""},
    element("dt", {textContent: name}), element("dd", {}, value));
}

const KEEP = {className: "badge keep", textContent: "Keep"};

function side(decision, proposed, own) {
  if (decision === BOTH) {
    return KEEP;
  }
  if (decision === LEFT || decision === RIGHT) {
    return decision === own ? KEEP : {className: "badge leave", textContent: "Leaves"};
  }
  return proposed === own ? {className: "badge", textContent: "Proposed"} : null;
}

function badge(pane, properties) {
  pane.querySelector(".badge")?.remove();
  pane.dataset.state = properties?.textContent ?? "";
  if (properties) {
    pane.append(element("span", properties));
  }
}

function proposal(pair) {
  if (pair.isSameFile) {
    return [element("strong", {textContent: "One file under two names"}),
      " — choose the entry that stays in the library. The file stays in any case."];
  }
  if (pair.proposed === null) {
    return ["No proposal: decide yourself."];
  }
  return [element("strong", {textContent: `Proposed: keep ${pair.proposed === LEFT ? "left" : "right"}`}),
    ...(pair.reason ? [" — ", fromQueue(pair.reason)] : [])];
}
