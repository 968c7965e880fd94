"""Commands that study a trace offline: `backtest`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from services.admin.operations.schemas import Policy
from services.cli.output import (
    console,
    named,
    picture,
    print_table,
    read_from,
    streamed,
    write_json,
)
from services.cli.progress import one_thread, progress
from services.kernel.domain.figures import percentage
from services.kernel.domain.shares import SHARE_RULE, is_share
from services.kernel.errors import ConfigurationError, InvalidInput
from services.kernel.settings import LARGEST_SEED

if TYPE_CHECKING:
    from services.backtest.study import Study
    from services.simulator.fleet import LoadedTrace
    from services.simulator.measurements import ColumnChoice, Measurements

DataOption = Annotated[
    Path,
    typer.Option(
        "--data", callback=read_from, help="Trace: CSV, JSON lines or parquet (docs/traces.md)."
    ),
]
DataOptions = Annotated[
    list[Path],
    typer.Option(
        "--data", callback=read_from, help="Trace: a parquet (docs/traces.md); repeatable."
    ),
]
Demand = Annotated[
    str | None, typer.Option(help="Demand column; default: found by its name, and said.")
]
Step = Annotated[
    int | None,
    typer.Option(min=1, max=604_800, help="Resample to this step in seconds; default: the data's."),
]
Risk = Annotated[str, typer.Option(help="Promises, comma-separated shares of time out of SLA.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of everything random.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", callback=streamed, help="Write the figures to this file; -: stdout."),
]

Data = Annotated[
    Path | None,
    typer.Argument(
        callback=read_from,
        help="Your measurements: CSV, JSON lines or parquet; or ask --prometheus.",
    ),
]
TimeColumn = Annotated[
    str | None, typer.Option("--time", help="Column of the time; default: found, and said.")
]
WorkloadColumn = Annotated[
    str | None,
    typer.Option(
        "--id", help="Column that names the service, '' for one service; default: found, and said."
    ),
]
PrometheusUrl = Annotated[
    str | None, typer.Option(help="Ask this Prometheus instead, e.g. http://localhost:9090.")
]
Query = Annotated[
    str | None, typer.Option(help="With --prometheus: PromQL; each series is a service.")
]
Since = Annotated[str | None, typer.Option(help="With --prometheus: how far back; default: 14d.")]
Hours = Annotated[
    float | None,
    typer.Option(min=1, help="Hours at the end to replay; default: 24, or a quarter."),
]
Policies = Annotated[str, typer.Option(help="Rivals whose frontiers are drawn, comma-separated.")]
ShortageUsd = Annotated[
    float | None,
    typer.Option(help="Price of a workload's hour out of SLA, for the recommended promise."),
]
PlotFile = Annotated[
    Path | None, typer.Option(callback=picture, help="Write the frontiers to this PNG.")
]
ReportFile = Annotated[
    Path | None, typer.Option(callback=named, help="Write a page of HTML to this file.")
]

DEFAULT_SINCE = "14d"
LONGEST_REPLAY_H = 24.0
REPLAYED_SHARE = 0.25
"""A replay is a day, or this share of data that are shorter than four."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(backtest)


def backtest(  # noqa: PLR0913 - one option each
    file: Data = None,
    time: TimeColumn = None,
    workload: WorkloadColumn = None,
    demand: Demand = None,
    prometheus: PrometheusUrl = None,
    query: Query = None,
    since: Since = None,
    step: Step = None,
    hours: Hours = None,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    policies: Policies = "hpa,trailing_percentile,static_peak",
    shortage_usd: ShortageUsd = None,
    json_file: JsonFile = None,
    plot: PlotFile = None,
    report: ReportFile = None,
) -> None:
    """Find out on your own data whether Harmony would pay, before you enable it.

    Trains and tunes on everything but the last hours, then replays those under Harmony (with what
    would serve: the trained model if it is better, else the shipped prior or the best simple
    forecaster; beside a model also with the latter alone), tuned HPA, trailing percentile, static
    peak and an oracle on identical demand and start-up luck. Needs no database and no cluster.

    Then it runs each policy at many settings over the same hours, with GPUs enough for all: its
    frontier says what each share of time out of SLA costs. The recommended promise is the knee of
    Harmony's, where one more dollar stops averting its share of violations; with --shortage-usd it
    is the one at which GPUs and hours out of SLA together cost least. `harmony bench decide`
    compares every policy.
    """
    from services.simulator.measurements import ColumnChoice

    asked, rivals = promises(risk), _names(policies)
    source, choice = _source(file, prometheus, query), ColumnChoice(time, workload, demand)
    _refuse_unread(source, choice, since)
    with progress() as tell:
        tell("reading")
        found = _measured(source, choice, since or DEFAULT_SINCE, step)
        _say(found.said)  # before the replay is tried: what was read may be why it cannot be
        loaded = _replayed(found, step, hours, seed)
        left_out = [f"left out: {d.workload}: {d.reason}" for d in loaded.dropped]
        _say([loaded.end_said, *left_out])
        said = [*found.said, loaded.end_said, *left_out]
        one_thread()
        from services.backtest.study import run_study  # dear to load: wrong data is named before

        study = run_study(loaded.fleet, asked, tell, policies=rivals, shortage_usd=shortage_usd)
    _print_study(study)
    write_json(json_file, study.to_json())
    _draw(study, said, plot, report)


def _say(sentences: Sequence[str]) -> None:
    for line in sentences:
        console.print(line, markup=False, highlight=False)


def _draw(study: Study, said: list[str], plot: Path | None, report: Path | None) -> None:
    from services.backtest.page import write_page
    from services.backtest.plot import plot_study

    if plot is not None:
        plot_study(study, plot)
    if report is not None:
        write_page(study, said, report)


def _source(file: Path | None, prometheus: str | None, query: str | None) -> Path | tuple[str, str]:
    """The file, or the Prometheus and its query.

    Raises:
        InvalidInput: Not exactly one of both is named, or the server by no URL.
    """
    if file is not None and prometheus is None and query is None:
        return file
    if file is None and prometheus is not None and query is not None:
        if not prometheus.startswith(("http://", "https://")):
            raise InvalidInput(
                f"--prometheus={prometheus}: must be a URL, e.g. http://localhost:9090"
            )
        return prometheus, query
    raise InvalidInput(
        "give a file, e.g. `harmony backtest mine.csv`, or both --prometheus URL and --query PROMQL"
    )


def _refuse_unread(source: Path | tuple[str, str], choice: ColumnChoice, since: str | None) -> None:
    """Refuse options that this source does not read; passed over they would seem to have worked.

    Raises:
        InvalidInput: One is given.
    """
    if isinstance(source, Path):
        if since is not None:
            raise InvalidInput(f"--since={since}: is for --prometheus; of a file all rows are read")
        return
    columns = {"--time": choice.time, "--id": choice.workload, "--demand": choice.demand}
    for option, name in columns.items():
        if name is not None:
            raise InvalidInput(f"{option}={name}: names a column of a file; --prometheus has none")


def _measured(
    source: Path | tuple[str, str], choice: ColumnChoice, since: str, step: int | None
) -> Measurements:
    from services.kernel.clock import SystemClock
    from services.simulator.measurements import (
        DEFAULT_STEP_S,
        PrometheusRange,
        read_file,
        read_prometheus,
    )

    if isinstance(source, Path):
        return read_file(source, choice)
    url, query = source
    wanted = PrometheusRange(url, query, since, step or DEFAULT_STEP_S)
    try:
        return read_prometheus(wanted, SystemClock().now())
    except ConfigurationError as error:  # which names the setting that it is elsewhere
        said = error.message.replace("HARMONY_PROMETHEUS_URL", "--prometheus")
        raise InvalidInput(said) from error


def _replayed(found: Measurements, step: int | None, hours: float | None, seed: int) -> LoadedTrace:
    from services.simulator.fleet import TraceOptions, fleet_of

    replay_h = hours or min(LONGEST_REPLAY_H, REPLAYED_SHARE * found.trace.hours())
    options = TraceOptions(step_s=step, replay_hours=replay_h, seed=seed)
    return fleet_of(found.trace, found.name, options)


def _print_study(study: Study) -> None:
    console.print(
        f"{study.fleet.label}, {study.fleet.replay_hours:g} h; forecaster: {study.trained.reason}"
    )
    for result, matched in zip(study.results, study.matched, strict=True):
        rows = [
            {
                "policy": s.name,
                "GPU-hours": f"{s.gpu_hours:,.0f}",
                "cost USD": f"{s.cost_usd:,.0f}",
                "out of SLA": percentage(s.violation_rate),
                "unserved": s.unserved_words,
                "scale ops": s.scale_ops,
                "setting": s.setting,
            }
            for s in result.scores
        ]
        print_table(f"promise: at most {percentage(result.epsilon)} of time out of SLA", rows)
        console.print(f"As deployed: {result.verdict()}")
        console.print(matched.sentence())
    console.print(study.advice())


def _names(policies: str) -> list[str]:
    """The rivals of `--policies`, one at least: without any there is nobody to be cheaper than.

    They are looked at before anything is read: a query of weeks may take minutes.

    Raises:
        InvalidInput: None is named, or one that is not known, or one twice.
    """
    found = [name.strip() for name in policies.split(",") if name.strip()]
    if not found:
        raise InvalidInput(f"--policies={policies}: name one rival at least, e.g. hpa")
    known = get_args(Policy)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise InvalidInput(f"--policies: {unknown[:60]!r} is unknown; known: {', '.join(known)}")
    if len(set(found)) < len(found):
        raise InvalidInput(f"--policies={policies}: each rival once, e.g. hpa,static_peak")
    return found


def promises(risk: str) -> list[float]:
    """The promises of `--risk`, each once.

    Raises:
        InvalidInput: They are no shares of time, or one is given twice.
    """
    try:
        found = [float(part) for part in risk.split(",")]
    except ValueError as error:
        raise InvalidInput(f"--risk={risk}: must be numbers, e.g. 0.01,0.05") from error
    if not all(map(is_share, found)):
        raise InvalidInput(f"--risk={risk}: each {SHARE_RULE}, e.g. 0.01,0.05")
    if len(set(found)) < len(found):
        raise InvalidInput(f"--risk={risk}: each promise once, e.g. 0.01,0.05")
    return found
