// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What differs between two images.

import {element} from "./elements.js";
import {day, exactSize, visible} from "./text.js";

export function comparison(left, right) {
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

export function resolution(image) {
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
