// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What values of a JSON text are.

export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function collect(lists, key, value) {
  const list = lists.get(key);
  if (list) {
    list.push(value);
  } else {
    lists.set(key, [value]);
  }
}

export function textIn(value) {
  return typeof value === "string" ? value : "";
}

export function numberIn(value) {
  return Number.isFinite(value) && value >= 0 ? value : null;
}
