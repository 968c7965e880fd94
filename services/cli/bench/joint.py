"""`harmony bench joint`: what a joint flow over several indicators is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import DataOption, Demand, JsonFile, Seed


def bench_joint(
    data: DataOption,
    indicators: Annotated[
        str,
        typer.Option(
            help="Indicators that are forecast together, comma-separated; default: all that move "
            "in every workload."
        ),
    ] = "",
    seed: Seed = 7,
    demand: Demand = None,
    is_development: Annotated[
        bool, typer.Option("--development", help="The first 80 % alone; no test part is read.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Forecast several indicators twelve steps ahead as one distribution, and score its dependence.

    Marginals are trained once on the first 80 % of the trace (validation included) and stay the
    same; on top of them come no dependence, a Gaussian copula of each indicator's steps, one of
    all indicators and steps, and the conditional flow. Log density is in nats per window above
    independence; the scores are relative to independence (lower is better).
    """
    import torch

    from services.lab.bench.forecast.joint import JointOptions, bench_joint as run, table_rows
    from services.lab.bench.forecast.task import Protocol, load_task

    task = load_task(data, Protocol.FISHER_H12, demand=demand)
    if is_development:
        task = task.development()
    names = tuple(name.strip() for name in indicators.split(",") if name.strip())
    torch.set_num_threads(1)
    with console.status("reading") as status:
        document = run(task, JointOptions(names, seed), status.update)
    print_table(
        f"{document['data']}: {len(document['indicators'])} indicators, "
        f"{document['horizon']} steps, {document['test_windows']} windows",
        table_rows(document),
    )
    write_json(json_file, document)
