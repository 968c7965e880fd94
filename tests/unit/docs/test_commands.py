"""Commands in the documents exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli import application
from services.cli.kubectl import application as kubectl

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("../README.md", "operations.md", "kubectl.md", "presets.md")
PROGRAMS = {"harmony": application.app, "kubectl harmony": kubectl.app}


def commands(page: str) -> list[str]:
    """Shell lines of code blocks, and inline code, that call one of the programs."""
    text = (DOCS / page).read_text().replace("\\\n", " ")
    blocks = re.findall(r"```\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    found = []
    for line in lines:
        _, dashes, inner = line.partition(" -- harmony ")
        bare = re.sub(r"^(?:[A-Z_]+=\S+ )+|^\.venv/bin/", "", line.strip())
        call = f"harmony {inner}" if dashes else bare
        if re.match(r"(kubectl )?harmony( |$)", call):
            found.append(re.split(r"\s+#|\s\|\s", call)[0].strip())
    return found


def parse(call: str) -> None:
    """Parse a call to its last option without running it."""
    program = "kubectl harmony" if call.startswith("kubectl ") else "harmony"
    command: Any = typer.main.get_command(PROGRAMS[program])
    words = shlex.split(call.removeprefix(program))
    words = ["7" if word == "ID" else word.strip("[]") for word in words if word != "…"]
    context = None
    while hasattr(command, "resolve_command") and words:
        context = command.make_context(program, list(words), parent=context)
        _, command, words = command.resolve_command(context, words)
    if not hasattr(command, "resolve_command"):
        command.make_context(command.name, words, parent=context).close()


CALLS = [(page, call) for page in PAGES for call in commands(page)]


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_the_command_parses(page: str, call: str) -> None:
    parse(call)


def test_commands_are_found_in_the_pages_and_of_both_programs() -> None:
    calls = [call for _, call in CALLS]
    assert len(calls) > 40
    for verb in ("explain", "diff", "history", "approve", "reject", "pause", "resume"):
        assert any(call.startswith(f"kubectl harmony {verb}") for call in calls), verb
    assert any(call.startswith("harmony models roll-back --reason") for call in calls)


@pytest.mark.parametrize(
    "wrong",
    [
        "harmony modelz list",
        "harmony models list --all",
        "kubectl harmony explain",
        "kubectl harmony pause llama --sometimes",
        "kubectl harmony undo llama",
    ],
)
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing"):
        parse(wrong)
