"""`harmony bench loads`: what the joint law, the posterior, levels and the vector are worth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import console, folder, print_rows, read_from, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import DataOption, JsonFile, Seed, promises
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.decide.task import DecideOptions
    from services.lab.bench.loads.task import LoadTask, MakeResponse

Draws = Annotated[
    int, typer.Option(min=1, help="Draws of response, luck and stated capacities: seed, seed + 1…")
]
OpenLoopFlag = Annotated[
    bool,
    typer.Option(
        "--open-loop",
        help="Counts straight from the forecasts, the response known: what a law is worth.",
    ),
]
Ages = Annotated[
    str,
    typer.Option(
        help="Open loop: steps since the response last changed, comma-separated, each a fleet; "
        "default: it is known."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        callback=folder, help="Folder of forecasters and forecasts: taken from there, kept there."
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(
        callback=read_from,
        help="Table of a real engine as the true response; default: a drawn one.",
    ),
]
LOADS = "l1_requests_per_s,l1_input_tokens_per_s,l1_output_tokens_per_s"


def bench_loads(  # noqa: PLR0913 - one option each
    data: DataOption,
    loads: Annotated[
        str, typer.Option(help="Loads that bind a replica, comma-separated; the demand first.")
    ] = LOADS,
    table: Table = None,
    risk: Annotated[
        str, typer.Option(help="Promises that each arm's frontier is made of, comma-separated.")
    ] = "0.002,0.01,0.04,0.15",
    at: Annotated[
        str, typer.Option(help="True shares of time out of SLA at which costs are compared.")
    ] = "0.01,0.05",
    arms: Annotated[str, typer.Option(help="Arms, comma-separated; default: all.")] = "",
    seed: Seed = 7,
    response_seeds: Draws = 1,
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most steps counted per workload, from 70 % of it on.")
    ] = 288,
    max_workloads: Annotated[
        int, typer.Option(min=1, help="Most workloads, in the order of the file.")
    ] = 1000,
    learn_every: Annotated[
        int, typer.Option(min=1, help="Steps between two looks at what requests felt.")
    ] = 24,
    is_open_loop: OpenLoopFlag = False,
    ages: Ages = "",
    keep: Folder = None,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Let several loads bind a replica, leave out a part of Harmony in turn, and count dollars.

    Requests are served by a response to the vector of loads that no policy is told
    (docs/benchmarks/promise.md has its law); Harmony measures its objective and learns it. Each
    arm runs at every promise, and costs are compared where the true share of time out of SLA is
    equal, with a paired bootstrap over days, workloads and draws.
    """
    from services.lab.bench.decide.task import DecideOptions
    from services.lab.bench.loads.keep import KeptForecasts
    from services.lab.bench.loads.run import LoadBench, bench_loads as run

    rates, chosen = promises(at), _parts(arms)
    options = DecideOptions(max_test_steps, max_prelude_steps=max_test_steps // 2, seed=seed)
    drawn = [replace(options, seed=seed + draw) for draw in range(response_seeds)]
    tasks = tuple(_task(data, _parts(loads), one, table, max_workloads) for one in drawn)
    task = tasks[0]
    _say_left_out(task)
    one_thread()
    truth = "drawn" if table is None else table.stem
    risks, since = tuple(promises(risk)), _ages(ages, is_open_loop=is_open_loop)
    bench = LoadBench(tasks, risks, seed, truth, learn_every, is_open_loop, since)
    with progress(task.decide.forecast.data) as tell:
        forecasts = KeptForecasts(task, seed, tell, keep)
        store = partial(write_json, None if str(json_file) == "-" else json_file)
        document = run(bench, chosen, forecasts, tell, store)
    _print(document, rates, is_markdown=is_markdown)
    write_json(json_file, document)


def _task(
    data: Path, loads: list[str], options: DecideOptions, table: Path | None, max_workloads: int
) -> LoadTask:
    """The benchmark; with a table only the workloads that it speaks of."""
    from services.lab.arena.table import ResponseTable
    from services.lab.bench.forecast.task import Protocol, load_task
    from services.lab.bench.loads.curves import EngineCurves
    from services.lab.bench.loads.engine import covered, maker
    from services.lab.bench.loads.response import drawn
    from services.lab.bench.loads.task import make_load_task

    loaded = load_task(data, Protocol.PANEL, demand=loads[0] if loads else None, max_origins=10**9)
    make: MakeResponse = drawn
    if table is not None:
        curves = EngineCurves.of(ResponseTable.load(table))
        loaded, make = covered(loaded, loads, curves), maker(curves)
    return make_load_task(loaded, loads, options, make, max_workloads=max_workloads)


def _say_left_out(task: LoadTask) -> None:
    for name, reason in task.decide.forecast.skipped.items():
        console.print(f"left out: {name}: {reason}")


def _ages(ages: str, *, is_open_loop: bool) -> tuple[int, ...]:
    """Steps since the response last changed."""
    parts = _parts(ages)
    if not all(one.isdecimal() for one in parts):
        raise InvalidInput(f"--ages={ages}: numbers of steps are right, as 0,6,36")
    if parts and not is_open_loop:
        raise InvalidInput(f"--ages={ages}: only with --open-loop")
    return tuple(int(one) for one in parts)


def _parts(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _print(document: dict[str, Any], rates: list[float], *, is_markdown: bool) -> None:
    from services.lab.bench.loads import report

    console.print(report.title(document), soft_wrap=True, markup=False)
    print_rows("each load's own use over their sum", report.bound_rows(document), is_markdown)
    for epsilon in document["epsilons"]:
        rows = report.deployed_rows(document, epsilon)
        print_rows(f"as deployed, promise {epsilon:.2%}", rows, is_markdown)
    for rate in rates:
        print_rows(f"cost at {rate:.2%} true", report.cost_rows(document, rate), is_markdown)
    for line in report.verdict(document, rates):
        console.print(line, soft_wrap=True, markup=False)
