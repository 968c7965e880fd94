"""`harmony bench race`: every policy at its own cadence, with the lead time as an axis."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forecaster import ForecasterError
from services.cli.output import folder, print_rows, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import DataOptions, Demand, JsonFile, Risk, Seed, promises
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from services.lab.bench.forecast.task import BenchTask
    from services.lab.bench.race.series import RacePlan

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


Lead = Annotated[str, typer.Option(help="Times that a start takes, comma-separated.")]
StepText = Annotated[
    str | None,
    typer.Option(help="Harmony's step, on traces of a minute or less alone; default: the trace's."),
]
Bridges = Annotated[
    str, typer.Option(help="How the steps of a coarser trace are divided: walk, jump.")
]
Rivals = Annotated[
    str | None, typer.Option(help="Rivals that race, comma-separated; default: all.")
]
Finest = Annotated[str, typer.Option(help="Nobody decides more often than this; 2s lets Knative.")]
IsDevelopment = Annotated[
    bool, typer.Option("--development", help="The first 80 % alone; no test part is read.")
]
IsRivalsOnly = Annotated[
    bool, typer.Option("--rivals-only", help="Rivals and oracle: the room there is.")
]
HasPrior = Annotated[
    bool,
    typer.Option("--prior/--no-prior", help="Whether fits begin with the prior, as in service."),
]
Arms = Annotated[
    str | None,
    typer.Option(help="Harmony with one part left out or perfect too, comma-separated; or all."),
]
Keep = Annotated[
    Path | None,
    typer.Option(
        callback=folder, help="Folder of rivals' runs and forecasts: taken from there, kept there."
    ),
]


def bench_race(  # noqa: PLR0913 - one option each
    data: DataOptions,
    demand: Demand = None,
    lead: Lead = "30s,2m,10m",
    step: StepText = None,
    bridges: Bridges = "walk,jump",
    n_seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds of each bridge.")] = 10,
    policies: Rivals = None,
    arms: Arms = None,
    finest: Finest = "15s",
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most of Harmony's steps counted per workload.")
    ] = 1440,
    is_development: IsDevelopment = False,
    is_rivals_only: IsRivalsOnly = False,
    has_prior: HasPrior = True,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    keep: Keep = None,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Race scaling policies, each as often as it decides in life, at several lead times.

    HPA and KEDA decide each 15 s, a trailing percentile each minute, Harmony at its steps.
    Violations are counted in sub-steps: the trace's own where they are a minute or less; a coarser
    trace is divided into minutes in two made-up ways, which agree or show nothing.

    First comes what the best rival costs over an oracle, at each lead time: the room there is.
    Then Harmony against it, at equal violation and at equal unserved demand, and as deployed:
    Harmony not tuned, rivals tuned on the training part for the fleet and for each service.
    """
    from services.forecasting.registry.shipped import shipped_prior
    from services.lab.bench.race.arms import RACE_ARMS
    from services.lab.bench.race.keep import RaceShelf
    from services.lab.bench.race.series import RacePlan, read_race

    plan = RacePlan(
        leads_s=tuple(seconds(part, "--lead") for part in lead.split(",")),
        step_s=None if step is None else seconds(step, "--step"),
        bridges=tuple(bridges.split(",")),
        seeds=tuple(range(seed, seed + n_seeds)),
        epsilons=tuple(promises(risk)),
        policies=tuple(policies.split(",")) if policies else (),
        arms=tuple(RACE_ARMS if arms == "all" else (arms or "").split(",")) if arms else (),
        finest_s=seconds(finest, "--finest"),
        max_test_steps=max_test_steps,
        is_development=is_development,
        has_forecasts=not is_rivals_only,
        prior=shipped_prior() if has_prior else None,
        shelf=RaceShelf(keep),
    )
    one_thread()
    # Each file is read before the first race: a bad one ends the command at once.
    traces = [read_race(path, demand, plan) for path in data]
    documents: list[dict[str, Any]] = []
    for path, trace in zip(data, traces, strict=True):
        documents += _raced(path, trace, plan)
    _report(documents, is_markdown)
    write_json(json_file, {"races": documents})


def _raced(path: Path, trace: BenchTask, plan: RacePlan) -> list[dict[str, Any]]:
    from services.lab.bench.race.series import race_data

    with progress(path.stem) as tell:
        try:
            return race_data(trace, plan, tell)
        except ForecasterError as error:
            raise InvalidInput(f"{path.name}: the forecaster cannot be trained: {error}") from error


def _report(documents: list[dict[str, Any]], is_markdown: bool) -> None:
    from services.lab.bench.race import document

    for key in documents[0]["promises"]:
        at = f"{float(key):.3g}"
        print_rows(f"the room, matched at {at}", document.room_rows(documents, key), is_markdown)
        for title, rows in (
            (f"Harmony, matched at {at}", document.own_rows(documents, key)),
            (f"as deployed, promise {at}", document.deployed_rows(documents, key)),
            (f"by lead time, matched at {at}", document.verdict_rows(documents, key)),
        ):
            if rows:
                print_rows(title, rows, is_markdown)


def seconds(text: str, option: str) -> float:
    """A length of time such as 30s, 2m or 1h.

    Raises:
        InvalidInput: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise InvalidInput(f"{option}={text}: must be lengths of time such as 30s, 2m or 1h")
    return float(found[1]) * SECONDS[found[2]]
