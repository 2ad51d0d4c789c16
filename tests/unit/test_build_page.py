# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The review page is built from web/review as it is, and what the build does not understand it refuses."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import build_page
import pytest

LICENSE = "".join(f"// {line}\n" for line in build_page.LICENSE) + "\n"


@pytest.fixture
def sources(tmp_path: Path) -> Callable[..., Path]:
    """Writes modules, by name, into a folder that is returned."""
    def write(**modules: str) -> Path:
        for name, text in modules.items():
            (tmp_path / f"{name}.js").write_text(LICENSE + text, encoding="utf-8")
        return tmp_path

    return write


def test_the_shipped_page_is_up_to_date() -> None:
    assert build_page.ASSETS.read_text(encoding="utf-8") == build_page.render(build_page.SOURCES), "run make page"


def test_the_generated_file_holds_nothing_but_constants() -> None:
    tree = ast.parse(build_page.render(build_page.SOURCES))
    values = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert list(values) == ["MARKUP", "STYLE", "SCRIPT"]
    assert all(isinstance(value, ast.Constant) for value in values.values())
    assert len(tree.body) == 2 + len(values), "a docstring and an import before them"


def test_modules_stand_once_behind_their_imports(sources: Callable[..., Path]) -> None:
    folder = sources(main='import {a} from "./a.js";\nimport {b} from "./b.js";\n\na(b);\n',
                     a='import {b, C} from "./b.js";\n\nexport function a() {\n  return b(C);\n}\n',
                     b='export async function b() {}\nexport class C {}\nconst d = 1;\n')
    assert build_page.bundle(folder, "main.js").split("\n\n") == [
        "async function b() {}\nclass C {}\nconst d = 1;", "function a() {\n  return b(C);\n}", "a(b);\n"]


@pytest.mark.parametrize(("modules", "complaint"), [
    ({"main": 'import {a} from "./a.js";\n', "a": 'import {b} from "./b.js";\n', "b": 'import {a} from "./a.js";\n'},
     "a cycle of imports: main.js > a.js > b.js > a.js"),
    ({"main": 'import {a} from "./a.js";\nconst b = 1;\n', "a": "export const a = 1;\nfunction b() {}\n"},
     "a.js and main.js both have b at their top level"),
    ({"main": 'import {a} from "./a.js";\n', "a": "const a = 1;\n"}, "main.js imports a, which a.js does not export"),
    ({"main": 'import * as a from "./a.js";\n'}, "does not understand import * as a"),
    ({"main": 'import {a as b} from "./a.js";\n'}, "does not understand import {a as b}"),
    ({"main": 'import a from "eslint";\n'}, "does not understand import a"),
    ({"main": "export default 1;\n"}, "does not understand export default"),
    ({"main": "const a = 1;\nexport {a};\n"}, "does not understand export {a}"),
    ({"main": "const {a} = window;\n"}, "does not understand const {a}"),
    ({"main": "var a = 1;\n"}, "does not understand var a"),
])
def test_what_the_build_cannot_follow_is_refused(sources: Callable[..., Path], modules: dict[str, Any], complaint: str) -> None:
    with pytest.raises(build_page.SourceError) as refused:
        build_page.bundle(sources(**modules), "main.js")
    assert complaint in str(refused.value)


def test_a_module_without_the_license_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text("const a = 1;\n", encoding="utf-8")
    with pytest.raises(build_page.SourceError, match="license"):
        build_page.bundle(tmp_path, "main.js")


@pytest.mark.parametrize(("file", "text"), [
    ("main.js", '"</p>"'), ("main.js", '"<!--"'), ("main.js", "`" + '"' * 3 + "`"), ("main.js", "// " + "x" * 160),
    ("review.css", "/* </style> */"), ("review.css", "/* <!-- */"), ("index.html", '"' * 3), ("index.html", "<!-- queue -->"),
    ("index.html", '<script type="module" src="main.js"></script>')])
def test_text_that_would_end_its_element_is_refused(tmp_path: Path, file: str, text: str) -> None:
    for source in build_page.SOURCES.iterdir():
        if source.suffix in (".html", ".css", ".js"):
            (tmp_path / source.name).write_bytes(source.read_bytes())
    with (tmp_path / file).open("a", encoding="utf-8") as changed:
        changed.write(f"{text}\n")
    with pytest.raises(build_page.SourceError):
        build_page.render(tmp_path)


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    text = (build_page.SOURCES / "index.html").read_text(encoding="utf-8")
    for part in ("<!-- policy -->", '<link rel="stylesheet" href="review.css">', build_page.QUEUE):
        with pytest.raises(build_page.SourceError, match="once"):
            build_page.markup(text.replace(part, ""))
