# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A thousand damaged files in the workers of a real run, as ``make fuzz`` decodes ten thousand."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import formats_table
import fuzz
import mutations
import pytest
from ansible_collections.mobius.dhash.plugins.module_utils._hashing import image_formats, raw_preview

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEEDS = 1000
PATIENCE = 300  # seconds; an idle machine needs 12


def run(*arguments: object, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the result of fuzz.py."""
    path = os.pathsep.join([str(ROOT / ".ansible" / "collections"), *filter(None, [environment.pop("PYTHONPATH", "")])])
    done = subprocess.run([sys.executable, str(ROOT / "tests" / "unit" / "fuzz.py"), *map(str, arguments)], timeout=PATIENCE, check=False,
                          stdout=subprocess.PIPE, env={**os.environ, **environment, "PYTHONPATH": path})
    result: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, result


def test_thousand_damaged_files_are_hashed_or_documented_errors() -> None:
    code, result = run("--seed", 0, "--count", SEEDS)
    assert (result["findings"], code) == ([], 0), "replay: make fuzz SEED=..."
    assert sum(result["results"].values()) == SEEDS
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert result["results"].keys() - {"hashed"} <= documented
    assert {"hashed", "truncated", "damaged", "unsupported", "too_large", "not_an_image"} <= result["results"].keys()
    assert 0 < result["peak_bytes"] <= fuzz.MEMORY_BYTES


def test_a_decoder_that_crashes_is_a_finding_that_names_its_seed(tmp_path: Path) -> None:
    (tmp_path / "ffmpeg").write_bytes(Path("/bin/true").read_bytes())
    (tmp_path / "ffmpeg").chmod(0o755)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "ffmpeg.py").write_text("import os\nmerge_outputs = None\ndef input(*a, **k): os._exit(77)\n", encoding="ascii")
    seed = next(seed for seed in range(SEEDS) if image_formats.identify(mutations.mutated(seed)[1]) is image_formats.JPEG_XL)
    code, result = run("--seed", seed, "--keep", tmp_path / "kept", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
                       PYTHONPATH=str(tmp_path / "packages"))
    (finding,) = result["findings"]
    assert (code, finding["seed"], finding["kind"], finding["cause"]) == (1, seed, "crashed", "the decoder ended with exit code 77")
    assert (tmp_path / "kept" / str(seed)).read_bytes() == mutations.mutated(seed)[1]


def test_a_seed_gives_the_same_file_in_every_process() -> None:
    code = "import hashlib, mutations; print(*(hashlib.sha256(mutations.mutated(seed)[1]).hexdigest() for seed in range(100)))"
    other = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                           env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "unit"), "PYTHONHASHSEED": "7"})
    digests = [hashlib.sha256(mutations.mutated(seed)[1]).hexdigest() for seed in range(100)]
    assert other.stdout.split() == digests
    assert len(set(digests)) == len(digests)


def test_every_format_has_a_file_that_is_damaged(tmp_path: Path) -> None:
    found = set()
    for content in mutations.corpus().values():
        format_ = image_formats.identify(content[:image_formats.HEAD_BYTES])
        assert format_ is not None
        if format_ is image_formats.TIFF:
            (tmp_path / "file").write_bytes(content)
            with (tmp_path / "file").open("rb") as file:
                format_ = raw_preview.format_of(file, content[:image_formats.HEAD_BYTES]) or format_
        found.add(format_.name)
    assert found == {format_.name for format_ in formats_table._formats()}
