"""A wrong command line in one line, as every other error is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from services.admin.console.forms import in_words

# typer's own errors derive from click's, which newer versions of it carry inside.
USAGE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
_HELP_ASKED = "NoArgsIsHelpError"
"""A group was named without one of its commands: its help is the answer."""


def is_help(error: Exception) -> bool:
    """What the error says is a group's help, and no fault."""
    return type(error).__name__ == _HELP_ASKED


def usage_line(error: Any, arguments: Sequence[str], program: str) -> str:
    """What is wrong, with the option and the value that were given, and where the help is.

    Args:
        error: Of `USAGE_ERROR`.
        arguments: The command line without the program's name.
        program: Its name.
    """
    flags = list(getattr(getattr(error, "param", None), "opts", ()))
    found = _given([flag for flag in flags if flag.startswith("-")], arguments)
    rule = str(error.message)
    words = in_words(rule.removeprefix("Value error, ")).rstrip(".")
    said = f"{found}: {words}" if found else error.format_message().replace(rule, words)
    context = getattr(error, "ctx", None)
    path = program if context is None else context.command_path
    return f"{' '.join(said.split())} (see `{path} --help`)"


def _given(flags: Sequence[str], arguments: Sequence[str]) -> str:
    """An option as it was given, with its value; empty: it is not among the arguments."""
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag not in flags:
            continue
        if equals:
            return f"{flag}={value}"
        if place + 1 < len(arguments):
            return f"{flag}={arguments[place + 1]}"
    return ""
