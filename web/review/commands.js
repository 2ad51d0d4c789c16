// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What keys and buttons do.

import {BOTH, LEFT, RIGHT, SKIP} from "./decisions.js";
import {byId, isSeen} from "./elements.js";

// What a key or button does. `of`: what has to be on the screen for it. Held down, only some go on: no decision does.
function command(keys, text, run, of = undefined) {
  return {keys: keys ? keys.split(" ") : [], text, run, of, repeats: false};
}

function repeating(...parts) {
  return {...command(...parts), repeats: true};
}

export function commandsOf(app) {
  return {...decidingCommands(app), ...movingCommands(app), ...lookingCommands(app), ...queueCommands(app)};
}

function decidingCommands(app) {
  return {
    left: command("1 ArrowLeft", "Keep the left image; the right one leaves", () => app.decide(LEFT), "pair"),
    right: command("2 ArrowRight", "Keep the right image; the left one leaves", () => app.decide(RIGHT), "pair"),
    both: command("3 b", "They are different: keep both", () => app.decide(BOTH), "any"),
    skip: command("s", "Skip: leave it in the queue", () => app.decide(SKIP), "any"),
    accept: command("Enter a", "Accept the proposal", () => app.accept(), "any"),
    bulk: command("Shift+a", "Accept many proposals at once", () => app.bulk.open()),
    undo: repeating("u Ctrl+z", "Undo", () => app.travel(app.work.undo(), "Undone")),
    redo: repeating("r Ctrl+y Ctrl+Shift+z", "Do again", () => app.travel(app.work.redo(), "Done again")),
    note: command("m", "Write a note (Escape leaves it)", () => byId("note").focus(), "pair"),
  };
}

function movingCommands(app) {
  return {
    next: repeating("n j Space", "Next", () => app.move(1), "any"),
    previous: repeating("p k Shift+Space", "Previous", () => app.move(-1), "any"),
    first: command("Home", "First", () => app.jump(0), "any"),
    last: command("End", "Last", () => app.jump(-1), "any"),
    overview: command("o", "To the list of pairs (then up and down)", () => openList(app)),
    search: command("/", "Filter by text in the path", () => openFilters(app)),
    "clear-filters": command("", "", () => app.clearFilters()),
  };
}

function lookingCommands(app) {
  const {lens} = app.pairView;
  const zoom = (change) => () => {
    change();
    app.announce(`Zoom ${Math.round(lens.scale * 100)} %.`);
  };
  return {
    zoom: command("z", "Zoom in on both, and back (then wheel, drag or arrows)", zoom(() => lens.toggle()), "pair"),
    "zoom-in": repeating("+ =", "Closer", zoom(() => lens.zoom(1.5)), "pair"),
    "zoom-out": repeating("-", "Farther", zoom(() => lens.zoom(1 / 1.5)), "pair"),
    difference: command("d", "Show what differs, and back", () => toggleDifference(app), "pair"),
    cluster: command("c", "Show the whole cluster, and back", () => app.showCluster(!app.inCluster), "any"),
    "earlier-images": command("PageUp", "Large cluster: earlier images", () => app.clusterView.turn(-1), "cluster"),
    "later-images": command("PageDown", "Large cluster: later images", () => app.clusterView.turn(1), "cluster"),
    escape: command("Escape", "Back from zoom, difference or cluster", () => escape(app)),
  };
}

function queueCommands(app) {
  return {
    export: command("e", "Export the decisions", () => app.export.open()),
    load: command("l", "Load exported decisions", () => byId("file").click()),
    theme: command("t", "Theme: system, light, dark", () => app.turnTheme()),
    help: command("?", "This help", () => byId("help").showModal()),
  };
}

function toggleDifference(app) {
  app.pairView.toggleDifference();
  app.drawTools();
  app.pairView.drawState();
  app.announce(app.pairView.difference ? "Difference shown." : "Side by side.");
}

function openFilters(app) {
  if (!isSeen(byId("overview"))) {
    app.toggleOverview();
  }
  byId("filter-text").focus();
}

function openList(app) {
  if (isSeen(byId("show-overview"))) {
    app.toggleOverview();
  } else {
    app.list.reveal();
    byId("list").focus();
  }
}

function escape(app) {
  if (document.body.classList.contains("overview-open")) {
    app.toggleOverview();
    byId("show-overview").focus();
  } else if (app.pairView.lens.isClose) {
    app.pairView.lens.reset();
  } else if (app.pairView.difference) {
    toggleDifference(app);
  } else if (app.inCluster) {
    app.showCluster(false);
  }
}
