// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The start: what is bound to the page once.

import {App} from "./app.js";
import {commandsOf} from "./commands.js";
import {byId, element, fromQueue, say} from "./elements.js";
import {Keyboard, keycaps, written} from "./keys.js";
import {Queue} from "./queue.js";
import {day, number, visible} from "./text.js";

function dressButtons(commands) {
  for (const button of document.querySelectorAll("[data-command]")) {
    const keys = button.dataset.keys?.split(" ") ?? commands[button.dataset.command].keys;
    const text = element("span", {textContent: button.textContent});
    button.replaceChildren(text);
    if (keys.length && !button.ariaLabel) {
      button.append(element("kbd", {textContent: written(keys[0]), ariaHidden: "true"}));
    }
    if (keys.length) {
      button.setAttribute("aria-keyshortcuts", keys.map(shortcut).join(" "));
    }
  }
}

function shortcut(key) {
  return key.replace("Ctrl", "Control").replace(/^\+$/, "Plus");
}

function fillHelp(queue, commands) {
  const more = [
    [["1", "…", "9"], "In a cluster: keep only the image with that number"],
    [["←", "→"], "In a cluster: to the previous or next image; while zoomed: move the part that is seen"],
  ];
  const withText = Object.values(commands).filter((command) => command.text);
  const rows = [...withText.map(({keys, text}) => [keys, text]), ...more];
  byId("instructions").textContent = visible(queue.instructions);
  byId("keys").replaceChildren(...rows.map(([keys, text]) =>
    element("div", {}, element("dt", {}, ...keycaps(keys)), element("dd", {textContent: text}))));
}

function describe(queue) {
  byId("about").replaceChildren(fromQueue(queue.library), [
    queue.exportedAt && ` · exported ${day(queue.exportedAt)}`,
    queue.total > queue.pairs.length ? ` · ${number(queue.pairs.length)} of ${number(queue.total)} pairs` : "",
    queue.refuted ? ` · ${number(queue.refuted)} refuted pairs left out` : "",
  ].join(""));
}

function listen(app, commands) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]");
    if (button && button.ariaDisabled !== "true") {
      commands[button.dataset.command].run();
    }
  });
  document.querySelectorAll("[data-close]").forEach((button) =>
    button.addEventListener("click", () => button.closest("dialog").close("")));
  byId("show-overview").addEventListener("click", () => app.toggleOverview());
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("input", (event) =>
    event.target.matches("#sort, #backwards") ? app.sort() : app.readFilters());
  byId("note").addEventListener("change", () => app.writeNote());
  byId("single-keys").addEventListener("change", (event) =>
    app.memory.write("single-keys", event.target.checked ? "on" : "off"));
  // Enter on the number shows what it means and goes to the button: accepting takes a second key.
  byId("bulk-from").addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      byId("bulk-accept").focus();
    }
  });
  window.addEventListener("pagehide", () => app.writeNote());
  window.addEventListener("storage", (event) => {
    if (event.key?.startsWith(app.memory.prefix) && !event.key.endsWith(" place")) {
      clearTimeout(app.reloading);
      app.reloading = setTimeout(() => reload(app), 50);
    }
  });
}

// Another tab with this queue has decided something: both show the same work.
function reload(app) {
  app.work.load();
  app.refresh();
}

function start() {
  let queue;
  try {
    queue = new Queue(byId("queue").textContent);
  } catch (error) {
    document.querySelector(".columns").hidden = true;
    say(byId("warning"), `This page holds no queue that it can read (${error.message}). Export the queue again.`);
    return;
  }
  const app = new App(queue);
  const commands = commandsOf(app);
  dressButtons(commands);
  fillHelp(queue, commands);
  describe(queue);
  byId("single-keys").checked = app.memory.read("single-keys") !== "off";
  app.setTheme(app.memory.read("theme"));
  listen(app, commands);
  new Keyboard(app, commands);
  app.draw();
  app.list.reveal();
  app.announce("Press ? for the keys.");
}

start();
