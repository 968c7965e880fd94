"""docs/reliability.md names tests that exist, and a whole run prints a row of its log."""

from __future__ import annotations

import ast
import re
from datetime import date
from functools import cache
from pathlib import Path

from tests.run_log import COLUMNS, RunResult, log_line

REPO = Path(__file__).parents[3]
PAGE = (REPO / "docs" / "reliability.md").read_text()
NAMED = re.compile(r"(tests/[\w/]+\.py)(?:::([\w:]+))?")


def test_every_test_that_it_names_exists() -> None:
    found = NAMED.findall(PAGE)
    assert len(found) > 30
    missing = [
        f"{file}::{name}"
        for file, name in found
        if not (REPO / file).is_file() or (name and name not in names_in(REPO / file))
    ]
    assert missing == []


@cache
def names_in(file: Path) -> set[str]:
    """Tests of a file as pytest calls them; one of a class with its class."""
    tree = ast.parse(file.read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    inside = {f"{each.name}::{name}" for each in classes for name in _functions(each.body)}
    return inside | {each.name for each in classes} | _functions(tree.body)


def _functions(body: list[ast.stmt]) -> set[str]:
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_of_the_first_ten_bugs_has_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \|(.+)$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows][:10] == list(range(1, 11))
    assert [number for number, row in rows if "::" not in row] == ["10"]  # of luck: the log


def test_the_line_of_a_run_is_a_row_of_the_log() -> None:
    counts = {"passed": 8044, "failed": 1, "error": 2, "skipped": 49}
    line = log_line(RunResult("not slow", counts, 611.4), date(2026, 11, 27))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == len(COLUMNS)
    assert (cells[0], *cells[3:]) == ("2026-11-27", "`make test`", "8044", "3", "611")
    assert f"| {' | '.join(COLUMNS)} |" in PAGE
    assert log_line(RunResult("", {}, 0.0), date(2026, 1, 1)).count("`pytest`") == 1
