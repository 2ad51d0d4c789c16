# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A part of the review page's script: text for people, what a decision is, and the queue."""

from __future__ import annotations

QUEUE = r"""
// ---------------------------------------------------------------- Text for people

const NUMBERS = new Intl.NumberFormat("en-GB");
const HIDDEN_CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const JOINED_EMOJI = /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]$/u;

// Control characters can reorder or hide what stands around them: they are shown, not obeyed.
function visible(text) {
  return text.replace(HIDDEN_CHARACTERS, (character, offset) => {
    const code = character.codePointAt(0);
    if (code === 0x200d && JOINED_EMOJI.test(lastCharacter(text.slice(Math.max(0, offset - 2), offset)))) {
      return character;
    }
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

function lastCharacter(text) {
  return [...text].pop() ?? "";
}

function number(value) {
  return NUMBERS.format(value);
}

function count(value, one, many) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

function percent(confidence) {
  return `${Math.floor(confidence * 1000 + 1e-6) / 10} %`;
}

function size(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  const units = ["kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length);
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[power - 1]}`;
}

function exactSize(bytes) {
  return bytes < 1000 ? size(bytes) : `${size(bytes)} (${number(bytes)} bytes)`;
}

function day(text) {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z$/.exec(text);
  return found ? `${found[1]} ${found[2]} UTC` : visible(text);
}

// ---------------------------------------------------------------- Decisions and their fields

const PENDING = "";
const LEFT = "1";
const RIGHT = "2";
const BOTH = "b";
const SKIP = "s";

const FIELDS = {
  [PENDING]: {needsReview: true, reviewStatus: "pending", isDuplicate: null, keepImage: null},
  [LEFT]: {needsReview: false, reviewStatus: "approved", isDuplicate: true, keepImage: "image1"},
  [RIGHT]: {needsReview: false, reviewStatus: "approved", isDuplicate: true, keepImage: "image2"},
  [BOTH]: {needsReview: false, reviewStatus: "rejected", isDuplicate: false, keepImage: "both"},
  [SKIP]: {needsReview: true, reviewStatus: "skipped", isDuplicate: null, keepImage: null},
};
const WORDS = {
  [PENDING]: "Undecided", [LEFT]: "Left kept", [RIGHT]: "Right kept", [BOTH]: "Different", [SKIP]: "Skipped",
};
const OF_KEPT_IMAGE = {image1: LEFT, image2: RIGHT, both: BOTH};

// The decision that a match's fields carry; undefined where they contradict each other.
function decisionIn(match) {
  if (match.reviewStatus === undefined || match.reviewStatus === "pending") {
    return PENDING;
  }
  if (match.reviewStatus === "skipped") {
    return SKIP;
  }
  const decision = OF_KEPT_IMAGE[match.keepImage];
  const fields = FIELDS[decision];
  const agrees = fields && fields.reviewStatus === match.reviewStatus && fields.isDuplicate === match.isDuplicate;
  return agrees ? decision : undefined;
}

// ---------------------------------------------------------------- The queue

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function collect(lists, key, value) {
  const list = lists.get(key);
  if (list) {
    list.push(value);
  } else {
    lists.set(key, [value]);
  }
}

function textIn(value) {
  return typeof value === "string" ? value : "";
}

function numberIn(value) {
  return Number.isFinite(value) && value >= 0 ? value : null;
}

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

class Queue {
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
"""
