// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The queue's own text, with decisions filled in.

// Reading and writing the JSON anew would change its numbers (1.0, 2^60): only five values are exchanged in its text.
class Cursor {
  constructor(text) {
    this.text = text;
    this.tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
    this.end = 0;
    this.advance();
  }

  advance() {
    this.end = this.tokens.lastIndex;
    const found = this.tokens.exec(this.text);
    this.token = found ? found[0] : null;
    this.start = found ? found.index : this.text.length;
  }

  skipValue() {
    let depth = 0;
    do {
      depth += "{[".includes(this.token) ? 1 : "}]".includes(this.token) ? -1 : 0;
      this.advance();
    } while (depth > 0);
  }

  // Whoever takes a step of these two has to move past the value that it stands on.
  * members() {
    this.advance();
    while (this.token !== "}") {
      const name = JSON.parse(this.token);
      this.advance();
      this.advance();
      yield name;
      this.skipComma();
    }
    this.advance();
  }

  * elements() {
    this.advance();
    for (let place = 0; this.token !== "]"; place += 1) {
      yield place;
      this.skipComma();
    }
    this.advance();
  }

  skipComma() {
    if (this.token === ",") {
      this.advance();
    }
  }
}

export class FilledText {
  constructor(text) {
    this.text = text;
    this.cursor = new Cursor(text);
    this.pieces = [];
    this.done = 0;
  }

  // The pieces of the text in which the match at each place has the fields that `fieldsAt(place)` returns, if any.
  fill(fieldsAt) {
    for (const name of this.cursor.members()) {
      if (name === "matches" && this.cursor.token === "[") {
        this.fillMatches(fieldsAt);
      } else {
        this.cursor.skipValue();
      }
    }
    this.pieces.push(this.text.slice(this.done));
    return this.pieces;
  }

  fillMatches(fieldsAt) {
    for (const place of this.cursor.elements()) {
      const fields = this.cursor.token === "{" ? fieldsAt(place) : null;
      if (fields) {
        this.fillMatch(fields);
      } else {
        this.cursor.skipValue();
      }
    }
  }

  fillMatch(fields) {
    const missing = new Set(Object.keys(fields));
    let lastEnd = 0;
    for (const name of this.cursor.members()) {
      const start = this.cursor.start;
      this.cursor.skipValue();
      lastEnd = this.cursor.end;
      if (Object.hasOwn(fields, name)) {
        this.exchange(start, lastEnd, JSON.stringify(fields[name]));
        missing.delete(name);
      }
    }
    for (const name of missing) {
      this.exchange(lastEnd, lastEnd, `, ${JSON.stringify(name)}: ${JSON.stringify(fields[name])}`);
    }
  }

  exchange(start, end, text) {
    this.pieces.push(this.text.slice(this.done, start), text);
    this.done = end;
  }
}
