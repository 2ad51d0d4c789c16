# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many edits and how many false duplicates the matching finds, before and after confirmation, beside other tools.

    PYTHONPATH=.ansible/collections .venv/bin/python tests/bench/bench_truth.py [PHOTOS] [--half] [--cache FILE.npz]

PHOTOS is a folder of photographs, best a few hundred that have nothing to do with each other. Without it a few pictures are drawn,
which shows that the bench works: drawn pictures are more different from each other than photographs are, so the figures mean little.
The output is Markdown. ImageHash and imagededup are measured on the same files if they are installed.
"""
from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import (
    confirmed_matches,
    difference_hash,
    hamming_search,
    image_similarity,
)
from bench_matching import timed
from numpy.typing import NDArray
from truth_data import GENERATED, HALVES, MIRRORED, QUARTER, UNEDITED, WHOLE, Numbers, Pictures, load
from truth_edits import EDITS

Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
Luma = NDArray[np.uint8]

THRESHOLD = 10  # the default of dhash_threshold and of imagededup
WIDEST = 15  # the default of dhash_review_max_distance
DRAWS = 20
DRAWN_EDITS = 3  # of each photograph, in a library
LIBRARY = 6720  # 840 photographs, four quarters and three edits of each
ORDINARY = ("JPEG 30", "JPEG 10", "half size", "thumbnail", "double size", "squeezed", "contrast 0.6", "brightness 1.3",
            "blur 2", "WebP", "GIF", "grey", "caption")
FIELD = 18  # pixels, in width and height, of a random field
UNRELATED = {"as of photographs": 1.67, "as of quarters": 1.9}  # slopes of the fields' spectra, for the rates of near pairs of either


class Hashed(NamedTuple):
    """What matching and confirmation know of some pictures. ``flat``: not matched."""

    pictures: Pictures
    horizontal: Hashes
    vertical: Hashes
    flat: Flags
    signatures: NDArray[np.int16]


class Pairs(NamedTuple):
    """Pairs of pictures, as positions. ``same``: of one photograph. ``confidence``: in hundredths."""

    one: Numbers
    other: Numbers
    distance: Numbers
    same: Flags
    confirmed: Flags
    confidence: Numbers
    identical: Flags

    @property
    def close(self) -> Flags:
        return self.distance <= THRESHOLD


class Tally:
    """The duplicates of several libraries.

    ``different``: the groups of the pairs of pictures that gave false records, and ``sources`` their photographs.
    """

    def __init__(self) -> None:
        self.false: list[int] = []
        self.edits: list[int] = []
        self.different: set[tuple[int, int]] = set()
        self.sources: set[int] = set()


def hash_pictures(pictures: Pictures) -> Hashed:
    across, down = pictures.luma[:, :72], pictures.luma[:, 72:]
    return Hashed(pictures, difference_hash.horizontal(across), difference_hash.vertical(down), difference_hash.low_detail(across),
                  image_similarity.signature(pictures.luma))


def near(hashes: Hashes, chosen: Flags, most: int) -> tuple[Numbers, Numbers, Numbers]:
    """Every pair of chosen pictures within ``most`` bits: positions, other positions, distances."""
    at = np.flatnonzero(chosen)
    radii, split = np.full(len(at), most, np.uint8), hamming_search.cheapest_split(len(at), most)
    found = [np.empty((3, 0), np.int64)]
    found += [np.stack(some).astype(np.int64) for some in hamming_search.pairs_within(hashes[at], radii, split, once=True)]
    one, other, distance = np.concatenate(found, axis=1)
    return at[np.minimum(one, other)], at[np.maximum(one, other)], distance


def is_undecided(pictures: Pictures, one: Numbers, other: Numbers) -> Flags:
    """Whether the pair is a photograph and its own mirror image: not copies, and yet alike where the photograph is symmetric."""
    whole = pictures.kind != QUARTER
    mirrored = (pictures.source[one] == pictures.source[other]) & (pictures.group[one] != pictures.group[other])
    undecided: Flags = mirrored & whole[one] & whole[other]
    return undecided


def find_pairs(hashed: Hashed) -> Pairs:
    pictures = hashed.pictures
    one, other, distance = near(hashed.horizontal, ~hashed.flat, WIDEST)
    decided = ~is_undecided(pictures, one, other)
    one, other, distance = one[decided], other[decided], distance[decided]
    similarity = image_similarity.similarity(hashed.signatures[one], hashed.signatures[other])
    identical = (pictures.luma[one] == pictures.luma[other]).all(axis=1)
    confidence = np.where(identical, image_similarity.IDENTICAL, image_similarity.confidence_of(similarity))
    return Pairs(one, other, distance, pictures.group[one] == pictures.group[other],
                 image_similarity.is_confirmed(similarity), confidence, identical)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(row)} |")
    print()


def report_edits(hashed: Hashed) -> None:
    """How many copies of a picture are found, with each edit."""
    kind, edit = hashed.pictures.kind, hashed.pictures.edit
    print(f"## Edits\n\nThreshold: share of the copies of photographs and their mirror images that are within {THRESHOLD} bits of the original. "
          "Confirmed: share\nthat is also confirmed. Kept: the second share, of the first one. Other tools: share within "
          f"{THRESHOLD} bits of their hashes.\n")
    originals = np.maximum.accumulate(np.where(edit == UNEDITED, np.arange(len(edit)), 0))
    of_photographs = np.isin(kind, (WHOLE, MIRRORED)) & (edit != UNEDITED)
    of_generated = (kind == GENERATED) & (edit != UNEDITED)
    rows = [edit_row(hashed, originals, name, of_photographs & (edit == number)) for number, name in enumerate(EDITS)]
    rows += [edit_row(hashed, originals, "**all**", of_photographs),
             edit_row(hashed, originals, "**all, of generated pictures**", of_generated)]
    table(["Edit", "Copies", "Threshold", "Confirmed", "Kept", *hashed.pictures.tools], rows)


def edit_row(hashed: Hashed, originals: Numbers, name: str, chosen: Flags) -> list[str]:
    copies = np.flatnonzero(chosen & ~hashed.flat & ~hashed.flat[originals])
    originals = originals[copies]
    found = hamming_search.distances(hashed.horizontal[copies], hashed.horizontal[originals]) <= THRESHOLD
    similarity = image_similarity.similarity(hashed.signatures[copies], hashed.signatures[originals])
    confirmed = found & image_similarity.is_confirmed(similarity)
    hashes = hashed.pictures.others
    others = (hamming_search.distances(hashes[copies], hashes[originals]) <= THRESHOLD).mean(axis=0)
    return [name, f"{len(copies):,}", f"{found.mean():.3f}", f"{confirmed.mean():.3f}",
            f"{confirmed.sum() / max(int(found.sum()), 1):.4f}", *(f"{share:.3f}" for share in others)]


def report_false_pairs(hashed: Hashed, pairs: Pairs) -> None:
    """How many pairs of unrelated pictures are within the threshold."""
    print(f"## False pairs\n\nPairs within {THRESHOLD} bits per million pairs of different pictures without edits, and their number.\n")
    rows = []
    for title, kinds in (("photographs and their mirror images", (WHOLE, MIRRORED)), ("quarters", (QUARTER,)),
                         ("generated", (GENERATED,)), ("all", (WHOLE, MIRRORED, QUARTER, GENERATED))):
        chosen = np.isin(hashed.pictures.kind, kinds) & (hashed.pictures.edit == UNEDITED) & ~hashed.flat
        rows.append(false_pairs_row(hashed, pairs, title, chosen))
    table(["Pictures", "Pairs", "Threshold", "Confirmed", f"Both distances ≤ {2 * THRESHOLD}", *hashed.pictures.tools], rows)


def false_pairs_row(hashed: Hashed, pairs: Pairs, title: str, chosen: Flags) -> list[str]:
    total = int(chosen.sum()) * (int(chosen.sum()) - 1) // 2
    false = ~pairs.same & pairs.close & chosen[pairs.one] & chosen[pairs.other]
    vertical = hamming_search.distances(hashed.vertical[pairs.one], hashed.vertical[pairs.other])
    numbers = [false.sum(), (false & pairs.confirmed).sum(), (false & (pairs.distance + vertical <= 2 * THRESHOLD)).sum()]
    for hashes in hashed.pictures.others.T:
        one, other, _distance = near(np.ascontiguousarray(hashes), chosen, THRESHOLD)
        numbers.append((~is_undecided(hashed.pictures, one, other)).sum())
    return [title, f"{total:,}", *(f"{number / total * 1e6:.1f} ({number:,})" for number in numbers)]


def report_libraries(hashed: Hashed, pairs: Pairs) -> None:
    """Duplicates in libraries of photographs, quarters and edits, and the share of true pairs by confidence."""
    names = [*EDITS]
    kinds_of_edits = {"ordinary edits": ORDINARY, "all edits but the vignette": [name for name in names if name != "vignette"],
                      "all edits": names}
    rows, curves = [], {}
    for title, allowed in kinds_of_edits.items():
        drawn = np.isin(hashed.pictures.edit, [names.index(name) for name in allowed])
        libraries = [draw_library(hashed, drawn, seed) for seed in range(DRAWS)]
        rows.append([title, *library_cells(hashed.pictures, pairs, libraries)])
        curves[title] = [inside for inside, _rank in libraries]
    print(f"## Libraries\n\nRecords of {DRAWS} libraries, on average. A library has the photographs, their mirror images, the quarters of both, "
          f"and {DRAWN_EDITS} edits of each\nphotograph and mirror image, in random order. A record is the nearest earlier image within {THRESHOLD} "
          "bits. The same few pairs of pictures give\nfalse records in most libraries: Different is their number in all libraries together, "
          "whatever the edit, and from how many photographs.\n")
    table(["Library", "Images", "False records", "confirmed", "times fewer", "Different", "confirmed", "Edits found", "confirmed", "kept"], rows)
    print(f"Ordinary edits are {', '.join(ORDINARY)}.\n\n## Calibration\n\nShare of true pairs by confidence, in a library of {LIBRARY:,} images. "
          "In brackets: how many different true and false pairs the\nshare is computed from, without pairs that have the same 144 pixels.\n")
    for title, chosen in curves.items():
        report_calibration(title, pairs, chosen)


def draw_library(hashed: Hashed, drawn: Flags, seed: int) -> tuple[Flags, Numbers]:
    """Which pictures are in the library, and the place of each."""
    pictures, rng = hashed.pictures, np.random.default_rng(seed)
    inside = pictures.edit == UNEDITED
    for group in np.unique(pictures.group[pictures.edit != UNEDITED]):
        edits = np.flatnonzero((pictures.group == group) & drawn)
        inside[rng.choice(edits, DRAWN_EDITS, replace=False)] = True
    return inside & ~hashed.flat & (pictures.kind != GENERATED), rng.permutation(len(inside))


def library_cells(pictures: Pictures, pairs: Pairs, libraries: Sequence[tuple[Flags, Numbers]]) -> list[str]:
    copies = pairs.same & ((pictures.edit[pairs.one] == UNEDITED) | (pictures.edit[pairs.other] == UNEDITED))
    groups = np.sort(np.stack((pictures.group[pairs.one], pictures.group[pairs.other])), axis=0)
    plain, confirmed = Tally(), Tally()
    for inside, rank in libraries:
        rule = pairs.close & inside[pairs.one] & inside[pairs.other]
        for tally, allowed in ((plain, rule), (confirmed, rule & pairs.confirmed)):
            records = nearest_earlier(pairs, allowed, rank)
            false = records[~pairs.same[records]]
            tally.false.append(len(false))
            tally.edits.append(int((allowed & copies).sum()))
            tally.different.update(zip(*groups[:, false].tolist()))
            tally.sources.update(pictures.source[pairs.one[false]].tolist(), pictures.source[pairs.other[false]].tolist())
    before, after = np.mean(plain.false), np.mean(confirmed.false)
    found, kept = np.mean(plain.edits), np.mean(confirmed.edits)
    return [f"{np.mean([inside.sum() for inside, _rank in libraries]):,.0f}", f"{before:.2f}", f"{after:.2f}",
            f"{before / after:.0f}" if after else "none left", f"{len(plain.different)} of {len(plain.sources)}",
            f"{len(confirmed.different)} of {len(confirmed.sources)}",
            f"{found:.1f}", f"{kept:.1f}", f"{kept / max(found, 1):.4f}"]


def nearest_earlier(pairs: Pairs, allowed: Flags, rank: Numbers) -> Numbers:
    """The records of a library in the order of ``rank``, as positions in ``pairs``."""
    at = np.flatnonzero(allowed)
    one, other = rank[pairs.one[at]], rank[pairs.other[at]]
    later, earlier = np.maximum(one, other), np.minimum(one, other)
    order = np.lexsort((earlier, pairs.distance[at], later))
    return at[order[np.flatnonzero(np.diff(later[order], prepend=-1))]]


def report_calibration(title: str, pairs: Pairs, libraries: Sequence[Flags]) -> None:
    columns = []
    for near_enough in (pairs.close, pairs.distance <= WIDEST, pairs.distance >= 8):
        columns.append(calibration(pairs, near_enough & ~pairs.identical, libraries))
    rows = [[f"{tenth / 10:.1f} to {tenth / 10 + .1:.1f}", *(column[tenth] for column in columns)] for tenth in range(10)]
    table([f"Confidence, {title}", f"within {THRESHOLD} bits", f"within {WIDEST} bits", f"8 to {WIDEST} bits"], rows)


def calibration(pairs: Pairs, rule: Flags, libraries: Sequence[Flags]) -> list[str]:
    """The share of true pairs in each tenth of confidence.

    In a larger library there are as many true pairs to an image, and more false ones: as many to a pair of images.
    """
    weights, seen = np.zeros((2, 10)), np.zeros(len(pairs.one), bool)
    tenth = np.minimum(pairs.confidence // 10, 9)
    for inside in libraries:
        chosen = rule & inside[pairs.one] & inside[pairs.other]
        seen |= chosen
        weights[0] += np.bincount(tenth[chosen & pairs.same], minlength=10)
        weights[1] += np.bincount(tenth[chosen & ~pairs.same], minlength=10) * LIBRARY / inside.sum()
    numbers = [np.bincount(tenth[seen & kind], minlength=10) for kind in (pairs.same, ~pairs.same)]
    return [f"{true / (true + false):.2f} ({some:,} + {others:,})" if true + false else "–"
            for true, false, some, others in zip(*weights, *numbers)]


def report_time(images: int, rounds: int = 4) -> None:
    """How much longer matching takes with confirmation."""
    print(f"## Time\n\nProcessor seconds for {images:,} images, the best of {rounds} runs that alternate. 95 % of the images are unrelated, with as many near "
          "pairs to a pair of images as\nphotographs or quarters have; 5 % are copies with noise.\n")
    rows = []
    for title, power in UNRELATED.items():
        luma = random_library(np.random.default_rng(0), images, power)
        hashes = difference_hash.horizontal(luma[:, :72])
        library = [confirmed_matches.Hashed(f"{hash_:016X}", f"{vertical:016X}", pixels.tobytes()) for hash_, vertical, pixels
                   in zip(hashes.tolist(), difference_hash.vertical(luma[:, 72:]).tolist(), luma)]
        seconds = []
        for _round in range(rounds):
            matched, alone = timed(match_alone, library)
            confirmed, both = timed(confirmed_matches.nearest_earlier, library, THRESHOLD)
            seconds.append((alone, both))
        alone, both = np.min(seconds, axis=0)
        near_pairs = len(near(hashes, np.ones(images, bool), THRESHOLD)[0])
        rows.append([title, f"{near_pairs:,}", f"{len(matched):,}", f"{len(confirmed.later):,}", f"{alone:.2f}", f"{both:.2f}",
                     f"{both / alone:.2f}"])
    table(["Unrelated images", "Near pairs", "Records", "confirmed", "Matching", "with confirmation", "times"], rows)


def match_alone(library: Sequence[confirmed_matches.Hashed]) -> Numbers:
    """The images that have a record without confirmation."""
    hashes = np.array([difference_hash.from_hex(image.dhash) for image in library], np.uint64)
    return hamming_search.nearest_earlier(hashes, THRESHOLD)[0]


def random_library(rng: np.random.Generator, images: int, power: float) -> Luma:
    parts = [random_luma(rng, min(10_000, images - start), power) for start in range(0, images, 10_000)]
    luma = np.concatenate(parts)
    copies, originals = rng.permutation(images)[:2 * (images // 20)].reshape(2, -1)
    noise = rng.normal(0, 6, (len(copies), image_similarity.PIXELS))
    luma[copies] = np.clip(luma[originals] + noise, 0, 255).astype(np.uint8)
    return luma


def random_luma(rng: np.random.Generator, images: int, power: float) -> Luma:
    """The 144 luma pixels of random fields whose amplitude falls with the frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(FIELD)[:, None], np.fft.rfftfreq(FIELD))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(images, FIELD, FIELD))) * frequency ** -power
    field = np.fft.irfft2(spectrum, s=(FIELD, FIELD))
    field = field / field.std(axis=(1, 2), keepdims=True) * 50 + 128
    levels = np.clip(field, 0, 255).astype(np.uint8)
    return np.concatenate((levels[:, 1:-1:2, ::2].reshape(images, -1), levels[:, ::2, 1:-1:2].reshape(images, -1)), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path, help="a folder of photographs")
    parser.add_argument("--half", nargs="?", const="held-out", choices=HALVES,
                        help="every second photograph alone, by name: those that the measure was not fitted to, or those that it was")
    parser.add_argument("--cache", type=Path, help="write what was decoded to this file, or read it if the file exists")
    parser.add_argument("--images", type=int, default=100_000, help="in the libraries that are timed")
    options = parser.parse_args()

    pictures = load(options.photos, options.half, options.cache)
    hashed = hash_pictures(pictures)
    photographs = len(np.unique(pictures.source[pictures.kind == WHOLE]))
    what = "photographs" if options.photos else "drawn pictures, whose figures mean little,"
    print(f"{photographs} {what} make {len(pictures.kind):,} pictures with {len(EDITS)} edits; {hashed.flat.sum()} are too flat to match and "
          f"left out.\nThreshold {THRESHOLD}, numpy {np.__version__}, Pillow {PIL.__version__}, Python {platform.python_version()}.\n")
    pairs = find_pairs(hashed)
    report_edits(hashed)
    report_false_pairs(hashed, pairs)
    report_libraries(hashed, pairs)
    report_time(options.images)


if __name__ == "__main__":
    main()
