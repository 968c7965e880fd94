"""The fenced blocks of the documents: what language they are in, and what a test does with each.

A block says how it is tested where that is not by being run: a comment right before it,
`<!-- not run: why -->`, `<!-- parsed only: why -->` or `<!-- tested by: tests/… -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

REPO = Path(__file__).parents[3]
LANGUAGES = ("sh", "yaml", "sql", "promql", "python", "ini", "text")
NOT_RUN, PARSED_ONLY, TESTED_BY = "not run", "parsed only", "tested by"
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<how>not run|parsed only|tested by): (?P<why>[^>]+?) -->\n)?"
    r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[^\n]*)\n"
    r"(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a document.

    Attributes:
        page: Path in the repository.
        line: Where its fence is, from 1.
        language: The word after the fence; empty where there is none.
        text: What it holds, without the indentation of the list that it may stand in.
        how: `not run`, `parsed only`, `tested by`, or empty: it is run.
        why: The reason, or the test.
    """

    page: str
    line: int
    language: str
    text: str
    how: str
    why: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every document of the repository that a reader is led to."""
    tops = [path for path in sorted(REPO.glob("*.md")) if path.name != "CHANGELOG.md"]
    return tops + sorted((REPO / "docs").rglob("*.md"))


def blocks_in(page: str, text: str) -> list[Block]:
    """The blocks of a document's text."""
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("fence")) + 1
        how, why = match["how"] or "", match["why"] or ""
        body = dedent(match["text"])
        found.append(Block(page, line, match["language"].strip(), body, how, why))
    return found


@cache
def all_blocks() -> tuple[Block, ...]:
    """The blocks of all documents, in order."""
    return tuple(
        block
        for page in pages()
        for block in blocks_in(page.relative_to(REPO).as_posix(), page.read_text())
    )


def in_language(*languages: str) -> list[Block]:
    """Blocks that are to be run or parsed, of some languages."""
    ours = (block for block in all_blocks() if block.language in languages)
    return [block for block in ours if block.how not in (NOT_RUN, TESTED_BY)]
