"""`harmony bench …`: the figures of the documents, each from one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.bench.ablate import bench_ablate, bench_ablate_summary, bench_ablate_tails
from services.cli.bench.api import bench_api
from services.cli.bench.cold import bench_cold
from services.cli.bench.console import bench_console
from services.cli.bench.decide import (
    bench_decide,
    bench_decide_latency,
    bench_decide_summary,
)
from services.cli.bench.faults import bench_faults
from services.cli.bench.fleet import bench_fleet
from services.cli.bench.ingest import bench_ingest
from services.cli.bench.joint import bench_joint
from services.cli.bench.llm import bench_llm, bench_llm_trace
from services.cli.bench.loads import bench_loads
from services.cli.bench.month import bench_month
from services.cli.bench.noise import bench_decide_noise
from services.cli.bench.operator import bench_operator
from services.cli.bench.race import bench_race
from services.cli.bench.response import bench_response, bench_response_table
from services.cli.bench.supply import bench_supply
from services.cli.output import console, picture, print_rows, print_table, read_from, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import DataOption, Demand, JsonFile, Seed
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.forecast.task import BenchTask

Models = Annotated[
    str,
    typer.Option(
        help="Forecasters, comma-separated; `peers`, `ablations` and `all` stand for groups. "
        r"Peers need `pip install 'harmony-gpu\[bench]'`."
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds to train with, from 7 on.")]
ReliabilityFile = Annotated[
    Path | None, typer.Option(callback=picture, help="Write the reliability diagram to this PNG.")
]
FIRST_SEED = 7


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    bench = typer.Typer(
        no_args_is_help=True, help="Figures for the documents, each from one command."
    )
    bench.command("ablate")(bench_ablate)
    bench.command("ablate-summary")(bench_ablate_summary)
    bench.command("ablate-tails")(bench_ablate_tails)
    bench.command("api")(bench_api)
    bench.command("cold")(bench_cold)
    bench.command("console")(bench_console)
    bench.command("decide")(bench_decide)
    bench.command("decide-summary")(bench_decide_summary)
    bench.command("decide-latency")(bench_decide_latency)
    bench.command("decide-noise")(bench_decide_noise)
    bench.command("faults")(bench_faults)
    bench.command("fleet")(bench_fleet)
    bench.command("forecast")(bench_forecast)
    bench.command("forecast-summary")(bench_forecast_summary)
    bench.command("inference")(bench_inference)
    bench.command("ingest")(bench_ingest)
    bench.command("joint")(bench_joint)
    bench.command("llm")(bench_llm)
    bench.command("llm-trace")(bench_llm_trace)
    bench.command("loads")(bench_loads)
    bench.command("month")(bench_month)
    bench.command("operator")(bench_operator)
    bench.command("race")(bench_race)
    bench.command("response")(bench_response)
    bench.command("response-table")(bench_response_table)
    bench.command("supply")(bench_supply)
    app.add_typer(bench, name="bench")


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
    is_development: Annotated[
        bool,
        typer.Option(
            "--development",
            help="Split the first 80 % alone: for choosing settings; the test part is not read.",
        ),
    ] = False,
    has_level_changes: Annotated[
        bool,
        typer.Option(
            "--level-changes",
            help="Make up a change of level or an outage in most workloads' scored part.",
        ),
    ] = False,
    json_file: JsonFile = None,
    plot: ReliabilityFile = None,
) -> None:
    """Train forecasters on the first 80 % of a trace (validation included), score the last 20 %.

    `panel`: demand, 12 steps ahead, CRPS over its mean absolute deviation. `fisher-h1`,
    `fisher-h12`: every indicator, MinMax units, as the HARMONY paper measures. Figures are means
    over windows, then workloads, then indicators. docs/benchmarks/forecast.md explains them.
    """
    from services.lab.bench.forecast.arms import chosen
    from services.lab.bench.forecast.report import plot_reliability, table_rows
    from services.lab.bench.forecast.run import bench_forecast as run

    arms = chosen(models)
    task = _task(data, protocol, demand, max_origins)
    if is_development:
        task = task.development()
    if has_level_changes:
        task = task.with_level_changes(FIRST_SEED)
    for name, reason in task.skipped.items():
        console.print(f"left out: {name}: {reason}")
    one_thread()
    with progress() as report:
        found = run(task, arms, range(FIRST_SEED, FIRST_SEED + seeds), report)
    document = found.to_json()
    print_table(
        f"{task.data}, {protocol}: {len(task.series)} workloads, "
        f"{document['test_windows']} windows",
        table_rows(document),
    )
    write_json(json_file, document)
    if plot is not None:
        plot_reliability(document, plot)


def _task(data: Path, protocol: str, demand: str | None, max_origins: int) -> BenchTask:
    from services.lab.bench.forecast.task import Protocol, load_task

    try:
        kind = Protocol(protocol)
    except ValueError as error:
        known = ", ".join(Protocol)
        raise InvalidInput(f"--protocol={protocol}: must be one of {known}") from error
    return load_task(data, kind, demand=demand, max_origins=max_origins)


def bench_forecast_summary(
    files: Annotated[
        list[Path], typer.Argument(callback=read_from, help="Documents of `bench forecast --json`.")
    ],
    model: Annotated[str, typer.Option(help="Harmony's forecaster to compare.")] = "harmony",
    is_detailed: Annotated[
        bool, typer.Option("--detail", help="Every forecaster of every document instead.")
    ] = False,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Put several panels together: Harmony against the best peer of each, geometric mean."""
    from services.lab.bench.forecast.report import (
        load_documents,
        peer_rows,
        summary_rows,
        table_rows,
    )

    documents = load_documents(files)
    if is_detailed:
        tables = {f"{d['data']}, {d['protocol']}": table_rows(d) for d in documents}
    else:
        tables = {
            f"{model} against the best peer": summary_rows(documents, model),
            f"{model} against each peer": peer_rows(documents, model),
        }
    for title, rows in tables.items():
        print_rows(title, rows, is_markdown)
    write_json(json_file, {"model": model, "tables": tables})


def bench_inference(
    workloads: Annotated[int, typer.Option(min=1, help="Workloads to forecast.")] = 10_000,
    paths: Annotated[int, typer.Option(min=1, help="Sample paths per workload.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="torch threads.")] = 2,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Time one forecast of a whole fleet, 12 steps ahead, and the memory that it takes."""
    from services.lab.bench.forecast.inference import bench_inference as run

    with console.status("training a small model, then forecasting"):
        found = run(workloads, paths, threads, seed)
    print_table("inference", [found])
    write_json(json_file, dict(found))
