"""`harmony bench fleet`: what a cycle costs, by the size of the fleet and of its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import console, picture, print_rows, read_from, write_json
from services.cli.study_commands import JsonFile, Seed
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.fleet.run import CycleOptions


Size = Annotated[int, typer.Option(min=1, help="Workloads.")]
Days = Annotated[
    float, typer.Option(min=0.1, help="Days that are stored already; 0.5 is half a day.")
]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]
Cycles = Annotated[int, typer.Option(min=1, help="Steps to measure.")]
Step = Annotated[int, typer.Option(min=1, help="Length of a step in seconds.")]
SizeCurve = Annotated[str, typer.Option(help="Sizes of the fleet for a curve: 100,300,1000.")]
DayCurve = Annotated[str, typer.Option(help="Days of history for a curve: 1,7,28.")]
Overload = Annotated[
    float, typer.Option(min=0, help="Then let steps come so many times faster than they fit.")
]
Killing = Annotated[
    bool, typer.Option("--kill", help="Kill all workers in the midst of the overload.")
]
Objectives = Annotated[
    float,
    typer.Option(min=0, max=1, help="Share of the workloads with an objective for requests."),
]
Planned = Annotated[int, typer.Option(min=0, help="Reckon what so many workloads take.")]
Source = Annotated[
    Path | None,
    typer.Option(
        "--from", callback=read_from, help="Show the figures of this file; measure nothing."
    ),
]


def bench_fleet(  # noqa: PLR0913 - one option each
    workloads: Size = 1000,
    history_days: Days = 1,
    workers: Workers = 2,
    cycles: Cycles = 5,
    step: Step = 60,
    sweep: SizeCurve = "",
    days: DayCurve = "",
    overload: Overload = 0.0,
    is_killing: Killing = False,
    objectives: Objectives = 0.0,
    plan: Planned = 0,
    from_file: Source = None,
    seed: Seed = 7,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(callback=picture, help="Write the curves to this PNG.")
    ] = None,
) -> None:
    """Run whole cycles over a stored history through real workers, and measure what they cost.

    Servers, push API and workers are processes of their own; CPU seconds are theirs alone. 200
    workloads with a day of 300 s steps take about a minute. A curve goes on where its --json file
    ends. docs/scale.md explains the figures.
    """
    from services.lab.bench.fleet.points import Curves, load_points
    from services.lab.bench.fleet.run import CycleOptions

    if is_killing and not overload:
        raise InvalidInput("--kill: goes with --overload; give a factor, such as --overload 2")
    options = CycleOptions(
        n_workloads=workloads,
        n_days=history_days,
        n_workers=workers,
        n_cycles=cycles,
        step_s=step,
        overload=overload,
        is_killing=is_killing,
        objectives=objectives,
        seed=seed,
    )
    curves = Curves(options, _numbers("--sweep", sweep), _numbers("--days", days))
    if from_file is not None:
        points = load_points(from_file)
    elif curves.points():
        points = _measure_curves(curves, json_file)
    else:
        document = _measure(options)
        write_json(json_file, document)
        points = [document]
    _show(points, plan, is_markdown)
    if plot is not None:
        from services.lab.bench.fleet.plot import plot_curves

        plot_curves(points, plot)


def _numbers(flag: str, given: str) -> tuple[int, ...]:
    try:
        found = tuple(int(word) for word in given.split(",")) if given else ()
    except ValueError as error:
        raise InvalidInput(f"{flag}={given}: must be whole numbers such as 100,300,1000") from error
    if any(number < 1 for number in found):
        raise InvalidInput(f"{flag}={given}: must be numbers of at least 1")
    return found


def _measure(options: CycleOptions) -> dict[str, Any]:
    from services.kernel.settings import get_settings
    from services.lab.bench.fleet.run import run_fleet

    what = f"{options.n_workloads} workloads, {options.n_days:g} days"
    with console.status(what) as status:
        return run_fleet(options, get_settings(), lambda line: status.update(f"{what}: {line}"))


def _measure_curves(curves: Any, json_file: Path | None) -> list[dict[str, Any]]:
    from services.lab.bench.fleet.points import measure_points

    is_file = json_file is not None and str(json_file) != "-"
    document = measure_points(curves, json_file if is_file else None, _measure)
    if not is_file:
        write_json(json_file, document)
    return list(document["points"])


def _show(points: Sequence[Mapping[str, Any]], n_planned: int, is_markdown: bool) -> None:
    """Tables of what was measured, and of what follows from it."""
    from services.lab.bench.fleet import report
    from services.lab.bench.fleet.points import largest

    shown = largest(points)
    size = f"{shown['workloads']:,} workloads on {shown['history_days']:g} days"
    for name, rows in report.sections(points, n_planned).items():
        print_rows(name if name in ("cycles", "assumed") else f"{name}, {size}", rows, is_markdown)
    for point in points:
        if "overload" in point:
            print_rows("overload", report.overload_rows(point["overload"]), is_markdown)
            for line in report.overload_lines(point["overload"]):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
