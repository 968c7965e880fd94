"""Commands that study a trace offline: `backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.backtest.study import Study

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


def backtest(  # noqa: PLR0913 - one option each
    file: Data,
    demand: Demand = None,
    step: Step = None,
    hours: Hours = 24.0,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    policies: Annotated[
        str, typer.Option(help="Rivals whose frontiers are drawn, comma-separated.")
    ] = "hpa,trailing_percentile,static_peak",
    shortage_usd: Annotated[
        float | None,
        typer.Option(help="Price of a workload's hour out of SLA, for the recommended promise."),
    ] = None,
    json_file: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Write the frontiers to this PNG.")] = None,
) -> None:
    """Find out on your own trace whether Harmony would pay, before you enable it.

    Trains and tunes on everything but the last hours, then replays those under Harmony (with the
    trained model and with the best simple forecaster), tuned HPA, trailing percentile, static peak
    and an oracle on identical demand and start-up luck. Needs no database and no cluster.

    Then it runs each policy at many settings over the same hours, with GPUs enough for all: its
    frontier says what each share of time out of SLA costs. The recommended promise is the knee of
    Harmony's, where one more dollar stops averting its share of violations; with --shortage-usd it
    is the one at which GPUs and hours out of SLA together cost least. `harmony bench decide`
    compares every policy.
    """
    from services.backtest.plot import plot_study
    from services.backtest.study import run_study
    from services.simulator.fleet import TraceOptions, load_trace

    options = TraceOptions(demand=demand, step_s=step, replay_hours=hours, seed=seed)
    loaded = load_trace(file, options)
    for drop in loaded.dropped:
        console.print(f"left out: {drop.workload}: {drop.reason}")
    _one_thread()
    with console.status("reading") as status:
        study = run_study(
            loaded.fleet,
            promises(risk),
            status.update,
            policies=[name.strip() for name in policies.split(",") if name.strip()],
            shortage_usd=shortage_usd,
        )
    _print_study(study)
    write_json(json_file, study.to_json())
    if plot is not None:
        plot_study(study, plot)


def _print_study(study: Study) -> None:
    console.print(
        f"{study.fleet.label}, {study.fleet.replay_hours:g} h; forecaster: {study.trained.reason}"
    )
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
    console.print(study.advice())


def promises(risk: str) -> list[float]:
    """The promises of `--risk`, each once.

    Raises:
        InvalidInput: They are no shares of time, or one is given twice.
    """
    try:
        found = [float(part) for part in risk.split(",")]
    except ValueError as error:
        raise InvalidInput(f"--risk={risk}: must be numbers, e.g. 0.01,0.05") from error
    if not found or not all(0 < value < 1 for value in found):
        raise InvalidInput(f"--risk={risk}: each must lie between 0 and 1, e.g. 0.01,0.05")
    if len(set(found)) < len(found):
        raise InvalidInput(f"--risk={risk}: each promise once, e.g. 0.01,0.05")
    return found


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
