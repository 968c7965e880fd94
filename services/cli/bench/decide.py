"""`harmony bench decide`: policies at equal risk and as deployed; its tables; its speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecaster import ForecasterError
from services.cli.output import console, picture, print_rows, print_table, read_from, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import DataOptions, Demand, JsonFile, Risk, Seed, promises
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.decide.task import DecideTask

TruthOption = Annotated[
    str,
    typer.Option(
        help="What a replica truly serves: stated, off (by --truth-ratio), drifting or served. "
        "Every policy is told the stated capacity."
    ),
]
TruthRatio = Annotated[
    float | None,
    typer.Option(help="True over stated capacity with --truth off (0.9) or served, 0.5 to 1.5."),
]


def bench_decide(  # noqa: PLR0913 - one option each
    data: DataOptions,
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
    truth: TruthOption = "stated",
    truth_ratio: TruthRatio = None,
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(callback=picture, help="Write the frontiers to this PNG.")
    ] = None,
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

    With --truth everything is scored by the true capacity, while policies and what they measure go
    by the stated one. Drifting: a bounded random walk between 0.7 and 1.3 that forgets in a day.

    The formulation of Harmony's decisions is its own: the paper gives none to compare with.
    """
    from services.lab.bench.decide.task import DecideOptions, load_decide_task
    from services.lab.bench.decide.truth import truth_of

    epsilons = promises(risk)
    options = DecideOptions(
        max_test_steps=max_test_steps,
        lead_sigma=lead_sigma,
        capacity_cv=capacity_cv,
        seed=seed,
        truth=truth_of(truth, truth_ratio),
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

    one_thread()
    documents = []
    for task in tasks:
        name = task.forecast.data
        for workload, reason in task.forecast.skipped.items():
            console.print(f"left out: {name}, {workload}: {reason}")
        with progress(name) as report:
            try:
                result = run(task, epsilons, seed, report)
            except ForecasterError as error:
                raise InvalidInput(f"{name}: the forecaster cannot be trained: {error}") from error
        # A run's arrays are large: only its figures are kept.
        documents.append(to_document([result]))
        del result
    return merge_documents(documents)


def bench_decide_summary(
    files: Annotated[
        list[Path], typer.Argument(callback=read_from, help="Documents of `bench decide --json`.")
    ],
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    is_detailed: Annotated[
        bool, typer.Option("--detail", help="Every policy on every data set too.")
    ] = False,
    json_file: JsonFile = None,
    plot: Annotated[
        Path | None, typer.Option(callback=picture, help="Write the frontiers to this PNG.")
    ] = None,
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
    from services.lab.bench.decide.settled import settled_rows

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
        title = f"days 2 to 8 of deciding, by service, promise {report.percent(key)}"
        print_rows(title, settled_rows(document, key), is_markdown)
    for key in keys:
        title = f"cost over the oracle's, matched at {report.percent(key)}"
        print_rows(title, report.summary_rows(document, key), is_markdown)
        console.print(report.verdict(document, key), soft_wrap=True, markup=False)
    write_json(json_file, document)
    if plot is not None:
        plot_frontiers(document, plot)


def bench_decide_latency(  # noqa: PLR0913 - one option each
    workloads: Annotated[int, typer.Option(min=1, help="Workloads of the shard.")] = 512,
    paths: Annotated[int, typer.Option(min=1, help="Sample paths per workload.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="Steps ahead.")] = 12,
    loads: Annotated[
        int,
        typer.Option(min=1, max=4, help="Loads that bind a replica; from 2 on with --responses."),
    ] = 1,
    has_responses: Annotated[
        bool, typer.Option("--responses", help="Each workload has a learned response, 64 draws.")
    ] = False,
    has_quantiles: Annotated[
        bool,
        typer.Option("--quantiles", help="Quantile functions are known; times paths alone too."),
    ] = False,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Time one shard's decisions, explanations included, and the memory that they take."""
    from services.lab.bench.decide.latency import ShardSize, bench_latency

    with console.status("deciding"):
        size = ShardSize(workloads, paths, steps, loads, has_responses, has_quantiles)
        found = bench_latency(size, seed)
    print_table("decision of one shard", [found])
    write_json(json_file, dict(found))
