// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Elements of the page.

import {visible} from "./text.js";

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// Text of the queue: shown as it is, isolated from the direction of what stands around it.
export function fromQueue(text, className = "") {
  return element("bdi", {className, textContent: visible(text)});
}

export function say(node, text) {
  node.hidden = !text;
  node.textContent = text;
}

export function picture(image, alt, settings = {}) {
  if (!image.preview) {
    return placeholder(image.noPreview);
  }
  const node = element("img", {alt, draggable: false, ...settings});
  node.addEventListener("error", () => {
    node.replaceWith(placeholder(`The file ${image.preview} is not beside this page, or is not a picture.`));
  }, {once: true});
  node.src = image.preview;
  return node;
}

export function placeholder(reason) {
  return element("p", {className: "placeholder"}, element("strong", {textContent: "No preview"}), ` ${reason}`);
}

export function isSeen(node) {
  return node.getClientRects().length > 0;
}
