"""`harmony bench …`: the figures of the documents, each from one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from forecaster import ForecasterError
from services.cli.bench.ablate import bench_ablate, bench_ablate_summary
from services.cli.bench.api import bench_api
from services.cli.bench.console import bench_console
from services.cli.bench.joint import bench_joint
from services.cli.bench.month import bench_month
from services.cli.bench.operator import bench_operator
from services.cli.output import console, print_rows, print_table, write_json
from services.cli.study_commands import DataOption, Demand, JsonFile, Risk, Seed, promises
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.decide.task import DecideTask
    from services.lab.bench.forecast.task import BenchTask

Models = Annotated[
    str,
    typer.Option(
        help="Forecasters, comma-separated; `peers`, `ablations` and `all` stand for groups. "
        r"Peers need `pip install 'harmony-gpu\[bench]'`."
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds to train with, from 7 on.")]
FIRST_SEED = 7


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    bench = typer.Typer(
        no_args_is_help=True, help="Figures for the documents, each from one command."
    )
    bench.command("ablate")(bench_ablate)
    bench.command("ablate-summary")(bench_ablate_summary)
    bench.command("api")(bench_api)
    bench.command("console")(bench_console)
    bench.command("decide")(bench_decide)
    bench.command("decide-summary")(bench_decide_summary)
    bench.command("decide-latency")(bench_decide_latency)
    bench.command("forecast")(bench_forecast)
    bench.command("forecast-summary")(bench_forecast_summary)
    bench.command("inference")(bench_inference)
    bench.command("joint")(bench_joint)
    bench.command("month")(bench_month)
    bench.command("operator")(bench_operator)
    app.add_typer(bench, name="bench")


def bench_decide(  # noqa: PLR0913 - one option each
    data: Annotated[
        list[Path], typer.Option("--data", help="Trace: a parquet (docs/traces.md); repeatable.")
    ],
    demand: Demand = None,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most steps counted per workload, from 70 % of it on.")
    ] = 2016,
    lead_sigma: Annotated[
        float, typer.Option(min=0.0, help="Spread of the lead time's logarithm; 0: always a step.")
    ] = 0.0,
    capacity_cv: Annotated[
        float,
        typer.Option(min=0.0, help="Variation of the true capacity, which no policy is told."),
    ] = 0.0,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Write the frontiers to this PNG.")] = None,
) -> None:
    """Compare scaling policies at equal risk and as deployed, on any trace.

    The first 70 % of each workload train the forecaster; the mean demand there is scaled to 20
    GPUs, utilisation is at most 0.85 and a start takes one step. Every policy lives through the
    end of that part too and is scored once on the rest. Costs are divided by those of an oracle
    that knows the future, then averaged over workloads.

    Matched: each policy has one knob for the whole fleet and a grid of 48 settings. Each setting is
    a point (share of time out of SLA, cost); the cheapest cost is read off at the asked rate. It
    tells what a policy could do if its knob were known in hindsight.

    As deployed: each rival's setting is the cheapest that kept the promise before the test part.
    Harmony is told the promise and nothing is tuned. It tells what a user gets.

    The formulation of Harmony's decisions is its own: the paper gives none to compare with.
    """
    from services.lab.bench.decide.task import DecideOptions, load_decide_task

    epsilons = promises(risk)
    options = DecideOptions(
        max_test_steps=max_test_steps, lead_sigma=lead_sigma, capacity_cv=capacity_cv, seed=seed
    )
    tasks = [load_decide_task(path, demand=demand, options=options) for path in data]
    names = [task.forecast.data for task in tasks]
    if len(set(names)) < len(names):
        raise InvalidInput(f"--data {', '.join(names)}: each data set once, by its file's name")
    document = _decide_documents(tasks, epsilons, seed)
    _report_decide(document, json_file, plot)


def _decide_documents(
    tasks: Sequence[DecideTask], epsilons: list[float], seed: int
) -> dict[str, Any]:
    """Run one data set after the other, then put them together."""
    from services.lab.bench.decide.document import merge_documents, to_document
    from services.lab.bench.decide.run import bench_decide as run

    _one_thread()
    documents = []
    for task in tasks:
        name = task.forecast.data
        for workload, reason in task.forecast.skipped.items():
            console.print(f"left out: {name}, {workload}: {reason}")
        with _progress(name) as report:
            try:
                result = run(task, epsilons, seed, report)
            except ForecasterError as error:
                raise InvalidInput(f"{name}: the forecaster cannot be trained: {error}") from error
        # A run's arrays are large: only its figures are kept.
        documents.append(to_document([result]))
        del result
    return merge_documents(documents)


def bench_decide_summary(
    files: Annotated[list[Path], typer.Argument(help="Documents of `bench decide --json`.")],
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    is_detailed: Annotated[
        bool, typer.Option("--detail", help="Every policy on every data set too.")
    ] = False,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Write the frontiers to this PNG.")] = None,
) -> None:
    """Put the documents of several data sets together: geometric means, worst case, interval."""
    from services.lab.bench.decide.document import load_documents, merge_documents

    document = merge_documents(load_documents(files))
    _report_decide(document, json_file, plot, is_markdown=is_markdown, is_detailed=is_detailed)


def _report_decide(
    document: dict[str, Any],
    json_file: Path | None,
    plot: Path | None,
    *,
    is_markdown: bool = False,
    is_detailed: bool = True,
) -> None:
    """Print the tables, then write what was asked for."""
    from services.lab.bench.decide import report
    from services.lab.bench.decide.plot import plot_frontiers

    keys = report.promises(document)
    if is_detailed:
        for dataset in document["datasets"]:
            name = dataset["data"]
            print_rows(f"{name}: matched", report.matched_rows(dataset), is_markdown)
            for key in dataset["deployed"]:
                title = f"{name}: as deployed, promise {report.percent(key)}"
                print_rows(title, report.deployed_rows(dataset, key), is_markdown)
    if len(document["datasets"]) > 1:
        print_rows("all policies, matched", report.overall_rows(document), is_markdown)
    for key in keys:
        title = f"arms of Harmony as deployed, promise {report.percent(key)}"
        print_rows(title, report.ablation_rows(document, key), is_markdown)
    for key in keys:
        title = f"cost over the oracle's, matched at {report.percent(key)}"
        print_rows(title, report.summary_rows(document, key), is_markdown)
        console.print(report.verdict(document, key), soft_wrap=True, markup=False)
    write_json(json_file, document)
    if plot is not None:
        plot_frontiers(document, plot)


def bench_decide_latency(
    workloads: Annotated[int, typer.Option(min=1, help="Workloads of the shard.")] = 512,
    paths: Annotated[int, typer.Option(min=1, help="Sample paths per workload.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Steps ahead.")] = 12,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Time one shard's decisions, explanations included, and the memory that they take."""
    from services.lab.bench.decide.latency import bench_latency

    with console.status("deciding"):
        found = bench_latency(workloads, paths, steps, seed)
    print_table("decision of one shard", [found])
    write_json(json_file, dict(found))


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
    plot: Annotated[
        Path | None, typer.Option(help="Write the reliability diagram to this PNG.")
    ] = None,
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
    _one_thread()
    with _progress() as report:
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
    files: Annotated[list[Path], typer.Argument(help="Documents of `bench forecast --json`.")],
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


@contextmanager
def _progress(prefix: str = "") -> Iterator[Callable[[str], None]]:
    """A line that says what is being done, and since when."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    before = f"{prefix}: " if prefix else ""
    with Progress(*columns, console=console, transient=True) as progress:
        line = progress.add_task(f"{before}reading")
        yield lambda text: progress.update(line, description=before + text)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
