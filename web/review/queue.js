// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The queue.

import {LEFT, PENDING, RIGHT, decisionIn} from "./decisions.js";
import {collect, isObject, numberIn, textIn} from "./values.js";

const PREVIEW = /^images\/[0-9A-Za-z][0-9A-Za-z._-]*$/;

function readImage(raw) {
  const image = isObject(raw) ? raw : {};
  const preview = textIn(image.preview);
  const path = textIn(image.path);
  return {
    path,
    name: textIn(image.filename) || path,
    width: numberIn(image.width),
    height: numberIn(image.height),
    bytes: numberIn(image.bytes),
    format: textIn(image.format),
    date: textIn(image.modifiedAt),
    preview: PREVIEW.test(preview) ? preview : null,
    noPreview: reasonWithoutPreview(preview, image),
  };
}

function reasonWithoutPreview(preview, image) {
  if (preview) {
    return PREVIEW.test(preview) ? "" : "This page opens pictures of its own images folder only.";
  }
  return numberIn(image.width) === null
    ? "The file could not be read when the queue was exported."
    : "The queue was exported without this picture.";
}

function readPair(raw, place, index) {
  const left = readImage(raw.image1);
  const right = readImage(raw.image2);
  return {
    index,
    place,
    id: raw.id,
    left,
    right,
    distance: numberIn(raw.hammingDistance),
    vertical: numberIn(raw.verticalDistance),
    confidence: numberIn(raw.confidence) ?? 0,
    proposed: raw.proposedKeep === "image1" ? LEFT : raw.proposedKeep === "image2" ? RIGHT : null,
    reason: textIn(raw.proposedReason),
    isSameFile: raw.sameFile === true,
    cluster: raw.cluster ?? `of ${raw.id}`,
    words: [left.path, left.name, right.path, right.name].join("\n").toLowerCase(),
    decision: decisionIn(raw) ?? PENDING,
    note: textIn(raw.reviewNotes),
  };
}

export class Queue {
  constructor(text) {
    this.text = text;
    const value = JSON.parse(text);
    if (!isObject(value) || !Array.isArray(value.matches)) {
      throw new TypeError("there is no list of matches in it");
    }
    this.library = textIn(value.library);
    this.exportedAt = textIn(value.exportedAt);
    this.instructions = textIn(value.reviewInstructions);
    this.total = numberIn(value.totalMatches) ?? value.matches.length;
    this.refuted = numberIn(value.refutedMatches) ?? 0;
    this.pairs = [];
    this.byId = new Map();
    this.clusters = new Map();
    value.matches.forEach((match, place) => this.add(match, place));
    this.unreadable = value.matches.length - this.pairs.length;
  }

  add(match, place) {
    if (!isObject(match) || typeof match.id !== "string" || this.byId.has(match.id)) {
      return;
    }
    const pair = readPair(match, place, this.pairs.length);
    this.pairs.push(pair);
    this.byId.set(pair.id, pair);
    collect(this.clusters, pair.cluster, pair);
  }

  clusterOf(pair) {
    return this.clusters.get(pair.cluster);
  }
}
