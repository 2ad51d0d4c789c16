// Copyright: (c) 2026, mobius.dhash contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What the runbook's `npm run` commands do, written down once more, without a line of the collection: FFmpeg makes the pixels, Node.js
// the rest. node runbook.js migrate IN OUT THRESHOLD | export IN OUT MINIMUM MAXIMUM
"use strict";
const fs = require("fs");
const path = require("path");
const { execFileSync } = require("child_process");

function luma(file, width, height) {
  const filter = `scale=${width}:${height}:flags=bicubic,format=gray`;
  return execFileSync("ffmpeg", ["-v", "error", "-i", `file:${file}`, "-vf", filter, "-f", "rawvideo", "-"]);
}

function bits(pixels, isDarker) { // bit 0 is the least significant
  let hash = 0n;
  for (let bit = 0; bit < 64; bit++) if (isDarker(pixels, bit >> 3, bit & 7)) hash |= 1n << BigInt(bit);
  return hash;
}

function distance(one, other) {
  let count = 0;
  for (let different = one ^ other; different > 0n; different &= different - 1n) count++;
  return count;
}

function hashes(file) {
  return {
    across: bits(luma(file, 9, 8), (pixels, row, column) => pixels[9 * row + column] < pixels[9 * row + column + 1]),
    down: bits(luma(file, 8, 9), (pixels, row, column) => pixels[8 * row + column] < pixels[8 * (row + 1) + column]),
  };
}

const hex = (hash) => hash.toString(16).toUpperCase().padStart(16, "0");
const read = (file) => JSON.parse(fs.readFileSync(file, "utf8"));
const [command, input, output, ...bounds] = process.argv.slice(2);
const library = read(input);
const found = library.images.map((image) => hashes(path.resolve(path.dirname(input), image.path)));

if (command === "migrate") {
  const duplicates = [];
  library.images.forEach((image, position) => {
    image.dhash = hex(found[position].across);
    image.dhash_generated_at = new Date().toISOString();
    let nearest = null;
    for (let earlier = 0; earlier < position; earlier++) {
      const bitsApart = distance(found[earlier].across, found[position].across);
      if (bitsApart <= Number(bounds[0]) && (nearest === null || bitsApart < nearest.bitsApart)) nearest = { earlier, bitsApart };
    }
    if (nearest === null) return;
    const original = library.images[nearest.earlier];
    const both = nearest.bitsApart + distance(found[nearest.earlier].down, found[position].down);
    duplicates.push({
      original: original.filename, duplicate: image.filename, hash: image.dhash, originalHash: original.dhash,
      hammingDistance: nearest.bitsApart, originalPath: original.path, duplicatePath: image.path,
      confidence: Math.round(Math.max(0, 1 - both / 64) * 100) / 100,
    });
  });
  library.dhash_migration = {
    migration_timestamp: new Date().toISOString(), total_images: library.images.length, processed_successfully: library.images.length,
    processing_errors: 0, duplicates_found: duplicates.length, dhash_threshold: Number(bounds[0]), batch_size: 100, algorithm: "ffmpeg",
  };
  library.dhash_duplicates = duplicates;
  library.dhash_errors = [];
  fs.writeFileSync(output, `${JSON.stringify(library, null, 2)}\n`);
  console.log(`Migration Report\nTotal images: ${library.images.length}\nDuplicates found: ${duplicates.length}`);
} else {
  const [minimum, maximum] = bounds.map(Number);
  let totalMatches = 0;
  found.forEach((one, position) => found.slice(position + 1).forEach((other) => {
    const bitsApart = distance(one.across, other.across);
    if (bitsApart >= minimum && bitsApart <= maximum) totalMatches++;
  }));
  fs.writeFileSync(output, JSON.stringify({ totalMatches }));
}
