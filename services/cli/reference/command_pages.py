"""Pages of all commands: the very text of their `--help`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

WIDTH = 100


def command_page(title: str, program: str, app: typer.Typer) -> str:
    """A page with a heading for each command of a program, in the order of its help."""
    parts = [
        f"# {title}",
        f"Every command has `--help`; this page is made of those of `{program}`.",
    ]
    for name, context in _walk(program, typer.main.get_command(app), None):
        parts += [f"## {name}", f"```text\n{context.get_help().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _walk(name: str, command: Any, parent: Any) -> Iterator[tuple[str, Any]]:
    """Each command's path and context, itself first; the types are Typer's own copy of Click."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = command.context_class(command, info_name=name, parent=parent, **settings)
    yield context.command_path, context
    children: Mapping[str, Any] = getattr(command, "commands", {})
    for child, each in children.items():
        if not each.hidden:
            yield from _walk(child, each, context)
