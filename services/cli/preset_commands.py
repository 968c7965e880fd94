"""Commands of the presets of metrics: `presets list`, `show`, `check`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli import preset_report as report, preset_rows as rows
from services.cli.output import console, print_json
from services.cli.preset_page import fetch_page
from services.kernel.clock import SystemClock
from services.kernel.domain.presets import (
    GOAL_WORDS,
    PRESETS,
    Goal,
    Preset,
    find_preset,
    fit_preset,
    preset_indicators,
)
from services.kernel.errors import InvalidInput

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="Name of the preset, as `presets list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    presets = typer.Typer(
        no_args_is_help=True,
        help="Metrics of common GPU serving programs: which there are, and what a page has.",
    )
    presets.command("list")(list_presets)
    presets.command()(show)
    presets.command()(check)
    app.add_typer(presets, name="presets")


def list_presets(as_json: AsJson = False) -> None:
    """Show the presets: the program, where it is measured, what a promise can be made on."""
    if as_json:
        print_json([rows.summary(preset) for preset in PRESETS.values()])
    else:
        report.print_summaries(list(PRESETS.values()))


def show(
    name: Name,
    namespace: Annotated[
        str | None, typer.Option(help="Namespace of the workload; without it $namespace is left.")
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option(help="What its pods' names begin with, its Deployment's; else $pod is left."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a preset's indicators as YAML for `spec.indicators` of a GPUAutoscaler.

    Bucket edges, counters of lost requests and what must be switched on stand in comments above.
    `$step` stays: it is the length of a step, which is filled in with each query.
    """
    preset = _find(name)
    try:
        indicators = preset_indicators((name,), namespace, () if workload is None else (workload,))
    except ValueError as error:
        raise InvalidInput(f"--{error}") from error
    if as_json:
        found = rows.summary(preset)
        found["indicators"] = [rows.indicator_row(indicator) for indicator in indicators]
        print_json({**found, "goals": rows.goal_rows(preset), "losses": rows.loss_rows(preset)})
    else:
        sys.stdout.write(report.as_yaml(preset, indicators))


def check(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Page, e.g. http://127.0.0.1:8000/metrics.")
    ],
    name: Annotated[str | None, typer.Argument(help="Preset; default: those that it fits.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Goal and threshold, e.g. ttft=500ms; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a program for its metrics: which presets fit, what is there, what is missing.

    With --threshold it names the bucket edges next to it: a share of requests is a number at an
    edge, and an interval between two. Exit status 1 when no preset fits, or not the one named.
    """
    asked = [_find(name)] if name is not None else list(PRESETS.values())
    thresholds_s = read_thresholds(threshold or [])
    page = fetch_page(url, SystemClock())
    fits = [fit_preset(preset, page, thresholds_s) for preset in asked]
    shown = [fit for fit in fits if fit.is_fit or name is not None]
    if as_json:
        found = [rows.fit_row(fit) for fit in shown]
        print_json({"url": url, "n_metrics": len(page.samples), "presets": found})
    elif shown:
        for fit in shown:
            report.print_fit(fit)
    else:
        console.print(
            f"none of {len(asked)} presets fits this page of {len(page.samples)} metrics; "
            "`harmony presets check URL NAME` says what one of them misses"
        )
    if not any(fit.is_fit for fit in shown):
        raise typer.Exit(1)


def read_thresholds(texts: list[str]) -> dict[Goal, float]:
    """The thresholds of `--threshold`, in seconds, each goal once.

    Raises:
        InvalidInput: One names no goal, no duration, or a goal a second time.
    """
    from services.operator.resource.quantities import parse_duration_s

    goals: dict[str, Goal] = {goal: goal for goal in GOAL_WORDS}
    found: dict[Goal, float] = {}
    for text in texts:
        word, _, duration = text.partition("=")
        goal = goals.get(word)
        if goal is None:
            raise InvalidInput(
                f"--threshold={text}: must be one of {', '.join(goals)} and a duration, "
                "e.g. ttft=500ms"
            )
        if goal in found:
            raise InvalidInput(f"--threshold={text}: each goal once")
        try:
            found[goal] = parse_duration_s(duration)
        except ValueError as error:
            raise InvalidInput(f"--threshold={text}: {error}") from error
        if found[goal] <= 0:
            raise InvalidInput(f"--threshold={text}: must be longer than 0")
    return found


def _find(name: str) -> Preset:
    try:
        return find_preset(name)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
