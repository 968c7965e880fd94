"""`harmony bench month`: a simulated month, and what Harmony would have saved in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.output import console, picture, print_table, read_from, write_json
from services.cli.study_commands import JsonFile, Seed

if TYPE_CHECKING:
    from services.lab.bench.month.source import Watch

MAX_UPDATES_PER_S = 4.0


def bench_month(  # noqa: PLR0913 - one option each
    workloads: Annotated[
        int, typer.Option(min=0, help="Workloads of the generated fleet; 0: only --data.")
    ] = 24,
    days: Annotated[int, typer.Option(min=1, help="Days to replay, and to scale traces to.")] = 30,
    risk: Annotated[float, typer.Option(help="Promised share of time out of SLA.")] = 0.01,
    seed: Seed = 7,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", callback=read_from, help="Trace: a parquet (docs/traces.md); repeatable."
        ),
    ] = None,
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most steps counted per workload of a trace.")
    ] = 2016,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(callback=picture, help="Write costs and rates to this PNG.")
    ] = None,
) -> None:
    """Replay a month: GPU-hours and dollars saved against static peak, tuned HPA and percentile.

    A generated fleet trains and tunes on 14 days of history, then every policy lives through the
    days on identical demand and start-up luck, in steps of 5 minutes; Harmony with the service's
    defaults, nothing tuned. Each trace adds its counted part as `bench decide` has it, every
    policy as deployed, scaled to the days.

    It stands in for a month in production, with its assumptions printed. A saving at a broken
    promise is marked in its row. 24 workloads for 30 days take about 10 minutes on one core.
    """
    from services.lab.bench.month.run import check_options, load_tasks, run_month
    from services.lab.bench.month.source import MonthOptions

    options = MonthOptions(workloads, days, risk, seed, max_test_steps=max_test_steps)
    check_options(options)
    tasks = load_tasks(data or [], options)
    _one_thread()
    with _progress() as watch:
        document = run_month(tasks, options, watch)
    _print(document, is_markdown)
    write_json(json_file, document)
    if plot is not None:
        from services.lab.bench.month.plot import plot_month

        plot_month(document, plot)


def _print(document: Mapping[str, Any], is_markdown: bool) -> None:
    from services.lab.bench.forecast.report import markdown
    from services.lab.bench.month import report

    for part in report.parts(document):
        title = report.title(part, document["days"])
        rows = report.rows(part, document["promise"])
        if is_markdown:
            console.print(f"\n{title}\n\n{markdown(rows)}\n", soft_wrap=True, markup=False)
        else:
            print_table(title, rows)
        console.print(report.verdict(part, document["promise"]), soft_wrap=True, markup=False)
        if words := report.settings(part):
            console.print(words, soft_wrap=True, markup=False)
    for line in report.assumptions(document):
        console.print(f"* {line}", soft_wrap=True, markup=False)


@contextmanager
def _progress() -> Iterator[Watch]:
    """A bar over the steps that are being replayed."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, refresh_per_second=MAX_UPDATES_PER_S
    ) as progress:
        line = progress.add_task("reading", total=None)
        shown = "reading"

        def watch(text: str, done: int, total: int) -> None:
            nonlocal line, shown
            if text != shown:  # a task's total cannot be taken back once it is known
                progress.remove_task(line)
                line, shown = progress.add_task(text, total=total or None), text
            progress.update(line, completed=done)

        yield watch


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
