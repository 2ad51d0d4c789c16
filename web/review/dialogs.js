// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The dialogs: many proposals accepted at once, and decisions exported and loaded.

import {BOTH, LEFT, PENDING, RIGHT, SKIP} from "./decisions.js";
import {byId, element, fromQueue, say} from "./elements.js";
import {keptAndLeaving, problemsIn} from "./results.js";
import {count, number, percent, size, visible} from "./text.js";

const LISTED = 10;

export class BulkDialog {
  constructor(app) {
    this.app = app;
    this.dialog = byId("bulk");
    this.wanted = [];
    byId("bulk-from").addEventListener("input", () => this.draw());
    byId("bulk-shown").addEventListener("change", () => this.draw());
    this.dialog.addEventListener("close", () => this.onClose());
  }

  open() {
    byId("bulk-shown").checked = !this.app.selection.isWhole;
    this.dialog.returnValue = "";
    this.draw();
    this.dialog.showModal();
    byId("bulk-from").select();
  }

  choose() {
    const from = byId("bulk-from").valueAsNumber;
    const pairs = byId("bulk-shown").checked ? this.app.selection.shown : this.app.queue.pairs;
    return pairs.filter((pair) => pair.proposed !== null && this.app.work.of(pair) === PENDING
      && pair.confidence * 100 > from - 1e-6);
  }

  draw() {
    const chosen = this.choose();
    this.wanted = chosen.map((pair) => ({pair, decision: pair.proposed}));
    const leaving = new Map(chosen.map((pair) => {
      const [kept, left] = keptAndLeaving(pair, pair.proposed);
      return [left.path, {pair, kept, left}];
    }));
    byId("bulk-summary").textContent = chosen.length ? summary(chosen, [...leaving.values()])
      : "No undecided pair with a proposal is at or above that.";
    say(byId("bulk-warning"), this.warning(chosen));
    byId("bulk-caption").textContent = leaving.size > LISTED ? `The first ${LISTED} of ${number(leaving.size)}` : "";
    byId("bulk-rows").replaceChildren(...[...leaving.values()].slice(0, LISTED).map(leavingRow));
    byId("bulk-rows").closest("table").hidden = !leaving.size;
    byId("bulk-accept").disabled = !chosen.length;
    byId("bulk-accept").textContent = chosen.length ? `Accept ${count(chosen.length, "pair", "pairs")}` : "Accept";
  }

  warning(chosen) {
    const isChosen = new Set(chosen);
    const decide = (pair) => isChosen.has(pair) ? pair.proposed : this.app.work.of(pair);
    const found = {lost: 0, apart: 0, mixed: 0};
    for (const cluster of new Set(chosen.map((pair) => pair.cluster))) {
      const problems = problemsIn(this.app.queue.clusters.get(cluster), decide);
      Object.keys(found).forEach((kind) => { found[kind] += problems[kind].length; });
    }
    return [
      found.lost && `${count(found.lost, "image", "images")} would leave with nothing kept in their place.`,
      found.apart && `${count(found.apart, "image", "images")} would leave for one that is judged to be different.`,
      found.mixed && `${count(found.mixed, "image is", "images are")} kept in one pair and would leave in another.`,
    ].filter(Boolean).join(" ");
  }

  onClose() {
    if (this.dialog.returnValue === "accept") {
      this.app.decideMany(this.wanted);
    }
  }
}

function summary(chosen, leaving) {
  const bytes = leaving.reduce((sum, {left}) => sum + (left.bytes ?? 0), 0);
  return `${count(chosen.length, "pair is", "pairs are")} decided as proposed. `
    + `${count(leaving.length, "image leaves", "images leave")} the library`
    + `${bytes ? ` (together ${size(bytes)})` : ""}; the files stay on disk.`;
}

function leavingRow({pair, kept, left}) {
  return element("tr", {}, element("td", {}, fromQueue(left.path)),
    element("td", {}, fromQueue(kept.path), element("div", {className: "quiet"}, fromQueue(pair.reason))),
    element("td", {className: "figure", textContent: percent(pair.confidence)}));
}

// ---------------------------------------------------------------- Export and import of decisions

export class ExportDialog {
  constructor(app) {
    this.app = app;
    this.dialog = byId("export");
    this.dialog.addEventListener("close", () => this.onClose());
    byId("export-troubles").addEventListener("click", (event) => this.onTrouble(event));
    byId("file").addEventListener("change", () => this.onFile());
  }

  open() {
    const {work, queue} = this.app;
    const duplicates = work.counts[LEFT] + work.counts[RIGHT];
    byId("export-summary").textContent =
      `${number(work.decided)} of ${count(queue.pairs.length, "pair", "pairs")} decided: `
      + `${count(duplicates, "duplicate", "duplicates")}, ${number(work.counts[BOTH])} different. `
      + `${number(work.counts[SKIP])} skipped and ${number(work.counts[PENDING])} undecided stay in the queue.`;
    this.drawTroubles([...new Set([...work.refused, ...work.mixed])]);
    this.dialog.returnValue = "";
    this.dialog.showModal();
    byId("export-download").focus();
  }

  drawTroubles(clusters) {
    const {refused} = this.app.work;
    const others = clusters.length - refused.size;
    say(byId("export-warning"), [
      refused.size && `The import will refuse the decisions in ${count(refused.size, "cluster", "clusters")}.`,
      others && `Those in ${count(others, "cluster", "clusters")} deserve a second look.`,
      clusters.length > LISTED && `The first ${LISTED}:`,
    ].filter(Boolean).join(" "));
    byId("export-troubles").replaceChildren(...clusters.slice(0, LISTED).map((cluster) => {
      const button = element("button", {type: "button", textContent: "Show"});
      button.pair = this.app.queue.clusters.get(cluster)[0];
      button.ariaLabel = `Show the cluster of ${visible(button.pair.left.name)}`;
      return element("li", {}, element("span", {textContent: this.app.warningOf(cluster)}), " ", button);
    }));
  }

  onTrouble(event) {
    const {pair} = event.target;
    if (pair) {
      this.dialog.close("");
      this.app.goTo(pair);
      this.app.showCluster(true);
    }
  }

  onClose() {
    if (this.dialog.returnValue === "download") {
      this.download();
    }
  }

  download() {
    const blob = new Blob(this.app.work.exported(), {type: "application/json"});
    const address = URL.createObjectURL(blob);
    const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
    const name = `review-decisions-${stamp}.json`;
    element("a", {href: address, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    this.app.announce(`${name} goes to your downloads, with ${count(this.app.work.decided, "decision", "decisions")}.`);
  }

  async onFile() {
    const [file] = byId("file").files;
    byId("file").value = "";
    if (!file) {
      return;
    }
    try {
      this.take(this.app.work.changesIn(await file.text()));
    } catch (error) {
      this.app.announce(`${visible(file.name)} was not loaded: it is no exported queue (${visible(error.message)}).`);
    }
  }

  take({changes, unknown, unreadable}) {
    const changed = this.app.work.change("Loaded a file", changes);
    this.app.refresh();
    this.app.announce([
      `${count(changed, "decision", "decisions")} loaded, of ${number(changes.length)} in the file.`,
      unknown && `${count(unknown, "match", "matches")} of it are not in this queue.`,
      unreadable && `Left out because they contradict themselves: ${number(unreadable)}.`,
    ].filter(Boolean).join(" "));
  }
}
