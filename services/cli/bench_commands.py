"""`harmony bench …`: the figures of the documents, each from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import DataOption, Demand, Hours, JsonFile, Risk, Seed, backtest
from services.kernel.errors import InvalidInput

Models = Annotated[
    str,
    typer.Option(
        help="Forecasters, comma-separated; `peers`, `ablations` and `all` stand for groups. "
        "Peers need `pip install 'harmony-gpu[bench]'`."
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds to train with, from 7 on.")]
FIRST_SEED = 7


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    bench = typer.Typer(
        no_args_is_help=True, help="Figures for the documents, each from one command."
    )
    bench.command("decide")(bench_decide)
    bench.command("forecast")(bench_forecast)
    bench.command("forecast-summary")(bench_forecast_summary)
    bench.command("inference")(bench_inference)
    app.add_typer(bench, name="bench")


def bench_decide(
    data: DataOption,
    demand: Demand = None,
    risk: Risk = "0.01,0.05",
    hours: Hours = 24.0,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Compare policies as deployed: knobs tuned on the history, the replay scored once."""
    backtest(data, demand, None, hours, risk, seed, json_file)


def bench_forecast(  # noqa: PLR0913 - one option each
    data: DataOption,
    protocol: Annotated[
        str, typer.Option(help="fisher-h1, fisher-h12 (the paper's) or panel (any trace).")
    ] = "panel",
    models: Models = "default",
    seeds: Seeds = 1,
    demand: Demand = None,
    max_origins: Annotated[
        int, typer.Option(min=10, help="Most test windows per workload, evenly spread (panel).")
    ] = 1000,
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write the reliability diagram to this PNG.")
    ] = None,
) -> None:
    """Train forecasters on the first 80 % of a trace (validation included), score the last 20 %.

    `panel`: demand, 12 steps ahead, CRPS over its mean absolute deviation. `fisher-h1`,
    `fisher-h12`: every indicator, MinMax units, as the HARMONY paper measures. Figures are means
    over windows, then workloads, then indicators. docs/benchmarks/forecast.md explains them.
    """
    from services.lab.bench.arms import chosen
    from services.lab.bench.forecast import bench_forecast as run
    from services.lab.bench.forecast_report import plot_reliability, table_rows
    from services.lab.bench.task import Protocol, load_task

    try:
        kind = Protocol(protocol)
    except ValueError as error:
        known = ", ".join(Protocol)
        raise InvalidInput(f"--protocol={protocol}: must be one of {known}") from error
    arms = chosen(models)
    task = load_task(data, kind, demand=demand, max_origins=max_origins)
    for name, reason in task.skipped.items():
        console.print(f"left out: {name}: {reason}")
    _one_thread()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        line = progress.add_task("reading")
        found = run(
            task,
            arms,
            range(FIRST_SEED, FIRST_SEED + seeds),
            lambda text: progress.update(line, description=text),
        )
    document = found.to_json()
    print_table(
        f"{task.data}, {kind}: {len(task.series)} workloads, {document['test_windows']} windows",
        table_rows(document),
    )
    write_json(json_file, document)
    if plot is not None:
        plot_reliability(document, plot)


def bench_forecast_summary(
    files: Annotated[list[Path], typer.Argument(help="Documents of `bench forecast --json`.")],
    model: Annotated[str, typer.Option(help="Harmony's forecaster to compare.")] = "harmony",
    is_detailed: Annotated[
        bool, typer.Option("--detail", help="Every forecaster of every document instead.")
    ] = False,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Put several panels together: Harmony against the best peer of each, geometric mean."""
    from services.lab.bench.forecast_report import (
        load_documents,
        markdown,
        summary_rows,
        table_rows,
    )

    documents = load_documents(files)
    if is_detailed:
        tables = {f"{d['data']}, {d['protocol']}": table_rows(d) for d in documents}
    else:
        tables = {f"{model} against the best peer": summary_rows(documents, model)}
    for title, rows in tables.items():
        if is_markdown:
            console.print(f"\n{title}\n\n{markdown(rows)}", soft_wrap=True, markup=False)
        else:
            print_table(title, rows)
    write_json(json_file, {"model": model, "tables": tables})


def bench_inference(
    workloads: Annotated[int, typer.Option(min=1, help="Workloads to forecast.")] = 10_000,
    paths: Annotated[int, typer.Option(min=1, help="Sample paths per workload.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="torch threads.")] = 2,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Time one forecast of a whole fleet, 12 steps ahead, and the memory that it takes."""
    from services.lab.bench.inference import bench_inference as run

    with console.status("training a small model, then forecasting"):
        found = run(workloads, paths, threads, seed)
    print_table("inference", [found])
    write_json(json_file, dict(found))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
