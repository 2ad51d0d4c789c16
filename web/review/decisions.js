// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Decisions and their fields.

export const PENDING = "";
export const LEFT = "1";
export const RIGHT = "2";
export const BOTH = "b";
export const SKIP = "s";

export const FIELDS = {
  [PENDING]: {needsReview: true, reviewStatus: "pending", isDuplicate: null, keepImage: null},
  [LEFT]: {needsReview: false, reviewStatus: "approved", isDuplicate: true, keepImage: "image1"},
  [RIGHT]: {needsReview: false, reviewStatus: "approved", isDuplicate: true, keepImage: "image2"},
  [BOTH]: {needsReview: false, reviewStatus: "rejected", isDuplicate: false, keepImage: "both"},
  [SKIP]: {needsReview: true, reviewStatus: "skipped", isDuplicate: null, keepImage: null},
};
export const WORDS = {
  [PENDING]: "Undecided", [LEFT]: "Left kept", [RIGHT]: "Right kept", [BOTH]: "Different", [SKIP]: "Skipped",
};
const OF_KEPT_IMAGE = {image1: LEFT, image2: RIGHT, both: BOTH};

// The decision that a match's fields carry; undefined where they contradict each other.
export function decisionIn(match) {
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
