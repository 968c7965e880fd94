"""Commands that run one stage of the pipeline by hand, or look into what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services.admin.rest.times import not_a_number, to_utc
from services.cli.connection import connected_settings
from services.cli.output import console, print_json, print_table
from services.cli.workload_filter import Name, Namespace, chosen
from services.kernel.clock import SystemClock

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _time(text: str) -> datetime:
    """A time as it is typed, UTC where it has no offset."""
    try:
        not_a_number(text)
        at = datetime.fromisoformat(text)
        return to_utc(at.replace(tzinfo=at.tzinfo or UTC))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


At = Annotated[
    datetime | None,
    typer.Option(
        parser=_time,
        metavar="TIME",
        help="Time, UTC, e.g. 2026-01-05T12:00; the last complete step before it, "
        "by the length of each service's steps. Default: the newest step.",
    ),
]
DecisionId = Annotated[int, typer.Argument(min=1, help="Id of the decision.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (ingest, forecast, decide, explain, replay):
        app.command()(command)


def ingest(
    file: Annotated[Path, typer.Argument(help="Trace: a parquet as docs/traces.md describes.")],
    demand: Annotated[
        str | None, typer.Option(help="Demand column; default: the metadata JSON beside the file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load a trace: register its workloads (Advisory) and store it as their history.

    To feed a running platform, push to `POST /v1/observations` or set HARMONY_PROMETHEUS_URL.
    """
    from services.platform.stages import ingest_trace

    report = ingest_trace(connected_settings(), file, demand, SystemClock().now())
    if as_json:
        print_json(
            {
                "workloads": report.n_workloads,
                "rows": report.n_rows,
                "observed": report.n_observed,
                "dropped": list(report.dropped),
                "rejected": [asdict(one) for one in report.rejected],
                "expiring_steps": report.n_expiring,
            }
        )
        return
    console.print(
        f"{report.n_workloads} workloads, {report.n_rows} rows, {report.n_observed} observed"
    )
    for line in report.dropped:
        console.print(f"left out: {line}")
    for one in report.rejected:
        console.print(f"not stored: {one.count} values, {one.reason}, e.g. {one.example}")
    if report.n_expiring:
        console.print(
            f"{report.n_expiring} steps lie further back than what is kept and are dropped at the "
            "next clean-up; HARMONY_RETAIN_INDICATORS_DAYS keeps them"
        )


def forecast(
    name: Name = "", namespace: Namespace = "", at: At = None, as_json: AsJson = False
) -> None:
    """Forecast every workload at its origin and show the next step's quantiles."""
    from services.platform.stages import forecast_now, origins_of

    settings = connected_settings()
    origins = origins_of(settings, at, SystemClock().now())
    rows = chosen(forecast_now(settings, origins), namespace, name)
    _show(f"Forecasts at {_times(origins)}", rows, as_json)


def decide(
    name: Name = "", namespace: Namespace = "", at: At = None, as_json: AsJson = False
) -> None:
    """Decide for every workload that has been forecast at its origin, and show the decisions."""
    from services.platform.stages import decide_now, origins_of

    settings = connected_settings()
    origins = origins_of(settings, at, SystemClock().now())
    rows = chosen(decide_now(settings, origins), namespace, name)
    _show(f"Decisions at {_times(origins)}", rows, as_json)


def explain(
    what: Annotated[
        str,
        typer.Argument(help="A decision's id, or NAMESPACE/NAME: the newest of that workload."),
    ],
    as_json: AsJson = False,
) -> None:
    """Say why a decision was made: replicas, reason, risk, forecast, guards, what if."""
    from services.cli.kubectl.explain import render_decision
    from services.platform.stages import explain_decision

    found = explain_decision(connected_settings(), what)
    if as_json:
        print_json(found.detail.model_dump(mode="json"))
    else:
        console.print(render_decision(found.detail, found.workload, found.now))


def replay(decision: DecisionId, as_json: AsJson = False) -> None:
    """Make a stored decision again from its inputs; the bytes must be the same."""
    from services.platform.stages import replay_decision

    found = replay_decision(connected_settings(), decision)
    if as_json:
        print_json(found)
    else:
        verdict = "the same bytes" if found["is_identical"] else "DIFFERENT bytes"
        console.print(f"decision {decision}: {verdict} ({found['replayed_sha256'][:16]}…)")
    if not found["is_identical"]:
        raise typer.Exit(1)


def _times(origins: Mapping[int, datetime]) -> str:
    """Origins, oldest first, with seconds where a step begins within a minute."""
    return ", ".join(
        f"{at:%Y-%m-%d %H:%M:%S} UTC" if at.second else f"{at:%Y-%m-%d %H:%M} UTC"
        for at in sorted(set(origins.values()))
    )


def _show(title: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        print_table(title, rows)
