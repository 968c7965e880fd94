"""Results of the demo: terminal table, HTML report, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.text import Text

from services.kernel.whole_files import write_whole
from services.lab.demo.evidence import calibration_of, start_times
from services.lab.demo.options import DemoOptions
from services.lab.demo.replay import Latency
from services.lab.demo.repository import (
    ForecastCount,
    believed_violation_ratio,
    chain_counts,
    felt_violation_ratios,
    forecast_sources,
    n_decided_for_queues,
    n_measured_starts,
    n_measured_workloads,
    next_step_forecasts,
    workload_ids,
)
from services.lab.demo.session import DemoSession
from services.lab.demo.spent import CpuMeter
from services.lab.report import (
    FanChart,
    Felt,
    PoolFigures,
    ReportData,
    RivalFrontier,
    headline,
    measured_line,
    pools_json,
    render_report,
    scoreboard_table,
    services_json,
    summary_json,
)
from services.simulator import PolicyRun, PolicyScore, ServedFleet, needed_gpus
from services.simulator.fleet import Fleet, ScaledFleet
from services.simulator.fleet.arrays import FloatArray

_N_FANS = 4
_PRIOR = "prior"
"""The rung of the shipped prior; the forecaster itself would take seconds to load here."""
MUST_BE_ZERO = (
    "forecasts_without_decision",
    "decisions_without_action",
    "actions_without_decision",
    "decided_twice",
    "applied_twice",
)

_SERVED_NOTE = (
    "Requests are served by a response that no policy is told: a service's replica bears 0.75 to "
    "1.25 of the stated capacity, of every fourth one it drifts. A step is out of SLA when more "
    "than 5 % of its requests missed. What replicas cannot carry waits for the next step, for a "
    "minute at most. Harmony counts misses and waiting requests; rivals and oracle go by what is "
    "stated."
)


_POOLS_NOTE = (
    "Of a service with pools every request passes all of them. Rivals know no pools: their rule "
    "scales each on its own load, with the setting that it has for every service."
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """Everything that the replay brought.

    Attributes:
        scores: Harmony's and the rivals', by service.
        by_target: The same by target.
        run: Harmony's run.
        latencies: Wall time of each step.
        wall_s: Duration of the whole demo so far.
        peak_gib: Peak memory of all its processes.
        served: How requests were served; None: by the stated capacity.
        frontiers: The rivals at several settings.
        spent: Processor time by part of the demo; None: nobody counts it.
    """

    scores: tuple[PolicyScore, ...]
    by_target: tuple[PolicyScore, ...]
    run: PolicyRun
    latencies: list[Latency]
    wall_s: float
    peak_gib: float
    served: ServedFleet | None
    frontiers: tuple[RivalFrontier, ...] = ()
    spent: CpuMeter | None = None


def write_results(
    session: DemoSession,
    scaled: ScaledFleet,
    options: DemoOptions,
    replayed: Replayed,
    console: Console,
) -> dict[str, Any]:
    """Print the scoreboard, write the report and the JSON.

    Returns:
        The JSON document.
    """
    engine, fleet = session.deps.engine, scaled.services
    first = fleet.step_at(fleet.n_history)
    origin_at = fleet.step_at(fleet.n_history - 1)
    chain, sources = chain_counts(engine, origin_at), forecast_sources(engine, origin_at)
    data = report_data(session, scaled, options, replayed, sources)
    document: dict[str, Any] = {
        **summary_json(data),
        "seed": fleet.seed,
        "step_s": fleet.step_s,
        "forecasts": [asdict(source) for source in sources],
        "violation_rate_believed_by_platform": believed_violation_ratio(engine, first),
        "lead_times_measured": n_measured_starts(engine),
        "step_wall_s": _latency_summary(replayed.latencies),
        "rows": chain,
        "pools": pools_json(data),
    }
    if data.felt is not None:
        document["felt"] = {
            "violation_rate_measured_by_platform": _measured_mean(data.felt),
            "workloads_measured": n_measured_workloads(engine),
            "decisions_for_queues": n_decided_for_queues(engine, first),
            "services": services_json(data),
        }
    write_whole(options.report, render_report(data))
    if replayed.spent is not None:
        replayed.spent.mark("report")
        document["cpu_s"] = replayed.spent.to_json()
    if options.json_file is not None:
        write_whole(options.json_file, json.dumps(document, indent=2) + "\n")
    console.print(scoreboard_table(data))
    if data.is_felt:
        console.print(Text.assemble((headline(data), "bold"), f"; {measured_line(data)}"))
    console.print(_rows_line(chain))
    console.print(f"report: {options.report.resolve()}")
    return document


def _measured_mean(felt: Felt) -> float | None:
    """What Harmony counted over all services; None where it counted none."""
    return None if np.isnan(felt.measured_mean) else felt.measured_mean


def _latency_summary(latencies: list[Latency]) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of each part of a step."""
    return {
        name: {
            label: round(float(np.percentile([getattr(one, name) for one in latencies], p)), 4)
            for label, p in (("p50", 50), ("p99", 99))
        }
        for name in ("snapshot_s", "push_s", "pipeline_s")
    }


def _rows_line(chain: dict[str, int]) -> Text:
    stages = ", ".join(f"{chain[name]} {name}" for name in ("forecasts", "decisions", "actions"))
    faults = {name: chain[name] for name in MUST_BE_ZERO if chain[name]}
    if faults:
        return Text(f"rows: {stages}; broken chain: {faults}", "bold red")
    return Text(f"rows: {stages}; no orphan, no duplicate")


def report_data(
    session: DemoSession,
    scaled: ScaledFleet,
    options: DemoOptions,
    replayed: Replayed,
    sources: Sequence[ForecastCount],
) -> ReportData:
    """The report's input."""
    fleet, engine = scaled.services, session.deps.engine
    memory_gib = psutil.virtual_memory().total / 2**30
    served = replayed.served
    return ReportData(
        data=fleet.label,
        seed=fleet.seed,
        simulated_hours=fleet.replay_hours,
        start_at=fleet.step_at(fleet.n_history),
        step_s=fleet.step_s,
        workloads=tuple(workload.key for workload in fleet.workloads),
        epsilon=options.epsilon,
        scores=replayed.scores,
        needed_gpus=needed_gpus(scaled.targets),
        fans=fan_charts(session, scaled, replayed.run, served),
        notes=(*fleet.notes, forecasts_line(sources), *_notes(scaled, served)),
        wall_s=replayed.wall_s,
        peak_rss_gib=replayed.peak_gib,
        machine=f"{os.cpu_count()} cores, {memory_gib:.0f} GiB",
        title="Harmony demo",
        felt=None if served is None else _felt(session, fleet, served),
        pools=pool_figures(scaled, replayed),
        frontiers=replayed.frontiers,
        calibration=calibration_of(engine, fleet),
        starts=start_times(engine, fleet),
    )


def forecasts_line(sources: Sequence[ForecastCount]) -> str:
    """Which forecaster answered how often, in words."""
    parts = [f"{one.n:,} by the rung {one.rung} ({one.version})" for one in sources]
    line = f"Forecasts: {', '.join(parts) or 'none'}."
    if any(one.rung == _PRIOR for one in sources):
        line += " The prior is shipped with Harmony and has seen none of these services."
    return line


def _notes(scaled: ScaledFleet, served: ServedFleet | None) -> tuple[str, ...]:
    """Remarks on pools and on how requests are served."""
    found = () if served is None else (_SERVED_NOTE,)
    return (*found, _POOLS_NOTE) if any(scaled.pools) else found


def pool_figures(scaled: ScaledFleet, replayed: Replayed) -> tuple[PoolFigures, ...]:
    """Each pool of the services that have several."""
    served = replayed.served
    found = []
    for target, pool in enumerate(scaled.pools):
        if not pool:
            continue
        owner = scaled.targets.workloads[target]
        found.append(
            PoolFigures(
                service=scaled.services.workloads[scaled.owner[target]].key,
                pool=pool,
                hardware=f"{owner.gpus_per_replica} x {owner.gpu_type}",
                load=owner.demand,
                first_ratio=None if served is None else float(served.ratio[target, 0]),
                last_ratio=None if served is None else float(served.ratio[target, -1]),
                gpu_hours={s.name: float(s.workload_gpu_hours[target]) for s in replayed.by_target},
            )
        )
    return tuple(sorted(found, key=lambda one: one.service))


def _felt(session: DemoSession, fleet: Fleet, served: ServedFleet) -> Felt:
    engine = session.deps.engine
    ids = workload_ids(engine)
    counted = felt_violation_ratios(engine, fleet.step_at(fleet.n_history))
    measured = [counted.get(ids[workload.key], np.nan) for workload in fleet.workloads]
    ratio = served.ratio[: fleet.n_workloads]
    return Felt(np.array(measured), ratio[:, 0], ratio[:, -1])


def fan_charts(
    session: DemoSession, scaled: ScaledFleet, run: PolicyRun, served: ServedFleet | None
) -> tuple[FanChart, ...]:
    """Forecasts of the next step against demand, one workload of each kind first."""
    fleet = scaled.services
    ids = workload_ids(session.deps.engine)
    chosen = sorted(
        range(fleet.n_workloads),
        key=lambda i: sum(w.kind == fleet.workloads[i].kind for w in fleet.workloads[:i]),
    )
    found = []
    for i in chosen[:_N_FANS]:
        first = fleet.step_at(fleet.n_history - 1)
        rows = next_step_forecasts(session.deps.engine, ids[fleet.workloads[i].key], first)
        if rows:
            ratio = np.ones(fleet.n_replay) if served is None else served.ratio[i]
            fan = _fan_chart(fleet, run, i, rows, ratio)
            pool = f"{scaled.pools[i]} pool; " if scaled.pools[i] else ""
            found.append(replace(fan, caption=pool + fan.caption))
    return tuple(found)


def _fan_chart(
    fleet: Fleet, run: PolicyRun, i: int, rows: list[Any], ratio: FloatArray
) -> FanChart:
    """Forecasts of workload `i`; (R,) `ratio` is what a replica bears over what is stated."""
    workload = fleet.workloads[i]
    levels = np.array(rows[0].quantile_levels, dtype=float)
    quantiles = np.full((levels.size, fleet.n_replay), np.nan)
    for row in rows:
        steps = (row.origin_at.astimezone(UTC).timestamp() - fleet.replay_start_s) / fleet.step_s
        column = round(steps) + 1  # a forecast at an origin is for the step after it
        if 0 <= column < fleet.n_replay and len(row.quantiles) == levels.size:
            quantiles[:, column] = row.quantiles
    rungs = sorted({str(row.rung) for row in rows})
    unit = next((s.unit for s in workload.indicators if s.name == workload.demand), "")
    return FanChart(
        workload=workload.key,
        unit=f"{workload.demand} ({unit})" if unit else workload.demand,
        start_s=float(fleet.replay_start_s),
        step_s=float(fleet.step_s),
        demand=fleet.demand[i, fleet.n_history :],
        quantile_levels=levels,
        quantiles=quantiles,
        ready_capacity=run.ready_mean[i] * workload.capacity_per_replica * ratio,
        caption=f"{workload.kind} on {workload.gpu_type}; forecast by: {', '.join(rungs)}",
    )


def shown_time(at: datetime) -> str:
    """A simulated time, short."""
    return f"{at:%a %H:%M}"
