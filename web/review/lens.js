// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Zoom, the same on both sides.

const LARGEST = 12;
const CLOSE = 3;

export class Lens {
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
