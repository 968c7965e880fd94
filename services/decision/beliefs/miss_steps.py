"""Final measured steps of workloads, with all of their loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, RowMapping

from decider import queue_steps
from services.decision.beliefs import repository
from services.decision.beliefs.miss_data import MissSteps
from services.decision.beliefs.occupancy import load_occupancies, occupancies_at
from services.decision.beliefs.ready_mix import ReadyMixes
from services.decision.rows.loads import NONE_FURTHER, Sampled
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.objective import WAITING


@dataclass(frozen=True, slots=True)
class StepSpan:
    """Which steps are read.

    Attributes:
        first: Start of each workload's first step, exclusive.
        last: Last step start, exclusive.
        max_steps: How many of a workload are read at most, the newest.
    """

    first: Mapping[int, datetime]
    last: datetime
    max_steps: int


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Requests of a workload's steps, whatever its loads were.

    Attributes:
        requests: Requests.
        missed: Of these, that missed a goal.
    """

    requests: float
    missed: float


def load_counts(
    connection: Connection, members: Sequence[ShardMember], span: StepSpan
) -> dict[int, StepCounts]:
    """Requests of the steps by workload; one without any is not there."""
    found = _load_rows(connection, members, span)
    return {
        int(row["workload_id"]): StepCounts(float(sum(row["total"])), float(sum(row["missed"])))
        for row in found
    }


def load_steps(
    connection: Connection,
    members: Sequence[ShardMember],
    span: StepSpan,
    *,
    is_remeasured: bool = False,
) -> dict[int, MissSteps]:
    """Steps by workload; one without any is not there.

    Those that requests of a queue end in are left out, where what waits is known.

    Args:
        connection: An open transaction.
        members: The workloads.
        span: Which steps.
        is_remeasured: The demand is that which its query says now, where it says any: outcomes keep
            it as it was measured then.
    """
    rows = _load_rows(connection, members, span)
    waiting = _load_waiting(connection, members, rows, span.last)
    step_s = {m.id: float(m.step_s) for m in members}
    specs = {m.id: m.spec for m in members}
    further = load_further_of_steps(
        connection, members, span.first, span.last, with_demand=is_remeasured
    )
    mixes = _load_mixes(connection, members, span)
    taken = load_occupancies(connection, members, span.first, span.last)
    found = {}
    for row in rows:
        key = int(row["workload_id"])
        loads = further.get(key, NONE_FURTHER)
        steps = MissSteps.of(row, specs[key], loads, mixes.get(key))
        occupancy = occupancies_at(taken.get(key, {}), specs[key], steps.steps_s)
        steps = replace(steps, occupancy=occupancy)
        found[key] = steps.without_queues(waiting.get(key), step_s[key])
    return {key: steps for key, steps in found.items() if steps.size}


def _load_rows(
    connection: Connection, members: Sequence[ShardMember], span: StepSpan
) -> Sequence[RowMapping]:
    pools = {m.id: m.spec.pool_of(m.spec.demand) for m in members if m.spec.pools}
    return repository.load_miss_steps(connection, span.first, span.last, span.max_steps, pools)


def _load_waiting(
    connection: Connection,
    members: Sequence[ShardMember],
    rows: Sequence[RowMapping],
    last: datetime,
) -> dict[int, Sampled]:
    """What waited in the steps of rows and shortly before; of those that count it, one query."""
    counts = {m.id: m for m in members if counts_waiting(m.spec)}
    first = {}
    for row in rows:
        if (member := counts.get(int(row["workload_id"]))) is not None:
            before_s = (1 + queue_steps(member.step_s)) * member.step_s
            first[member.id] = datetime.fromtimestamp(row["steps_s"][0] - before_s, UTC)
    names = dict.fromkeys(first, (WAITING,))
    found = repository.load_gauges(connection, names, first, last)
    return {
        int(row["workload_id"]): (np.array(row["steps_s"]), np.array(row["values"], dtype=float))
        for row in found
    }


def counts_waiting(spec: WorkloadSpec) -> bool:
    """Whether an objective counts the requests that wait."""
    objective = spec.sla.objective
    return objective is not None and any(one.name == WAITING for one in objective.series)


def _load_mixes(
    connection: Connection, members: Sequence[ShardMember], span: StepSpan
) -> dict[int, ReadyMixes]:
    """What was ready of the variants of those that have some; one query, none where none has."""
    specs = {m.id: m.spec for m in members if m.spec.variants}
    first = {key: span.first[key] for key in specs}
    found = repository.load_ready_mixes(connection, first, span.last)
    rows = {int(row["workload_id"]): row for row in found}
    return {key: ReadyMixes.of(rows.get(key), spec) for key, spec in specs.items()}


def load_further_of_steps(
    connection: Connection,
    members: Sequence[ShardMember],
    first: Mapping[int, datetime],
    last: datetime,
    *,
    with_demand: bool = False,
) -> dict[int, dict[str, Sampled]]:
    """Further loads per ready replica by workload and name; one query, none where none has any.

    Args:
        connection: An open transaction.
        members: The workloads.
        first: Start of each one's first step, exclusive.
        last: Last step start, exclusive.
        with_demand: The demand, too, as its query says it now.
    """
    wanted = {m.id: m.spec.loads if with_demand else m.spec.further_loads for m in members}
    names = {
        m.id: {name: m.spec.pool_of(name) for name in wanted[m.id]} for m in members if wanted[m.id]
    }
    found: dict[int, dict[str, Sampled]] = {}
    for row in repository.load_further_loads(connection, names, first, last):
        series = (np.array(row["steps_s"]), np.array(row["load"], dtype=float))
        found.setdefault(int(row["workload_id"]), {})[row["indicator"]] = series
    return found
