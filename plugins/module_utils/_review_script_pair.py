# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A part of the review page's script: two images side by side."""

from __future__ import annotations

PAIR = r"""
// ---------------------------------------------------------------- What differs between two images

function comparison(left, right) {
  return [
    ["Path", differing(left.path, right.path), differing(right.path, left.path), left.path === right.path],
    ["Resolution", ...ranked(left, right, pixels, resolution, "larger")],
    ["Size", ...ranked(left, right, (image) => image.bytes, (image) => exactSize(image.bytes), "larger")],
    ["Format", visible(left.format) || "unknown", visible(right.format) || "unknown", left.format === right.format],
    ["Date", ...ranked(left, right, time, (image) => day(image.date), "newer")],
  ];
}

function pixels(image) {
  return image.width === null || image.height === null ? null : image.width * image.height;
}

function resolution(image) {
  return `${image.width} × ${image.height}`;
}

function time(image) {
  const milliseconds = Date.parse(image.date);
  return Number.isNaN(milliseconds) ? null : milliseconds;
}

// Both values as text, the one that is more with `word` beside it, and whether they are the same.
function ranked(left, right, measure, write, word) {
  const [one, other] = [measure(left), measure(right)];
  const text = (image, value, against) => {
    if (value === null) {
      return "unknown";
    }
    return against !== null && value > against
      ? element("span", {}, element("strong", {textContent: write(image)}), " ", element("em", {textContent: word}))
      : write(image);
  };
  return [text(left, one, other), text(right, other, one), one === other];
}

// `text` with what it does not share with `against`, at the beginning and at the end, marked.
function differing(text, against) {
  const letters = [...visible(text)];
  const others = [...visible(against)];
  const shorter = Math.min(letters.length, others.length);
  let start = 0;
  while (start < shorter && letters[start] === others[start]) {
    start += 1;
  }
  let end = 0;
  while (end < shorter - start && letters[letters.length - 1 - end] === others[others.length - 1 - end]) {
    end += 1;
  }
  const middle = letters.slice(start, letters.length - end).join("");
  const marked = middle ? [element("mark", {textContent: middle})] : [];
  return element("bdi", {},
    letters.slice(0, start).join(""), ...marked, letters.slice(letters.length - end).join(""));
}

// ---------------------------------------------------------------- The pair

class PairView {
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

// ---------------------------------------------------------------- Zoom, the same on both sides

const LARGEST = 12;
const CLOSE = 3;

class Lens {
  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
    this.reset();
    stage.addEventListener("wheel", (event) => this.onWheel(event), {passive: false});
    stage.addEventListener("pointerdown", (event) => this.onDown(event));
    stage.addEventListener("pointermove", (event) => this.onMove(event));
  }

  get isClose() {
    return this.scale > 1;
  }

  reset() {
    this.show(1, 0, 0);
  }

  toggle() {
    if (this.isClose) {
      this.reset();
    } else {
      this.zoom(CLOSE);
    }
  }

  // Where the picture begins is told in widths and heights of a pane, so that both sides show the same part.
  show(scale, x, y) {
    const within = (value) => Math.min(0, Math.max(1 - scale, value));
    Object.assign(this, {scale, x: within(x), y: within(y)});
    this.stage.style.setProperty("--scale", this.scale);
    this.stage.style.setProperty("--x", `${this.x * 100}%`);
    this.stage.style.setProperty("--y", `${this.y * 100}%`);
    this.stage.classList.toggle("close", this.isClose);
    this.changed();
  }

  zoom(factor, [x, y] = [0.5, 0.5]) {
    const scale = Math.min(LARGEST, Math.max(1, this.scale * factor));
    const change = scale / this.scale;
    this.show(scale, x - (x - this.x) * change, y - (y - this.y) * change);
  }

  pan(right, down) {
    this.show(this.scale, this.x - right, this.y - down);
  }

  onWheel(event) {
    event.preventDefault();
    this.zoom(2 ** (-Math.sign(event.deltaY) / 3), this.placeIn(event));
  }

  placeIn(event) {
    const box = (event.target.closest(".pane") ?? this.stage).getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  onDown(event) {
    if (this.isClose && event.button === 0) {
      this.stage.setPointerCapture(event.pointerId);
    }
  }

  onMove(event) {
    if (this.stage.hasPointerCapture(event.pointerId)) {
      const box = this.stage.querySelector(".pane:not([hidden])").getBoundingClientRect();
      this.pan(-event.movementX / box.width, -event.movementY / box.height);
    }
  }
}
"""
