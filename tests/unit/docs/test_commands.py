"""Commands in the sentences of the documents exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex

import pytest

from services.kernel.settings import Settings
from tests.unit.docs.blocks import REPO, pages
from tests.unit.docs.calls import check, parse
from tests.unit.docs.shell import Call

# what was decided at its time may name what is gone; each is a list of words elsewhere
PAGES = [path for path in pages() if path.parent.name != "decisions"]
SYNOPSIS = re.compile(r"[…|]|\[|<|\bFILE\b")


def commands(text: str) -> list[str]:
    """Inline code that calls one of our programs and is whole."""
    calls = [line for line in inline(text) if re.match(r"(kubectl )?harmony( |$)", line)]
    return [line for line in calls if not SYNOPSIS.search(line)]


def inline(text: str) -> list[str]:
    """Inline code, also what two lines part, without variables before it."""
    found = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    lines = [" ".join(each.split()) for each in found]
    return [re.sub(r"^(?:[A-Z_]+=\S+ )+|^\.venv/bin/", "", line) for line in lines]


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


def test_make_knows_what_sentences_call_it_with() -> None:
    calls = {line for path in pages() for line in inline(path.read_text())}
    ours = sorted(line for line in calls if re.match("make [a-z]", line))
    assert len(ours) > 25
    for call in ours:
        arguments = shlex.split(re.sub(r"\bN\b", "7", call))[1:]
        check(Call("make", (*arguments, "DATA=folder", "KEY=private.pem")))


def test_tests_that_are_picked_by_a_word_have_it() -> None:
    calls = {line for path in pages() for line in inline(path.read_text())}
    picked = [line for line in calls if re.search(r"tests/.* -k ", line)]
    assert len(picked) > 5
    for call in picked:
        files = [REPO / name for name in re.findall(r"tests/[\w/]+\.py", call)]
        words = re.findall(r"\w+", call.partition(" -k ")[2])
        tests = " ".join(re.findall(r"def (test_\w+)", "".join(f.read_text() for f in files)))
        missing = [word for word in words if word not in {"or", "and", "not"} and word not in tests]
        assert missing == [], call


def test_a_table_that_is_read_is_there() -> None:
    named = {
        (path.name, table)
        for path in pages()
        for table in re.findall(r"--table ([\w./-]+)", path.read_text())
    }
    assert len(named) > 2
    assert [each for each in sorted(named) if not (REPO / each[1]).is_file()] == []


def test_variables_of_the_environment_are_read_somewhere() -> None:
    pattern = r"\bHARMONY_[A-Z_]*[A-Z]\b"
    sources = [
        p for folder in ("services", "deploy", "tests") for p in (REPO / folder).rglob("*.py")
    ]
    read = {name for path in sources for name in re.findall(pattern, path.read_text())}
    settings = {f"HARMONY_{name.upper()}" for name in Settings.model_fields}
    known = read | settings | {f"{name}_FILE" for name in settings}
    named = {
        (path.name, name) for path in pages() for name in re.findall(pattern, path.read_text())
    }
    assert len(named) > 100
    assert [each for each in sorted(named) if each[1] not in known] == []


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
