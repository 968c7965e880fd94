"""What ARCHITECTURE.md points to is there."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).parents[3]
TREES = ("services", "forecaster", "decider", "tests", "docs")
PATH = re.compile(r"`((?:" + "|".join(TREES) + r")/[\w./{},-]*)`")


def spelled_out(path: str) -> list[str]:
    """`a/{b,c}/` as `a/b/` and `a/c/`; a placeholder in capitals as one that is there."""
    head, opened, rest = path.replace("FEATURE", "freezes").partition("{")
    inner, _, tail = rest.partition("}")
    return [f"{head}{name}{tail}" for name in inner.split(",")] if opened else [head]


def test_every_path_exists() -> None:
    text = (REPO / "ARCHITECTURE.md").read_text()
    found = [one for path in PATH.findall(text) for one in spelled_out(path)]
    assert len(found) > 30
    assert [path for path in found if not (REPO / path).exists()] == []
