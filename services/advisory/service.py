"""The advisory report of a live cluster: services that Harmony does not scale, with and without it.

Nothing is forecast or decided anew: the counts are those that were decided at the time, from what
was known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from pydantic import ValidationError
from sqlalchemy import Connection, RowMapping

from services.advisory import repository
from services.advisory.block_sums import DAY_S, BlockSums, block_length_s, block_sums
from services.advisory.comparison import SideBySide, compare, ran
from services.advisory.counterfactual import (
    HOUR_S,
    CarriedOut,
    Replay,
    StoredSteps,
    carry_out,
)
from services.advisory.replica_gpus import ReplicaGpus
from services.advisory.report import OF_REQUESTS, AdvisoryReport, Day, ServiceReport
from services.advisory.rows import (
    WindowGrid,
    grid_until,
    is_own_now,
    is_there,
    scaled_by,
    start_law,
    to_steps,
)
from services.backtest.controller import PRIOR_STARTS
from services.backtest.frontier import start_times_s
from services.backtest.stored import stored_workload
from services.kernel.clock import make_rng
from services.kernel.domain import WorkloadSpec, known_spec
from services.kernel.errors import NotFound
from services.simulator.fleet.arrays import BoolArray

ADVISORY = "Advisory"
_STEPS_AT_ONCE = 4_000_000
"""Of all workloads that are replayed together, each some 150 bytes; the fleet may have any."""


@dataclass(frozen=True, slots=True)
class AdvisoryQuery:
    """What is asked.

    Attributes:
        since: Length of the time up to now.
        namespace: Only this namespace; empty: all.
        name: Only this workload; empty: all.
        seed: Of stated start-up times and of the intervals.
    """

    since: timedelta
    namespace: str = ""
    name: str = ""
    seed: int = 7


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """A workload's window as it is stored.

    Attributes:
        is_own_now: Harmony, or who follows it, scaled it at the end.
        problem: Why it cannot be replayed.
        is_there: (T,) it was there, or it is known what ran.
    """

    id: int
    workload: str
    spec: WorkloadSpec
    grid: WindowGrid
    replay: Replay
    scaled_by: str
    is_own_now: bool
    starts: str
    problem: str
    is_there: BoolArray


def load_report(connection: Connection, query: AdvisoryQuery, now: datetime) -> AdvisoryReport:
    """The services that somebody else scales, beside what Harmony decided for them.

    Args:
        connection: Only read from.
        query: What is asked.
        now: End of the window, in the time of the data.

    Raises:
        NotFound: No workload of the namespace and name asked for is active, or left in this time.
    """
    rows = repository.load_workloads(connection, query.namespace, query.name)
    left = repository.load_left(connection, query.namespace, query.name, now - query.since)
    if not rows and not left and (query.namespace or query.name):
        asked = f"namespace={query.namespace or 'any'}, name={query.name or 'any'}"
        raise NotFound(f"no active workload has {asked}; see `harmony status`")
    blocks = _blocks(query, now)
    judged: list[_JudgedWindow] = []
    waiting: list[_Window] = []
    left_out = [
        (f"{row['namespace']}/{row['name']}", f"it left at {row['updated_at']:%Y-%m-%d %H:%M} UTC")
        for row in left
    ]
    for row in rows:
        key = f"{row['namespace']}/{row['name']}"
        try:
            window = _load_window(connection, row, query, now)
        except ValidationError as error:
            left_out.append((key, f"its spec cannot be read: {error.errors()[0]['msg']}"))
            continue
        if _is_ours(window):
            left_out.append((key, "Harmony scales it"))
            continue
        waiting.append(window)
        if sum(one.grid.n for one in waiting) >= _STEPS_AT_ONCE:
            judged += _judge(waiting, blocks, query.seed)
            waiting.clear()
    judged += _judge(waiting, blocks, query.seed)
    return _report(judged, left_out, blocks, query, now)


def _load_window(
    connection: Connection, row: RowMapping, query: AdvisoryQuery, now: datetime
) -> _Window:
    spec, grid = known_spec(row["spec"]), grid_until(now, query.since, int(row["step_s"]))
    key = (connection, int(row["id"]), grid.from_at, grid.to_at)
    decisions = repository.load_decisions(*key)
    counts = repository.load_replica_range(*key)
    outcomes = [] if counts is None else repository.load_outcomes(*key)
    owner = stored_workload(row, spec)
    starts = start_law(
        repository.load_starts(*key), start_times_s(owner, query.seed), round(PRIOR_STARTS)
    )
    # of parts no count is replayed
    changed_at = grid.from_at if spec.parts else row["updated_at"]
    starting = repository.load_starting(*key) if changed_at > grid.from_at else []
    gpus = ReplicaGpus(spec.gpus_per_replica, changed_at, starting)
    steps = to_steps(grid, outcomes, decisions, gpus)
    return _Window(
        int(row["id"]),
        owner.key,
        spec,
        grid,
        Replay(steps, spec.price_usd_per_gpu_hour, starts.lead_s),
        scaled_by(decisions, counts),
        is_own_now(decisions),
        starts.words,
        _problem(spec, steps, is_told=counts is not None),
        is_there(grid, row["created_at"], repository.load_absences(*key))
        | np.isfinite(steps.cost_usd),
    )


def _problem(spec: WorkloadSpec, steps: StoredSteps, *, is_told: bool) -> str:
    """Why the decisions of a window cannot be carried out; empty: they can."""
    if spec.pools or spec.variants:
        return "it has pools or variants, and one count is replayed"
    if not is_told:
        return "nobody told of its replicas"
    if not steps.is_decided.any():
        return "Harmony decided nothing for it in this time"
    if not steps.is_priced.any():
        return "no step that was decided for has a known cost"
    if not steps.is_compared.any():
        return "its spec was changed, and how many GPUs a replica had before is not known"
    return ""


def _is_ours(window: _Window) -> bool:
    """Harmony, or who follows it, scales the workload."""
    is_own = bool(window.replay.steps.is_own.any())
    return is_own and (window.spec.mode != ADVISORY or window.is_own_now)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a window is summed up over, in epoch seconds: blocks for intervals, days to show."""

    from_s: float
    block_s: float
    n_blocks: int
    first_day_s: float
    n_days: int


def _blocks(query: AdvisoryQuery, now: datetime) -> _Blocks:
    from_s, length_s = (now - query.since).timestamp(), query.since.total_seconds()
    block_s = block_length_s(length_s)
    first_day_s = from_s // DAY_S * DAY_S
    n_days = int((now.timestamp() - first_day_s) // DAY_S) + 1
    return _Blocks(from_s, block_s, max(1, round(length_s / block_s)), first_day_s, n_days)


@dataclass(frozen=True, slots=True, eq=False)
class _JudgedWindow:
    """What a window came to; its steps are kept no longer. None: nothing can be compared."""

    service: ServiceReport
    sums: BlockSums | None
    days: BlockSums | None


def _judge(windows: Sequence[_Window], blocks: _Blocks, seed: int) -> list[_JudgedWindow]:
    """Carry out the decisions of some workloads, and sum up."""
    carried = _carried(windows)
    found = []
    for one in windows:
        sums = days = comparison = None
        if one.id in carried:
            steps = one.replay.steps, carried[one.id]
            sums = block_sums(*steps, blocks.from_s, blocks.block_s, blocks.n_blocks)
            days = block_sums(*steps, blocks.first_day_s, DAY_S, blocks.n_days)
            comparison = compare([sums], make_rng(seed, "advisory", one.id))
        found.append(_JudgedWindow(_service(one, comparison), sums, days))
    return found


def _report(
    judged: Sequence[_JudgedWindow],
    left_out: Sequence[tuple[str, str]],
    blocks: _Blocks,
    query: AdvisoryQuery,
    now: datetime,
) -> AdvisoryReport:
    sums = [one.sums for one in judged if one.sums is not None]
    return AdvisoryReport(
        now - query.since,
        now,
        query.seed,
        blocks.block_s,
        tuple(one.service for one in judged),
        compare(sums, make_rng(query.seed, "advisory")),
        _days([one.days for one in judged if one.days is not None], blocks, query.seed),
        tuple(left_out),
    )


def _carried(windows: Sequence[_Window]) -> dict[int, CarriedOut]:
    """Decisions carried out, by workload id: those with one length of a step together."""
    found: dict[int, CarriedOut] = {}
    able = [one for one in windows if not one.problem]
    for step_s in sorted({one.grid.step_s for one in able}):
        group = [one for one in able if one.grid.step_s == step_s]
        done = carry_out([one.replay for one in group])
        found |= {one.id: each for one, each in zip(group, done, strict=True)}
    return found


def _service(window: _Window, comparison: SideBySide | None) -> ServiceReport:
    steps, spec = window.replay.steps, window.spec
    step_h = steps.step_s / HOUR_S
    is_known = np.isfinite(steps.cost_usd) & ~steps.is_own
    is_of_requests = spec.sla.kind == OF_REQUESTS
    guarded = steps.is_compared & (steps.desired != steps.raw)
    there = window.is_there
    return ServiceReport(
        workload=window.workload,
        mode=spec.mode,
        promise=spec.sla.epsilon,
        kind=spec.sla.kind,
        scaled_by=window.scaled_by,
        window_hours=float(there.sum()) * step_h,
        undecided_hours=float((np.isnan(steps.desired) & there).sum()) * step_h,
        unpriced_hours=float((np.isnan(steps.cost_usd) & there).sum()) * step_h,
        unsized_hours=float((steps.is_priced & ~steps.is_compared).sum()) * step_h,
        own_hours=float(steps.is_own.sum()) * step_h,
        guarded_hours=float(guarded.sum()) * step_h,
        today=ran(steps, is_known, is_of_requests=is_of_requests),
        compared=ran(steps, steps.is_compared, is_of_requests=is_of_requests),
        comparison=comparison,
        reason=window.problem,
        starts=window.starts,
    )


def _days(sums: Sequence[BlockSums], blocks: _Blocks, seed: int) -> tuple[Day, ...]:
    """What each day (UTC) of the window was, of the services that can be compared."""
    found = []
    for day in range(blocks.n_days):
        parts = [BlockSums(*(column[day : day + 1] for column in one.columns())) for one in sums]
        comparison = compare(parts, make_rng(seed, "advisory", "day"))
        if comparison is not None:
            found.append(
                Day(datetime.fromtimestamp(blocks.first_day_s + day * DAY_S, UTC), comparison)
            )
    return tuple(found)
