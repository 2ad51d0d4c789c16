// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the browser keeps.

import {isObject} from "./values.js";

// The steps of one library, one entry each, so that a decision writes a few bytes. They name matches by id: a later
// export of the same library finds the decisions of the matches that it still has.
export class Memory {
  constructor(library, storage) {
    this.prefix = `mobius.dhash review ${digest(library)} `;
    this.storage = storage;
    this.full = false;
  }

  read(name) {
    return this.storage?.getItem(this.prefix + name) ?? null;
  }

  // Once a step has not been kept, none is: steps after a gap would not be what was decided.
  write(name, text) {
    if (this.full) {
      return;
    }
    try {
      this.storage?.setItem(this.prefix + name, text);
    } catch {
      this.full = true;
    }
  }

  remove(name) {
    this.storage?.removeItem(this.prefix + name);
  }

  steps() {
    const steps = [];
    for (let step = this.stepAt(0); step; step = this.stepAt(steps.length)) {
      steps.push(step);
    }
    return steps;
  }

  stepAt(place) {
    try {
      const step = JSON.parse(this.read(place));
      return isObject(step) && Array.isArray(step.changes) ? step : null;
    } catch {
      return null;
    }
  }
}

// The store of the window, or null: a browser may refuse to name it, or to write into it.
export function usableStorage(window) {
  try {
    const storage = window.localStorage;
    storage.setItem("mobius.dhash probe", "1");
    storage.removeItem("mobius.dhash probe");
    return storage;
  } catch {
    return null;
  }
}

// FNV-1a, 32 bits: it only keeps the work on different libraries apart.
function digest(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, "0");
}
