"""Every fenced block says its language, and is run unless it says why not."""

from __future__ import annotations

from collections import Counter

import pytest
from pygments.lexers import get_lexer_by_name

from tests.unit.docs.blocks import (
    LANGUAGES,
    NOT_RUN,
    PARSED_ONLY,
    REPO,
    TESTED_BY,
    Block,
    all_blocks,
    blocks_in,
    in_language,
)

MOST_NOT_RUN = 0.15


def by_how() -> Counter[str]:
    """Number of blocks by what is done with them."""
    return Counter(block.how or "run or checked" for block in all_blocks())


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES, f"write one of {LANGUAGES} after its fence"
    if block.language == "text":
        said = "text is no code: say `<!-- tested by: tests/… -->` or `<!-- not run: why -->`"
        assert block.how in (TESTED_BY, NOT_RUN), said
    if block.how == TESTED_BY:
        assert (REPO / block.why).exists(), f"no such test: {block.why}"
    elif block.how:
        assert len(block.why.split()) >= 2, "give a reason"


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_the_site_can_colour_it(block: Block) -> None:
    """Sphinx warns of what it cannot, and a warning ends the building of the site."""
    lexer = get_lexer_by_name(block.language)
    lexer.add_filter("raiseonerror")
    assert list(lexer.get_tokens(block.text))


def test_few_blocks_are_not_run() -> None:
    shares = by_how()
    print("\n".join(f"{how}: {n} of {shares.total()}" for how, n in sorted(shares.items())))
    assert shares.total() > 100
    assert shares[NOT_RUN] <= MOST_NOT_RUN * shares.total()


def test_what_is_only_parsed_is_dear_or_not_here() -> None:
    reasons = {block.why for block in all_blocks() if block.how == PARSED_ONLY}
    known = (
        *("benchmark", "engine", "demand", "train", "install", "release", "Postgres", "yours"),
        *("tested by", "a list", "changes", "another project", "anchor"),
    )
    assert [why for why in reasons if not any(word in why for word in known)] == []


def test_no_benchmark_is_run_for_its_page() -> None:
    ours = [block for block in in_language("sh") if not block.how]
    calls = [line for block in ours for line in block.text.splitlines() if "harmony bench" in line]
    assert [line for line in calls if "--from" not in line] == [], "say `parsed only: a benchmark`"


def test_blocks_in_lists_and_their_marks_are_found() -> None:
    listed = "1. Do:\n\n   <!-- not run: no reason -->\n   ```sh\n   a \\\n     b\n   ```\n"
    text = f"{listed}\n```\nc\n```\n"
    first, second = blocks_in("page.md", text)
    assert (first.language, first.text, first.how) == ("sh", "a \\\n  b\n", NOT_RUN)
    assert (first.line, first.why) == (4, "no reason")
    assert (second.language, second.text, second.how) == ("", "c\n", "")
