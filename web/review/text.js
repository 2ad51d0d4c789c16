// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Text for people.

const NUMBERS = new Intl.NumberFormat("en-GB");
const HIDDEN_CHARACTERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const JOINED_EMOJI = /^[\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]$/u;

// Control characters can reorder or hide what stands around them: they are shown, not obeyed.
export function visible(text) {
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

export function number(value) {
  return NUMBERS.format(value);
}

export function count(value, one, many) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function percent(confidence) {
  return `${Math.floor(confidence * 1000 + 1e-6) / 10} %`;
}

export function size(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  const units = ["kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length);
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[power - 1]}`;
}

export function exactSize(bytes) {
  return bytes < 1000 ? size(bytes) : `${size(bytes)} (${number(bytes)} bytes)`;
}

export function day(text) {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z$/.exec(text);
  return found ? `${found[1]} ${found[2]} UTC` : visible(text);
}
