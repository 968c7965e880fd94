"""Commands in the sentences of the documents exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.unit.docs.blocks import REPO, pages
from tests.unit.docs.calls import parse

# what was decided at its time may name what is gone; each is a list of words elsewhere
PAGES = [path for path in pages() if path.parent.name != "decisions"]
SYNOPSIS = re.compile(r"[…|]|\[|<|\bFILE\b")


def commands(text: str) -> list[str]:
    """Inline code that calls one of our programs and is whole."""
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    ours = [re.sub(r"^(?:[A-Z_]+=\S+ )+|^\.venv/bin/", "", line.strip()) for line in inline]
    calls = [line for line in ours if re.match(r"(kubectl )?harmony( |$)", line)]
    return [line for line in calls if not SYNOPSIS.search(line)]


def parse_line(call: str) -> None:
    """Parse a call of inline code."""
    program = "kubectl harmony" if call.startswith("kubectl ") else "harmony"
    words = shlex.split(call.removeprefix(program))
    given = ["7" if word in {"ID", "N", "K"} else word for word in words]
    parse(program, given, is_whole=False)


CALLS = [
    (path.relative_to(REPO).as_posix(), call)
    for path in PAGES
    for call in dict.fromkeys(commands(path.read_text()))
]


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_the_command_parses(page: str, call: str) -> None:
    parse_line(call)


def test_commands_are_found_in_many_pages_and_of_both_programs() -> None:
    assert len(CALLS) > 80
    assert len({page for page, _ in CALLS}) > 12
    assert any(call.startswith("kubectl harmony ") for _, call in CALLS)


@pytest.mark.parametrize(
    "wrong",
    [
        "harmony modelz list",
        "harmony models list --all",
        "kubectl harmony explain --json",
        "kubectl harmony pause llama --sometimes",
        "kubectl harmony undo llama",
    ],
)
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing"):
        parse_line(wrong)
