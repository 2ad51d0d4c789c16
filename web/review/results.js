// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What decisions come to.

import {BOTH, LEFT, RIGHT} from "./decisions.js";
import {collect} from "./values.js";

export function keptAndLeaving(pair, decision) {
  if (decision === LEFT) {
    return [pair.left, pair.right];
  }
  return decision === RIGHT ? [pair.right, pair.left] : null;
}

// The images of `pairs` by path, each with the paths of those that it gives way to.
export function outcome(pairs, decide) {
  const images = new Map();
  const entry = (image) => {
    if (!images.has(image.path)) {
      images.set(image.path, {image, givesWayTo: []});
    }
    return images.get(image.path);
  };
  for (const pair of pairs) {
    entry(pair.left);
    entry(pair.right);
    const sides = keptAndLeaving(pair, decide(pair));
    if (sides) {
      entry(sides[1]).givesWayTo.push(sides[0].path);
    }
  }
  return images;
}

// What to warn of, as lists of images. The import refuses the first two.
// lost: going from an image that leaves to the one that it leaves for, and on, leads in a circle: none would stay.
// apart: images that leave, in the end, for one that they were judged different from.
// mixed: images that leave, and yet are all that another image leaves for. (Where that one also leaves directly for an
// image that stays, as when a whole cluster comes down to one image, there is nothing to ask.)
export function problemsIn(pairs, decide) {
  if (pairs.length < 2) {
    return {lost: [], apart: [], mixed: []};
  }
  const images = outcome(pairs, decide);
  const ends = endsOf(images);
  const different = judgedDifferent(pairs, decide);
  const stays = (path) => !images.get(path).givesWayTo.length;
  const onlyKept = new Set();
  for (const {givesWayTo} of images.values()) {
    if (!givesWayTo.some(stays)) {
      givesWayTo.forEach((path) => onlyKept.add(path));
    }
  }
  const isLost = ({image, givesWayTo}) => [image.path, ...givesWayTo].some((path) => ends.get(path) === null);
  const isApart = ({image, givesWayTo}) => givesWayTo.some((path) => different.has(`${image.path}\0${ends.get(path)}`));
  const listed = (test) => leavingEntries(images).filter(test).map((entry) => entry.image);
  return {
    lost: listed(isLost),
    apart: listed(isApart),
    mixed: listed((entry) => onlyKept.has(entry.image.path) && !isLost(entry)),
  };
}

// The path that stands for each one in the end, as the import follows them; null where that leads in a circle.
export function endsOf(images) {
  const ends = new Map();
  for (const start of images.keys()) {
    const walk = new Set();
    let path = start;
    while (!ends.has(path) && !walk.has(path) && images.get(path).givesWayTo.length) {
      walk.add(path);
      [path] = images.get(path).givesWayTo;
    }
    const end = ends.has(path) ? ends.get(path) : walk.has(path) ? null : path;
    [...walk, path].forEach((passed) => ends.set(passed, end));
  }
  return ends;
}

function judgedDifferent(pairs, decide) {
  return new Set(pairs.filter((pair) => decide(pair) === BOTH).flatMap(({left, right}) =>
    [`${left.path}\0${right.path}`, `${right.path}\0${left.path}`]));
}

function leavingEntries(images) {
  return [...images.values()].filter((entry) => entry.givesWayTo.length);
}

export function leavingIn(images) {
  return leavingEntries(images).map((entry) => entry.image);
}

// Decisions that bring a cluster down to one image: each pair keeps the image that is fewer pairs away from it.
export function keepOnly(pairs, path) {
  const neighbours = new Map();
  for (const {left, right} of pairs) {
    collect(neighbours, left.path, right.path);
    collect(neighbours, right.path, left.path);
  }
  const order = new Set([path]);
  for (const place of order) {
    (neighbours.get(place) ?? []).forEach((neighbour) => order.add(neighbour));
  }
  const rank = new Map([...order].map((place, steps) => [place, steps]));
  return new Map(pairs.map((pair) => [pair, rank.get(pair.left.path) <= rank.get(pair.right.path) ? LEFT : RIGHT]));
}
