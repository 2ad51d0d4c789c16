// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The page as a whole.

import {ClusterView} from "./cluster.js";
import {BOTH, LEFT, PENDING, RIGHT, SKIP} from "./decisions.js";
import {BulkDialog, ExportDialog} from "./dialogs.js";
import {byId, isSeen, say} from "./elements.js";
import {List} from "./list.js";
import {PairView} from "./pair.js";
import {keepOnly} from "./results.js";
import {Selection} from "./selection.js";
import {Memory, usableStorage} from "./storage.js";
import {count, number, visible} from "./text.js";
import {Work} from "./work.js";

export class App {
  constructor(queue) {
    this.queue = queue;
    this.memory = new Memory(queue.library, usableStorage(window));
    this.work = new Work(queue, this.memory);
    this.selection = new Selection(queue, this.work);
    this.inCluster = false;
    this.pair = queue.byId.get(this.memory.read("place")) ?? queue.pairs[0];
    this.list = new List(this);
    this.pairView = new PairView(this);
    this.clusterView = new ClusterView(this);
    this.bulk = new BulkDialog(this);
    this.export = new ExportDialog(this);
  }

  // ------------------------------------------------ Drawing

  refresh() {
    this.selection.refresh();
    this.draw();
  }

  draw() {
    const focused = document.activeElement;
    this.drawAll();
    // What had the focus can have gone with what was shown.
    if (focused !== document.body && !isSeen(focused)) {
      byId("work").focus();
    }
  }

  drawAll() {
    const isEmpty = !this.selection.shown.length;
    byId("pair").hidden = isEmpty || this.inCluster;
    byId("cluster").hidden = isEmpty || !this.inCluster;
    byId("nothing").hidden = !isEmpty;
    if (isEmpty) {
      byId("nothing-reason").textContent = this.queue.pairs.length
        ? "The filters leave out every pair. What is decided is ready to be exported." : "The queue is empty.";
    } else if (this.inCluster) {
      this.clusterView.draw();
    } else {
      this.pairView.draw();
    }
    this.drawProgress();
    this.drawTools();
    this.list.draw();
  }

  // Whether a command of that kind has something to act on: a pair, a cluster, or any of the two.
  shows(kind) {
    return kind === undefined || (this.selection.shown.length > 0
      && (kind === "any" || kind === (this.inCluster ? "cluster" : "pair")));
  }

  drawProgress() {
    const {work, queue} = this;
    const all = queue.pairs.length;
    byId("progress").max = Math.max(1, all);
    byId("progress").value = work.decided;
    byId("counts").textContent = `${number(work.decided)} of ${number(all)} decided`
      + (work.counts[SKIP] ? `, ${number(work.counts[SKIP])} skipped` : "");
    byId("shown").textContent = this.selection.isWhole ? count(all, "pair", "pairs")
      : `${number(this.selection.shown.length)} of ${count(all, "pair", "pairs")} shown`;
    this.enable("undo", work.placeToUndo() >= 0);
    this.enable("redo", work.placeToRedo() < work.steps.length);
    this.warn();
  }

  drawTools() {
    const view = this.pairView;
    if (view) {
      this.press("zoom", view.lens.isClose);
      this.press("difference", view.difference);
    }
  }

  warn() {
    const {memory, queue} = this;
    say(byId("warning"), [
      !memory.storage && "This browser keeps nothing for this page: export your decisions before you close the tab.",
      memory.full && "This browser's store is full and keeps no more: export your decisions before you close the tab.",
      queue.unreadable && `Matches that cannot be read and stay as they are: ${number(queue.unreadable)}.`,
    ].filter(Boolean).join(" "));
  }

  announce(text) {
    byId("status").textContent = text;
  }

  buttons(name) {
    return document.querySelectorAll(`[data-command="${name}"]`);
  }

  press(name, isPressed) {
    this.buttons(name).forEach((button) => {
      if (button.ariaPressed !== null) {
        button.ariaPressed = String(isPressed);
      }
    });
  }

  // A button that focus stands on keeps it: aria-disabled, not disabled.
  enable(name, isEnabled) {
    this.buttons(name).forEach((button) => { button.ariaDisabled = String(!isEnabled); });
  }

  warningOf(cluster) {
    if (!this.work.isTroubled(cluster)) {
      return "";
    }
    const {lost, apart, mixed} = this.work.problemsOf(this.queue.clusters.get(cluster));
    return [
      lost.length && `Nothing stays of ${names(lost)}: each gives way to an image that leaves as well.`,
      apart.length && `Leaving, in the end, for an image judged to be different: ${names(apart)}.`,
      mixed.length && `Kept in one pair, but leaving in another: ${names(mixed)}.`,
    ].filter(Boolean).join(" ");
  }

  // ------------------------------------------------ Moving

  goTo(pair) {
    if (!pair) {
      return;
    }
    this.pair = pair;
    this.memory.write("place", pair.id);
    this.list.reveal();
    this.draw();
  }

  move(step) {
    const {pair} = this;
    const isPassed = this.inCluster ? (other) => other.cluster === pair.cluster : undefined;
    const next = this.selection.neighbour(pair, step, isPassed);
    this.goTo(next);
    this.announce(next ? this.place() : step > 0 ? "This is the last one." : "This is the first one.");
  }

  jump(place) {
    this.goTo(this.selection.shown.at(place));
    this.announce(this.place());
  }

  place() {
    const {left, right} = this.pair;
    return `Pair ${number(this.selection.placeOf(this.pair) + 1)}: ${visible(left.name)} and ${visible(right.name)}.`;
  }

  showCluster(isShown) {
    this.inCluster = isShown;
    this.draw();
    this.announce(isShown ? byId("cluster-title").textContent : this.place());
  }

  // ------------------------------------------------ Deciding

  decide(decision) {
    const pairs = this.inCluster ? this.queue.clusterOf(this.pair) : [this.pair];
    this.apply(DONE[decision], pairs.map((pair) => ({pair, decision})));
  }

  accept() {
    const undecided = (pair) => this.work.of(pair) === PENDING;
    const pairs = this.inCluster ? this.queue.clusterOf(this.pair).filter(undecided) : [this.pair];
    const wanted = pairs.filter((pair) => pair.proposed).map((pair) => ({pair, decision: pair.proposed}));
    if (wanted.length) {
      this.apply("Accepted the proposal", wanted);
    } else {
      this.announce("There is no proposal to accept here.");
    }
  }

  keepOnly(image) {
    const decisions = keepOnly(this.queue.clusterOf(this.pair), image.path);
    this.apply(`Kept only ${visible(image.name)}`, [...decisions].map(([pair, decision]) => ({pair, decision})));
  }

  apply(label, wanted) {
    const next = this.nextPending();
    this.work.change(label, wanted);
    this.selection.refresh();
    this.goTo(next ?? this.pair);
    this.announce(`${label}. ${next ? this.place() : "No other undecided pair is shown: e exports the decisions."}`);
  }

  nextPending() {
    const {pair, inCluster, selection} = this;
    const isDone = inCluster ? (other) => other.cluster === pair.cluster : (other) => other === pair;
    return selection.nextPending(pair, isDone) ?? selection.neighbour(pair, 1, isDone);
  }

  decideMany(wanted) {
    this.work.change("Accepted many", wanted);
    this.refresh();
    const next = this.work.of(this.pair) === PENDING ? this.pair : this.nextPending();
    this.goTo(next ?? this.pair);
    this.announce(`${count(wanted.length, "pair", "pairs")} decided as proposed, as one step.`);
  }

  travel(step, word) {
    if (!step) {
      this.announce(`There is nothing to ${word === "Undone" ? "undo" : "do again"}.`);
      return;
    }
    this.selection.refresh();
    this.goTo(step.changes[0].pair);
    const many = step.changes.length > 1 ? `, ${number(step.changes.length)} pairs` : "";
    this.announce(`${word}: ${step.label}${many}. ${this.place()}`);
  }

  writeNote() {
    const note = byId("note").value;
    if (this.pair && !byId("pair").hidden && note !== this.work.noteOf(this.pair)) {
      this.work.change("Wrote a note", [{pair: this.pair, decision: this.work.of(this.pair), note}]);
      this.refresh();
      this.announce("Note kept.");
    }
  }

  // ------------------------------------------------ Filters and settings

  readFilters() {
    const percentIn = (id, otherwise) => Number.isNaN(byId(id).valueAsNumber) ? otherwise : byId(id).valueAsNumber;
    this.selection.filter = {
      status: byId("filter-status").value,
      from: percentIn("filter-from", 0),
      to: percentIn("filter-to", 100),
      text: byId("filter-text").value.trim().toLowerCase(),
    };
    this.selection.refresh();
    this.goTo(this.selection.shown[this.selection.placeOf(this.pair)] ?? this.selection.shown.at(-1));
    this.draw();
    this.announce(`${count(this.selection.shown.length, "pair", "pairs")} shown.`);
  }

  clearFilters() {
    byId("filters").reset();
    this.sort();
    this.readFilters();
    byId("work").focus();
  }

  sort() {
    this.selection.sort(byId("sort").value, byId("backwards").checked);
    this.list.reveal();
    this.draw();
  }

  turnTheme() {
    this.setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
    this.announce(`Theme: ${document.documentElement.dataset.theme}.`);
  }

  setTheme(name) {
    const theme = THEMES.includes(name) ? name : THEMES[0];
    document.documentElement.dataset.theme = theme;
    this.memory.write("theme", theme);
    byId("theme").ariaLabel = `Theme: ${theme}`;
  }

  // Where the list lies over the pair.
  closeOverview() {
    if (document.body.classList.contains("overview-open")) {
      this.toggleOverview();
    }
  }

  toggleOverview() {
    const isOpen = document.body.classList.toggle("overview-open");
    byId("show-overview").ariaExpanded = String(isOpen);
    this.list.draw();
    if (isOpen) {
      this.list.reveal();
      byId("list").focus();
    }
  }
}

const THEMES = ["system", "light", "dark"];
const DONE = {[LEFT]: "Kept left", [RIGHT]: "Kept right", [BOTH]: "Kept both as different", [SKIP]: "Skipped"};

function names(images) {
  const more = images.length > 5 ? ` and ${number(images.length - 5)} more` : "";
  return images.slice(0, 5).map((image) => visible(image.name)).join(", ") + more;
}
