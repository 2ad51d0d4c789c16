# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A part of the review page's script: commands and their keys."""

from __future__ import annotations

KEYS = r"""
// ---------------------------------------------------------------- Commands and keys

const PAN = 0.15;

// What a key or button does. `of`: what has to be on the screen for it. Held down, only some go on: no decision does.
function command(keys, text, run, of = undefined) {
  return {keys: keys ? keys.split(" ") : [], text, run, of, repeats: false};
}

function repeating(...parts) {
  return {...command(...parts), repeats: true};
}

function commandsOf(app) {
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

function isSeen(node) {
  return node.getClientRects().length > 0;
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

class Keyboard {
  constructor(app, commands) {
    this.app = app;
    this.commands = commands;
    this.byKey = new Map(Object.values(commands).flatMap((command) => command.keys.map((key) => [key, command])));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  get singleKeys() {
    return byId("single-keys").checked;
  }

  onKey(event) {
    if (event.defaultPrevented || event.isComposing || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    const key = keyName(event);
    const action = event.target.closest("input, select, textarea") ? leaveOnEscape(key) : this.actionOf(key, event);
    if (action) {
      event.preventDefault();
      if (!event.repeat || action.repeats) {
        action.run();
      }
    }
  }

  actionOf(key, event) {
    const isOnControl = event.target.closest("button, a");
    if (isOnControl && (key === "Enter" || key === "Space")) {
      return null;
    }
    const isAllowed = this.singleKeys || key.startsWith("Ctrl+") || key === "Escape";
    return this.inList(key, event) ?? (isAllowed ? this.inZoom(key) ?? this.inCluster(key) ?? this.ofPage(key) : null);
  }

  ofPage(key) {
    const command = this.byKey.get(key);
    return command && this.app.shows(command.of) ? command : null;
  }

  inList(key, event) {
    const {app} = this;
    const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW_HEIGHT) - 1);
    const step = {ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page}[key];
    if (event.target !== byId("list") || !step) {
      return undefined;
    }
    const {shown} = app.selection;
    const place = Math.min(shown.length - 1, Math.max(0, app.selection.placeOf(app.pair) + step));
    return {repeats: true, run: () => app.goTo(shown[place])};
  }

  inZoom(key) {
    const {lens} = this.app.pairView;
    const pan = {ArrowLeft: [-PAN, 0], ArrowRight: [PAN, 0], ArrowUp: [0, -PAN], ArrowDown: [0, PAN]}[key];
    return pan && lens.isClose && this.app.shows("pair") ? {repeats: true, run: () => lens.pan(...pan)} : undefined;
  }

  inCluster(key) {
    const {clusterView} = this.app;
    const step = {ArrowLeft: -1, ArrowRight: 1}[key];
    if (!this.app.shows("cluster")) {
      return undefined;
    }
    if (step) {
      return {repeats: true, run: () => clusterView.moveFocus(step)};
    }
    return /^[1-9]$/.test(key) ? {run: () => clusterView.keepCard(Number(key) - 1)} : undefined;
  }
}

function leaveOnEscape(key) {
  return key === "Escape" ? {run: () => byId("work").focus()} : null;
}

function keyName(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const hasCase = key.length > 1 || key.toUpperCase() !== key;
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.shiftKey && hasCase ? "Shift+" : ""}${key}`;
}

const SIGNS = {ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓"};

function written(key) {
  const parts = key.split(/(?<=.)\+/);
  const sign = (part) => SIGNS[part] ?? (parts.length > 1 && part.length === 1 ? part.toUpperCase() : part);
  return parts.map(sign).join("+");
}

function keycaps(keys) {
  return keys.flatMap((key, place) => [...(place ? [" "] : []), element("kbd", {textContent: written(key)})]);
}
"""
