// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Which key does it: the keyboard, and keys in writing.

import {byId, element} from "./elements.js";
import {ROW_HEIGHT} from "./list.js";

const PAN = 0.15;

export class Keyboard {
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

export function keyName(event) {
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const hasCase = key.length > 1 || key.toUpperCase() !== key;
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.shiftKey && hasCase ? "Shift+" : ""}${key}`;
}

const SIGNS = {ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓"};

export function written(key) {
  const parts = key.split(/(?<=.)\+/);
  const sign = (part) => SIGNS[part] ?? (parts.length > 1 && part.length === 1 ? part.toUpperCase() : part);
  return parts.map(sign).join("+");
}

export function keycaps(keys) {
  return keys.flatMap((key, place) => [...(place ? [" "] : []), element("kbd", {textContent: written(key)})]);
}
