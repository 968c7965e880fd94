"""Responses from before the first decision: counts of the history, and who was ready then.

A service that is new to Harmony has run before. Where its history tells what requests felt, what
was asked for and how many replicas were ready, its response need not be learned by missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from decider import FloatArray
from services.decision.beliefs import repository
from services.decision.beliefs.groups import MeasuredGroup, load_groups
from services.decision.beliefs.miss_data import (
    MIN_STEPS,
    MISSES,
    MissSteps,
    learned_for,
)
from services.decision.beliefs.miss_steps import StepSpan, load_steps
from services.decision.beliefs.miss_view import PARTICLES
from services.decision.beliefs.misses import learned_alone, learned_row, tell_refused
from services.decision.rows.loads import Sampled
from services.decision.rows.measured import measure
from services.decision.rows.members import ShardMember, readable_members
from services.decision.rows.observed_loads import load_observed
from services.decision.rows.repository import load_series, load_workloads
from services.decision.rows.sli_series import SliGrid
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from services.kernel.db.steps.kept import KeptSteps
from services.kernel.domain.measured_by import is_learned_for
from services.kernel.domain.objective import READY, WAITING, counted_names
from services.kernel.telemetry import get_logger

SINCE = timedelta(days=14)
MAX_STEPS = 2880
"""How far back history counts, and how many of its newest steps are read."""
MAX_AT_ONCE = 32
"""Workloads whose histories are held at once."""


def learn_history(deps: DecisionDeps, shard: int) -> int:
    """Learn the response of each workload of a shard whose history tells more than is known yet.

    Harmless when run twice. What a fit has learned, and what was learned of as many steps, stays.

    Args:
        deps: What the use case needs.
        shard: The shard.

    Returns:
        How many have learned.
    """
    with deps.engine.connect() as connection:
        now = deps.now(connection)
        found, _ = readable_members(load_workloads(connection, shard))
    members = [one for one in found if tells_by_history(one)]
    n_learned = 0
    for first in range(0, len(members), MAX_AT_ONCE):
        n_learned += _learn_some(deps, members[first : first + MAX_AT_ONCE], now)
    get_logger(__name__).info("history_learned", shard=shard, workloads=n_learned)
    return n_learned


def tells_by_history(member: ShardMember) -> bool:
    """Whether history could tell a workload's response.

    Nothing says which of several variants or pools served then.
    """
    spec = member.spec
    return spec.sla.objective is not None and not spec.variants and not spec.pools


def _learn_some(deps: DecisionDeps, members: Sequence[ShardMember], now: datetime) -> int:
    with deps.engine.connect() as connection:
        known, groups = _known_steps(connection, members), load_groups(connection, members)
        past = load_history(connection, members, now)
        span = StepSpan({one.id: now - SINCE for one in members}, now, MAX_STEPS)
        since = load_steps(connection, members, span, is_remeasured=True)
    rows = []
    for member in members:
        steps = with_history(since.get(member.id), past.get(member.id))
        if steps is None:
            continue
        is_more = steps.size > known.get(member.id, MIN_STEPS - 1)
        row = _learned(member, steps, groups.get(member.id), now) if is_more else None
        if row is not None:
            rows.append(row)
    with unit_of_work(deps.engine) as work:
        for row in rows:
            repository.replace_particles(work.connection, row)
    return len(rows)


def _known_steps(connection: Connection, members: Sequence[ShardMember]) -> dict[int, float]:
    """Steps that each response in use was learned from; endless where a fit has learned it."""
    by_scope = {f"workload:{one.id}": one for one in members}
    found = {}
    for row in repository.load_posteriors(connection, MISSES, list(by_scope)):
        member, summary = by_scope[row["scope"]], row["summary"]
        if is_learned_for(summary, learned_for(member)):
            is_own = summary.get("method") == PARTICLES
            found[member.id] = float(row["n_observations"]) if is_own else float("inf")
    return found


def _learned(
    member: ShardMember, steps: MissSteps, group: MeasuredGroup | None, now: datetime
) -> dict[str, Any] | None:
    try:
        return learned_row(member, learned_alone(member, steps, group), steps, now)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        tell_refused(member, error)
        return None


@dataclass(frozen=True, slots=True)
class PastSeries:
    """Series of one workload's history.

    Attributes:
        counted: Those of its objective by name, and the replicas that were ready.
        loads: Its demand and further loads by name.
    """

    counted: Mapping[str, Sampled]
    loads: Mapping[str, Sampled]


def load_history(
    connection: Connection, members: Sequence[ShardMember], now: datetime
) -> dict[int, MissSteps]:
    """Steps of the history by workload; one of which nothing can be told is not there.

    Args:
        connection: An open transaction.
        members: The workloads; each can be told by its history.
        now: Time that the history ends before.
    """
    by_step: dict[int, list[ShardMember]] = {}
    for member in members:
        by_step.setdefault(member.step_s, []).append(member)
    found: dict[int, MissSteps] = {}
    for step_s, group in by_step.items():
        first = now - min(SINCE, timedelta(seconds=step_s * MAX_STEPS))
        ready = load_series(connection, {one.id: [READY] for one in group}, first, now)
        told = {one.id: one for one in group if one.id in ready}
        names = {
            key: [*counted_names(objective.goals), READY]
            for key, one in told.items()
            if (objective := one.spec.sla.objective) is not None
        }
        counted = load_series(connection, names, first, now)
        loads = load_observed(connection, told, first, now, KeptSteps())
        since = repository.load_gpus_since(connection, list(told))
        for key, member in told.items():
            steps = history_steps(member, PastSeries(counted[key], loads.get(key, {})))
            if key in since:  # counts are of the present goals; who was ready had other GPUs before
                steps = steps.rows(np.flatnonzero(steps.steps_s > since[key].timestamp()))
            if steps.size:
                found[key] = steps
    return found


def history_steps(member: ShardMember, past: PastSeries) -> MissSteps:
    """Steps of which requests, misses, all loads and the ready replicas are known, no queue's.

    Args:
        member: The workload.
        past: Its series; replicas were ready in one step at least.
    """
    spec = member.spec
    ready_s = past.counted[READY][0]
    n_steps = round((ready_s[-1] - ready_s[0]) / member.step_s) + 1
    grid = SliGrid(float(ready_s[-1]), float(member.step_s), n_steps)
    found = measure(member, past.counted, grid, was_measured=True).steps
    unknown = (np.nan, np.nan)
    felt = [
        (one.requests, one.miss_high * one.requests) if (one := found.get(at)) else unknown
        for at in grid.starts_s.tolist()
    ]
    requests, missed = np.array(felt, dtype=float).T
    ready = _on_grid(past.counted[READY], grid)
    load = np.stack([_on_grid(past.loads.get(name), grid) for name in spec.loads], axis=1)
    load /= np.where(ready > 0, ready, np.nan)[:, None]
    is_known = np.isfinite(load).all(axis=1) & (load[:, 0] > 0) & (requests > 0)
    every = MissSteps(grid.starts_s, load if spec.further_loads else load[:, 0], missed, requests)
    known = every.rows(np.flatnonzero(is_known & np.isfinite(requests)))
    return known.without_queues(past.counted.get(WAITING), float(member.step_s))


def _on_grid(series: Sampled | None, grid: SliGrid) -> FloatArray:
    """(T,) values; NaN where there is none."""
    values = np.full(grid.n_steps, np.nan)
    if series is not None:
        at = np.round((series[0] - grid.starts_s[0]) / grid.step_s).astype(np.int64)
        inside = (at >= 0) & (at < grid.n_steps)
        values[at[inside]] = series[1][inside]
    return values


def with_history(since: MissSteps | None, past: MissSteps | None) -> MissSteps | None:
    """Steps that Harmony has seen, and those of the history that it has not, in time order."""
    if since is None or past is None:
        return past if since is None else since
    seen = np.isin(np.round(past.steps_s), np.round(since.steps_s))
    parts = (past.rows(np.flatnonzero(~seen)), since)
    names = ("steps_s", "load", "missed", "total")
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    order = np.argsort(columns[0], kind="stable")
    return MissSteps(*(column[order] for column in columns))
