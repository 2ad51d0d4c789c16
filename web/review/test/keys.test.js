// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Which key does what, and which does nothing.

import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {afterEach, beforeEach, test} from "node:test";

import {commandsOf} from "../commands.js";
import {Keyboard, keyName, written} from "../keys.js";

const HERE = new URL("../", import.meta.url);
const OUTSIDE = {closest: () => null};
const ON_BUTTON = {closest: (selector) => (selector.includes("button") ? {} : null)};
const IN_FIELD = {closest: (selector) => (selector.includes("input") ? {} : null)};

let done; // what keys have done, as lines
let nodes; // of the page, by id
let dialog; // the one that is open
let press;
let app;

// An object that notes what is called of it.
function noting(name, fields = {}) {
  return new Proxy(fields, {
    get: (target, property) => property in target ? target[property]
      : (...values) => { done.push([name, property, ...values].join(" ")); },
  });
}

beforeEach(() => {
  done = [];
  dialog = null;
  nodes = {"single-keys": {checked: true}, "list": {...OUTSIDE, clientHeight: 640}};
  globalThis.document = {
    addEventListener: (type, listener) => {
      press = (key, fields = {}) => {
        const event = {key, target: OUTSIDE, preventDefault: () => { event.isTaken = true; }, ...fields};
        listener(event);
        return event.isTaken === true;
      };
    },
    getElementById: (id) => nodes[id] ?? noting(id),
    querySelector: () => dialog,
  };
  app = noting("app", {
    inCluster: false,
    shows: (kind) => kind === undefined || kind === "any" || kind === (app.inCluster ? "cluster" : "pair"),
    pairView: {lens: noting("lens", {isClose: false, scale: 1}), difference: false},
    clusterView: noting("cluster"),
    bulk: noting("bulk"),
    export: noting("export"),
    work: noting("work"),
    selection: {shown: [...Array(30).keys()], placeOf: (pair) => pair},
    pair: 3,
  });
  new Keyboard(app, commandsOf(app));
});

afterEach(() => {
  delete globalThis.document;
});

test("no two commands have the same key", () => {
  const keys = Object.values(commandsOf(app)).flatMap((command) => command.keys);
  assert.equal(new Set(keys).size, keys.length);
});

test("every button of the page has a command", () => {
  const buttons = readFileSync(new URL("index.html", HERE), "utf8").matchAll(/data-command="([^"]+)"/g);
  const names = new Set([...buttons].map(([, name]) => name));
  assert.ok(names.size > 15);
  assert.deepEqual([...names].filter((name) => !(name in commandsOf(app))), []);
});

test("the keys do what the documentation says", () => {
  const expected = {
    "1": "app decide 1", "ArrowLeft": "app decide 1", "2": "app decide 2", "ArrowRight": "app decide 2",
    "3": "app decide b", "b": "app decide b", "s": "app decide s", "Enter": "app accept", "a": "app accept",
    "n": "app move 1", "j": "app move 1", " ": "app move 1", "p": "app move -1", "k": "app move -1",
    "Home": "app jump 0", "End": "app jump -1", "z": "lens toggle", "+": "lens zoom 1.5", "c": "app showCluster true",
    "m": "note focus", "t": "app turnTheme", "?": "help showModal", "e": "export open", "l": "file click",
  };
  for (const [key, line] of Object.entries(expected)) {
    done = [];
    assert.ok(press(key), key);
    assert.equal(done[0], line, key);
  }
});

test("Shift and Ctrl make other keys of them", () => {
  press("A", {shiftKey: true});
  press("z", {ctrlKey: true});
  press("z", {metaKey: true});
  press("Z", {ctrlKey: true, shiftKey: true});
  press("?", {shiftKey: true});
  const lines = done.filter((line) => !line.startsWith("app"));
  assert.deepEqual(lines, ["bulk open", "work undo", "work undo", "work redo", "help showModal"]);
});

test("a key that means nothing is left to the browser", () => {
  for (const [key, fields] of [["x"], ["F5"], ["1", {altKey: true}], ["1", {ctrlKey: true}], ["1", {isComposing: true}],
    ["1", {defaultPrevented: true}]]) {
    assert.equal(press(key, fields), false, key);
  }
  assert.deepEqual(done, []);
});

test("keys rest while a dialog is open", () => {
  dialog = {};
  assert.equal(press("1"), false);
  assert.deepEqual(done, []);
});

test("a field takes all keys but Escape", () => {
  assert.equal(press("1", {target: IN_FIELD}), false);
  assert.equal(press("Escape", {target: IN_FIELD}), true);
  assert.deepEqual(done, ["work focus"]);
});

test("a button takes Enter and Space for itself", () => {
  assert.equal(press("Enter", {target: ON_BUTTON}), false);
  assert.equal(press(" ", {target: ON_BUTTON}), false);
  assert.equal(press("1", {target: ON_BUTTON}), true);
  assert.deepEqual(done, ["app decide 1"]);
});

test("a key that is held down decides only once", () => {
  assert.equal(press("1", {repeat: true}), true, "and does not scroll");
  assert.deepEqual(done, []);
  press("n", {repeat: true});
  assert.deepEqual(done, ["app move 1"]);
});

test("single keys that are switched off do nothing", () => {
  nodes["single-keys"].checked = false;
  assert.equal(press("1"), false);
  assert.equal(press("ArrowLeft"), false);
  press("y", {ctrlKey: true});
  assert.deepEqual(done.filter((line) => !line.startsWith("app travel")), ["work redo"]);
});

test("arrows move what is zoomed and decide nothing", () => {
  app.pairView.lens.isClose = true;
  press("ArrowLeft");
  press("ArrowDown");
  assert.deepEqual(done, ["lens pan -0.15 0", "lens pan 0 0.15"]);
});

test("in a cluster digits keep one image and arrows move", () => {
  app.inCluster = true;
  press("9");
  press("ArrowRight");
  press("PageDown");
  press("3");
  assert.deepEqual(done, ["cluster keepCard 8", "cluster moveFocus 1", "cluster turn 1", "cluster keepCard 2"]);
  assert.equal(press("m"), false, "a note is about a pair");
});

test("in the list arrows go from pair to pair", () => {
  const target = nodes.list;
  for (const key of ["ArrowDown", "ArrowUp", "PageDown", "PageUp"]) {
    press(key, {target});
  }
  assert.deepEqual(done, ["app goTo 4", "app goTo 2", "app goTo 12", "app goTo 0"]);
});

test("Escape goes back one thing at a time", () => {
  globalThis.document.body = {classList: {contains: () => false}};
  app.pairView.lens.isClose = true;
  app.inCluster = true;
  press("Escape");
  app.pairView.lens.isClose = false;
  press("Escape");
  assert.deepEqual(done, ["lens reset", "app showCluster false"]);
});

test("keys are written as they stand on a keyboard", () => {
  const keys = ["a", "Shift+a", "Ctrl+Shift+z", "+", "ArrowLeft", "PageUp"];
  assert.deepEqual(keys.map(written), ["a", "Shift+A", "Ctrl+Shift+Z", "+", "←", "Page ↑"]);
  assert.equal(keyName({key: "Enter", shiftKey: true}), "Shift+Enter");
  assert.equal(keyName({key: "?", shiftKey: true}), "?");
});
