"""Rules of single files and folders: where SQL lives, names, sizes, what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager", "misc", "util", "helper"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FOLDER_FILES = 20


def sources() -> list[Path]:
    files = [
        path
        for package in ("forecaster", "decider", "services")
        for path in sorted((REPO / package).rglob("*.py"))
    ]
    assert files
    return files


@dataclass(frozen=True, slots=True)
class Outline:
    """What the rules look at in one file.

    Attributes:
        imports: Names of modules, and of what is taken from them.
        too_long: Functions of too many lines: line, name and length of each.
        classes: Names of classes.
    """

    imports: frozenset[str]
    too_long: tuple[str, ...]
    classes: tuple[str, ...]


@cache
def outline(path: Path) -> Outline:
    found: set[str] = set()
    too_long, classes = [], []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                too_long.append(f"{node.lineno} {node.name} {length}")
        elif isinstance(node, ast.ClassDef):
            classes.append(node.name)
    return Outline(frozenset(found), tuple(too_long), tuple(classes))


def test_sql_only_in_repositories_and_the_kernel() -> None:
    wrong = []
    for path in sources():
        relative = path.relative_to(REPO).as_posix()
        is_home = "repository" in path.stem or relative.startswith("services/kernel/")
        if is_home:
            continue
        bad = {
            name
            for name in outline(path).imports
            if name.startswith("services.kernel.db.schema") or name in {"sqlalchemy.text"}
        }
        if bad and path.stem not in {"translate", "store"}:
            wrong.append(f"{relative}: {sorted(bad)}")
    assert wrong == []


def test_no_module_is_named_for_nothing() -> None:
    assert [str(path) for path in sources() if path.stem in FORBIDDEN_NAMES] == []


def test_sizes() -> None:
    wrong = []
    for path in sources():
        text = path.read_text()
        if "migrations/versions" in path.as_posix():
            continue
        n_lines = text.count("\n")
        if n_lines > MAX_FILE_LINES:
            wrong.append(f"{path.relative_to(REPO)}: {n_lines} lines")
        wrong += [f"{path.relative_to(REPO)}:{said}" for said in outline(path).too_long]
    assert wrong == []


def test_no_folder_is_crowded_and_none_holds_a_single_module() -> None:
    n_files: Counter[str] = Counter()
    for path in sources():
        if path.stem != "__init__" and "migrations" not in path.parts:
            n_files[path.relative_to(REPO).parent.as_posix()] += 1
    crowded = {folder: n for folder, n in n_files.items() if n + 1 > MAX_FOLDER_FILES}
    assert crowded == {}
    assert [folder for folder, n in n_files.items() if n == 1] == []


def test_a_class_name_stands_in_one_module_or_in_its_importers() -> None:
    homes: dict[str, list[Path]] = {}
    for path in sources():
        for name in outline(path).classes:
            homes.setdefault(name, []).append(path)
    wrong = []
    for name, paths in homes.items():
        for one, other in combinations(sorted(set(paths)), 2):
            if not (is_imported(one, other) or is_imported(other, one)):
                wrong.append(f"{name}: {one.relative_to(REPO)}, {other.relative_to(REPO)}")
    assert wrong == []


def is_imported(module: Path, by: Path) -> bool:
    """Check whether a file imports a module."""
    return ".".join(module.relative_to(REPO).with_suffix("").parts) in outline(by).imports


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("decider", "pymc"), ("services.cli", "torch"), ("services.worker.run", "torch")],
)
def test_importing_stays_light(module: str, heavy: str) -> None:
    code = f"import {module}, sys; sys.exit('{heavy}' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False)
    assert result.returncode == 0, f"import {module} loads {heavy}"


def test_a_wrong_file_is_named_before_what_is_dear_is_loaded() -> None:
    """`harmony backtest` with a misspelt path: to load the network's library takes seconds."""
    code = (
        "import sys; sys.argv = ['harmony', 'backtest', 'no.csv']\n"
        "from services.cli.application import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "False\n"), result.stderr
