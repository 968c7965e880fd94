"""The `harmony` command: its groups, and how errors end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches

import typer

from services.cli import (
    capacity_commands,
    cell_commands,
    cost_commands,
    pipeline_commands,
    platform_commands,
    preset_commands,
    security_commands,
    study_commands,
)
from services.cli.bench import commands as bench_commands
from services.cli.models import commands as model_commands
from services.cli.output import HELP, Version
from services.cli.usage import USAGE_ERROR, is_help, usage_line
from services.kernel.errors import HarmonyError
from services.kernel.security.printable import without_escapes
from services.kernel.settings import Settings, get_settings
from services.kernel.telemetry import configure_logging

PROGRAM = "harmony"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would keep the line ends of a docstring and wrap them once more
    context_settings=HELP,
    help=(
        "Scales GPU services on Kubernetes ahead of demand, under a stated SLA risk.\n\n"
        "Start with `harmony demo`: the whole platform on a simulated GPU cluster, a day of demand "
        "replayed at speed, and a scoreboard against HPA, trailing percentile, static peak and an "
        "oracle. `harmony backtest FILE` does the comparison on your own trace. `harmony up` keeps "
        "the platform running; `status`, `forecast`, `decide` and `explain` look into it.\n\n"
        "Settings are environment variables HARMONY_…, listed in docs/settings.md. Wrong input "
        "gets one line and exit status 2."
    ),
)


@app.callback(invoke_without_command=True)
def harmony(_version: Version = False) -> None:
    """Options of the program itself; its help is the one above."""


platform_commands.register(app)
pipeline_commands.register(app)
study_commands.register(app)
model_commands.register(app)
capacity_commands.register(app)
cell_commands.register(app)
cost_commands.register(app)
preset_commands.register(app)
security_commands.register(app)
bench_commands.register(app)


def misspelt(names: Iterable[str]) -> list[str]:
    """Variables that read almost like a setting, which nothing would read."""
    known = [f"HARMONY_{name.upper()}" for name in Settings.model_fields]
    found = []
    for name in sorted(set(names) - set(known)):
        is_ours = name.startswith("HARMONY_") and not name.endswith("_FILE")
        close = get_close_matches(name, known, n=1, cutoff=0.9) if is_ours else []
        if close:
            found.append(f"{name} is no setting and is not read; did you mean {close[0]}?")
    return found


def main() -> None:
    """Run the command line; an error the user can act on is one line and exit status 2."""
    try:
        settings = get_settings()
        # what is done is printed; worker and beat, which print nothing, log as they are set
        is_set = "log_level" in settings.model_fields_set
        configure_logging(settings.log_level if is_set else "WARNING", settings.log_format)
        for line in misspelt(os.environ):
            print(f"harmony: {line}", file=sys.stderr)
        status = app(prog_name=PROGRAM, standalone_mode=False)
    except HarmonyError as error:
        said = " ".join(error.message.split())  # a server's own words may be of several lines
        print(f"harmony: {without_escapes(said)}", file=sys.stderr)
        sys.exit(2)
    except USAGE_ERROR as error:
        said = str(error) if is_help(error) else usage_line(error, sys.argv[1:], PROGRAM)
        print(said if is_help(error) else f"{PROGRAM}: {said}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("harmony: stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
