"""The README is short and plain, its links lead somewhere, and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

REPO = Path(__file__).parents[3]
MAX_WORDS = 900
MAX_MEDIAN_SENTENCE_WORDS = 16
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("docs/benchmarks/*.md")])


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.S)


def words(text: str) -> list[str]:
    return [word for word in text.split() if re.search(r"\w", word)]


def sentences(text: str) -> list[str]:
    """Sentences of paragraphs and lists; tables and headings have none."""
    lines = [line for line in prose(text).splitlines() if not re.match(r"[|#!]", line)]
    plain = re.sub(r"\]\([^)]*\)|[*`\[\]]", "", "\n".join(lines))
    parts = re.split(r"(?<=[.:?!])\s+|\n\s*\n|\n\* ", plain)
    return [part for part in parts if len(words(part)) > 1]


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)#]+)[^)]*\)", prose(page.read_text()))
    return [link for link in found if "://" not in link]


def is_there(file: str, test: str) -> bool:
    """A file or folder of tests, and a test in it where one is named."""
    path = REPO / file
    names = test.split("::") if test else []
    return path.exists() and all(re.search(rf"(def|class) {n}\b", path.read_text()) for n in names)


def test_it_is_short() -> None:
    assert len(words(prose((REPO / "README.md").read_text()))) <= MAX_WORDS


def test_its_sentences_are_short() -> None:
    lengths = [len(words(sentence)) for sentence in sentences((REPO / "README.md").read_text())]
    assert len(lengths) > 20
    assert median(lengths) <= MAX_MEDIAN_SENTENCE_WORDS


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_its_links_lead_somewhere(name: str) -> None:
    page = REPO / name
    missing = [link for link in links(page) if not (page.parent / link).exists()]
    assert missing == []


def test_every_page_is_listed() -> None:
    index = REPO / "docs/index.md"
    listed = {(index.parent / link).resolve() for link in links(index)}
    pages = {*REPO.glob("docs/*.md"), *REPO.glob("docs/benchmarks/*.md")} - {index}
    assert sorted(page.name for page in pages - listed) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_a_test_that_a_page_names_exists(page: Path) -> None:
    found = re.finditer(r"\b(tests/[\w/]*\w(?:\.py)?)(?:::(\w+(?:::\w+)?))?", page.read_text())
    missing = [match[0] for match in found if not is_there(match[1], match[2] or "")]
    assert missing == []


def test_a_file_that_a_page_names_exists() -> None:
    pattern = r"\b(?:services|forecaster|decider|deploy|helm|tests)/[a-z_0-9/]*\.py\b"
    named = {
        (page.name, file)
        for page in [*PAGES, *REPO.glob("docs/decisions/*.md")]
        for file in re.findall(pattern, page.read_text())
    }
    assert len(named) > 100
    assert sorted(each for each in named if not (REPO / each[1]).exists()) == []
