# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decode damaged pictures in the workers of a real run.

    fuzz.py [--seed N] [--count N] [--parallel N] [--keep FOLDER]

Prints one line of JSON: how many files were hashed, how many had each kind of error, the peak memory of a worker in bytes, the sandbox that
was in force, and ``findings``: each file of kind crashed or timeout, with its seed. Exit code 1 if there is a finding, if the number of
results is not that of the files, or if a worker took more memory than its limit. Without --seed the first seed is drawn, and 10,000 seeds
are tried; with it one. --keep: keep the files of the findings in this folder, or with one seed its file.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COUNT = 10_000
MEMORY_BYTES = 768 << 20  # a worker that has decoded nothing has 150 MB of address space
PIXELS = 16_000_000
FILE_BYTES = 1 << 20
SECONDS = 20  # such files take milliseconds; the machine may be busy
FINDINGS = ("crashed", "timeout")
PUBLIC = 0o755


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Decode damaged pictures in the workers of a real run.")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args(arguments)
    first = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    result = fuzz(first, options.count or (COUNT if options.seed is None else 1), options.parallel, options.keep)
    print(json.dumps(result))
    return int(bool(result["findings"]) or sum(result["results"].values()) != result["files"] or result["peak_bytes"] > MEMORY_BYTES)


def fuzz(first: int, count: int, parallel: int, keep: Path | None) -> dict[str, Any]:
    """Decode the files of ``count`` seeds from ``first`` on. Errors of the run itself are raised."""
    from ansible_collections.mobius.dhash.plugins.module_utils._errors import ImageError
    from ansible_collections.mobius.dhash.plugins.module_utils._hashing import decoder_limits, decoder_versions, worker_pool

    started = time.monotonic()
    limits = decoder_limits.Limits(SECONDS, FILE_BYTES, PIXELS, MEMORY_BYTES, "nobody")
    results: collections.Counter[str] = collections.Counter()
    findings: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(PUBLIC)  # workers that root starts are another user
        answers = worker_pool.hash_files(_files(folder, range(first, first + count)), "pillow", [str(folder)], limits, parallel)
        for seed, answer in answers:
            outcome = answer.kind if isinstance(answer, ImageError) else "hashed"
            results[outcome] += 1
            file = folder / str(seed)
            if outcome in FINDINGS:
                findings.append({"seed": seed, "kind": outcome, "cause": str(answer), "file": _done(seed)})
            if keep and (outcome in FINDINGS or count == 1):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / str(seed)).write_bytes(file.read_bytes())
            file.unlink()
        sandbox = worker_pool.sandbox_in_force()
    return {"first_seed": first, "files": count, "results": dict(results.most_common()), "findings": findings,
            "peak_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "seconds": round(time.monotonic() - started, 1), "sandbox": sandbox["text"] if sandbox else None,
            "decoders": decoder_versions.versions()}


def _files(folder: Path, seeds: range) -> Iterator[tuple[int, str]]:
    import mutations

    for seed in seeds:
        path = folder / str(seed)
        path.write_bytes(mutations.mutated(seed)[1])
        yield seed, str(path)


def _done(seed: int) -> str:
    import mutations

    return mutations.mutated(seed)[0]


if __name__ == "__main__":
    sys.exit(main())
