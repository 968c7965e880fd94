"""Commands that study a trace offline: `backtest`, `bench …`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import console, print_json, print_table
from services.kernel.errors import InvalidInput

Data = Annotated[Path, typer.Argument(help="Trace: a parquet as docs/traces.md describes.")]
DataOption = Annotated[Path, typer.Option("--data", help="Trace: a parquet (docs/traces.md).")]
Demand = Annotated[
    str | None, typer.Option(help="Demand column; default: the metadata JSON beside the file.")
]
Step = Annotated[
    int | None, typer.Option(min=1, help="Resample to this step in seconds; default: the file's.")
]
Hours = Annotated[float, typer.Option(min=1, help="Hours at the end of the trace to replay.")]
Risk = Annotated[str, typer.Option(help="Promises, comma-separated shares of time out of SLA.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(backtest)
    bench = typer.Typer(
        no_args_is_help=True, help="Figures for the documents, each from one command."
    )
    bench.command("decide")(bench_decide)
    bench.command("forecast")(bench_forecast)
    app.add_typer(bench, name="bench")


def backtest(  # noqa: PLR0913 - one option each
    file: Data,
    demand: Demand = None,
    step: Step = None,
    hours: Hours = 24.0,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Find out on your own trace whether Harmony would pay, before you enable it.

    Trains and tunes on everything but the last hours, then replays those under Harmony (with the
    trained model and with the best simple forecaster), tuned HPA, trailing percentile, static peak
    and an oracle on identical demand and start-up luck. Needs no database and no cluster.
    """
    from services.lab.backtest.study import run_study
    from services.lab.fleet import TraceOptions, load_trace

    options = TraceOptions(demand=demand, step_s=step, replay_hours=hours, seed=seed)
    loaded = load_trace(file, options)
    for drop in loaded.dropped:
        console.print(f"left out: {drop.workload}: {drop.reason}")
    _one_thread()
    with console.status("reading") as status:
        study = run_study(loaded.fleet, _promises(risk), status.update)
    console.print(f"{loaded.fleet.label}, {hours:g} h; forecaster: {study.trained.reason}")
    for result in study.results:
        rows = [
            {
                "policy": s.name,
                "GPU-hours": f"{s.gpu_hours:,.0f}",
                "cost USD": f"{s.cost_usd:,.0f}",
                "out of SLA": f"{s.violation_rate:.2%}",
                "unserved": f"{s.unserved_ratio:.2%}",
                "scale ops": s.scale_ops,
                "setting": s.setting,
            }
            for s in result.scores
        ]
        print_table(f"promise: at most {result.epsilon:.2%} of time out of SLA", rows)
        console.print(result.verdict())
    _write(json_file, study.to_json())


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


def bench_forecast(
    data: DataOption,
    demand: Demand = None,
    step: Step = None,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Train on the first 80 % of a trace (validation included), score on the last 20 %."""
    from services.lab.bench.forecast import bench_forecast as run
    from services.lab.fleet import TraceOptions, load_trace

    loaded = load_trace(data, TraceOptions(demand=demand, step_s=step, seed=seed))
    _one_thread()
    with console.status("training and scoring"):
        found = run(loaded.fleet, seed=seed)
    print_table(f"{found.data}: CRPS over the mean absolute deviation, last 20 %", found.rows())
    document = {
        "protocol": "panel",
        "data": found.data,
        "seed": seed,
        "workloads": found.n_workloads,
        "models": {str(row.pop("model")): row for row in found.rows()},
    }
    _write(json_file, document)


def _promises(risk: str) -> list[float]:
    try:
        found = [float(part) for part in risk.split(",")]
    except ValueError as error:
        raise InvalidInput(f"--risk={risk}: must be numbers, e.g. 0.01,0.05") from error
    if not found or not all(0 < value < 1 for value in found):
        raise InvalidInput(f"--risk={risk}: each must lie between 0 and 1, e.g. 0.01,0.05")
    return found


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _write(json_file: Path | None, document: dict[str, object]) -> None:
    if json_file is None:
        return
    if str(json_file) == "-":
        print_json(document)
        return
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(document, indent=2) + "\n")
