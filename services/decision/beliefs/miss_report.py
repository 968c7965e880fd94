"""What was learned of each workload's requests under load, or why nothing was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping

from services.decision.beliefs import repository
from services.decision.beliefs.groups import MeasuredGroup, load_groups
from services.decision.beliefs.miss_data import (
    MISSES,
    N_RECENT,
    OCCUPANCY,
    MissSteps,
    lack_of_steps,
    learned_for,
)
from services.decision.beliefs.miss_steps import StepSpan, load_steps
from services.decision.beliefs.miss_view import draws_of
from services.decision.beliefs.misses import EVIDENCE
from services.decision.rows.loads import binding_shares, further_capacity
from services.decision.rows.members import ShardMember
from services.kernel.domain.measured_by import is_learned_for


@dataclass(frozen=True, slots=True)
class LoadLine:
    """One load of a workload that several loads bind.

    Attributes:
        indicator: Its indicator.
        stated: What the spec says a replica carries of it alone.
        p10: What was learned of that, within the promise; None: nothing was.
        p50: Its median.
        p90: Its upper end.
        bound_share: How often lately it took the largest share of a replica; None: not known.
        full_share: Share of a full replica that it was where its pool was nearest to full, by how
            full that was; None: no pool of it shows that, or too little of it was measured.
    """

    indicator: str
    stated: float
    p10: float | None
    p50: float | None
    p90: float | None
    bound_share: float | None
    full_share: float | None = None


@dataclass(frozen=True, slots=True)
class VariantLine:
    """One variant of a workload.

    Attributes:
        variant: Its name.
        stated: What the spec says a replica of it carries.
        p10: What was learned of that beside the first one's; None: nothing was, or it is the first.
        p50: Its median.
        p90: Its upper end.
        used: What decisions take a replica of it to carry beside the first one's.
        share: Mean share of the stated capacity lately ready that was its; None: not known.
    """

    variant: str
    stated: float
    p10: float | None
    p50: float | None
    p90: float | None
    used: float
    share: float | None


@dataclass(frozen=True, slots=True)
class LearnedLine:
    """One workload.

    Attributes:
        workload: `namespace/name`.
        stated: Load that the spec says a replica serves; None: the spec cannot be read.
        summary: Figures of what was learned and is in use; None: nothing is.
        n_steps: Steps that it was learned from.
        learned_at: When; each decision since reweights it by the steps after.
        note: Why nothing is in use, or why the last fit is not; empty: all is well.
        loads: Its loads one by one; empty: the demand alone binds it.
        variants: Its variants one by one; empty: it has one kind of replica.
    """

    workload: str
    stated: float | None
    summary: Mapping[str, Any] | None
    n_steps: int | None
    learned_at: datetime | None
    note: str
    loads: tuple[LoadLine, ...] = ()
    variants: tuple[VariantLine, ...] = ()


def report_learned(
    connection: Connection, members: Sequence[ShardMember], now: datetime
) -> list[LearnedLine]:
    """A line for each workload.

    Args:
        connection: An open transaction.
        members: The workloads.
        now: Steps count that began in the two days before.
    """
    scopes = [f"workload:{m.id}" for m in members]
    stored = {row["scope"]: row for row in repository.load_posteriors(connection, MISSES, scopes)}
    refusals = repository.load_refusals(connection, MISSES, scopes)
    first = {m.id: now - EVIDENCE for m in members if m.spec.sla.objective is not None}
    measured = [m for m in members if m.id in first]
    steps = load_steps(connection, measured, StepSpan(first, now, N_RECENT)) if first else {}
    groups = load_groups(connection, measured)
    return [
        _line(
            member,
            stored.get(f"workload:{member.id}"),
            steps.get(member.id),
            refusals.get(f"workload:{member.id}", ""),
            groups.get(member.id),
        )
        for member in members
    ]


def _line(
    member: ShardMember,
    row: RowMapping | None,
    steps: MissSteps | None,
    refusal: str,
    group: MeasuredGroup | None,
) -> LearnedLine:
    stated = member.spec.capacity.per_replica
    notes = [f"the last fit was refused: {refusal}"] if refusal else []
    if row is not None and is_learned_for(row["summary"], learned_for(member)):
        n, at = int(row["n_observations"]), row["fitted_at"]
        loads, variants = _loads(member, row, steps), _variants(member, row, steps)
        notes += _lack_of_mixes(member, row) + _lack_of_occupancies(member, row)
        note = "; ".join(notes)
        return LearnedLine(member.key, stated, row["summary"], n, at, note, loads, variants)
    why = lack_of_steps(member, steps)
    notes.insert(0, why or "there are enough steps: one of the next decisions learns it")
    if row is not None:
        notes.insert(0, "the spec has changed since it was learned")
    if group is not None:
        notes.append(_borrowed(group, stated))
    loads, variants = _loads(member, None, steps), _variants(member, None, steps)
    return LearnedLine(member.key, stated, None, None, None, "; ".join(notes), loads, variants)


def _borrowed(group: MeasuredGroup, stated: float) -> str:
    low, middle, high = (f"{stated * group.levels[name]:.4g}" for name in ("p10", "p50", "p90"))
    return (
        f"until then it is taken to carry {middle} ({low} to {high}), by what "
        f"{group.n_workloads} workloads like it were measured to carry"
    )


def _variants(
    member: ShardMember, row: RowMapping | None, steps: MissSteps | None
) -> tuple[VariantLine, ...]:
    """The variants of a workload, by its response or as stated."""
    spec = member.spec
    learned = {} if row is None else row["summary"].get("variants", {})
    shares: list[float | None] = [None] * len(spec.variants)
    if steps is not None and spec.variants:
        mean = steps.mix.mean(axis=0)
        shares = [float(f"{share:.4g}") for share in (1.0 - mean.sum(), *mean)]
    found = []
    for variant, share in zip(spec.variants, shares, strict=True):
        stated = variant.ratio(spec.capacity.per_replica) * spec.capacity.per_replica
        worth = learned.get(variant.name, {})
        p10, p50, p90 = (_times(stated, worth.get(at)) for at in ("p10", "p50", "p90"))
        used = stated * worth.get("in_force", 1.0)
        found.append(VariantLine(variant.name, stated, p10, p50, p90, used, share))
    return tuple(found)


def _times(stated: float, factor: float | None) -> float | None:
    return None if factor is None else float(f"{stated * factor:.6g}")


def _lack_of_mixes(member: ShardMember, row: RowMapping) -> list[str]:
    """Which variants are taken as stated, and why."""
    learned = row["summary"].get("variants", {})
    names = [n for n, worth in learned.items() if worth["in_force"] == 1.0]
    if not names:
        return []
    first = member.spec.variants[0].name
    return [
        f"what {', '.join(names)} carries beside {first} is taken as stated: the mix of ready "
        "replicas varied too little to learn it"
    ]


def _lack_of_occupancies(member: ShardMember, row: RowMapping) -> list[str]:
    """Which pools would show how full they are, and do not."""
    seen = row["summary"].get(OCCUPANCY, {})
    silent = [p for p in member.spec.pools if p.occupancy_indicator and p.name not in seen]
    return [
        f"what pool {pool.name} carries is taken as stated and by misses: too little was measured "
        f"of its occupancy_indicator {pool.occupancy_indicator}"
        for pool in silent
    ]


def _loads(
    member: ShardMember, row: RowMapping | None, steps: MissSteps | None
) -> tuple[LoadLine, ...]:
    """The loads of a workload that has several, by its response or as stated."""
    spec = member.spec
    if not spec.further_loads:
        return ()
    summary = {} if row is None else row["summary"]
    levels = [summary, *(summary.get("further", {}).get(name, {}) for name in spec.further_loads)]
    stated = (spec.capacity.per_replica, *further_capacity(spec))
    capacity = np.array([stated])
    if row is not None:
        draws = draws_of(row)
        capacity = np.column_stack([draws.capacity, draws.further])
    shares: list[float | None] = [None] * len(levels)
    if steps is not None:
        shares = [float(share) for share in binding_shares(steps.load, capacity)]
    of_pools = summary.get(OCCUPANCY, {})
    full = [of_pools.get(spec.pool_of(name), {}).get("use") for name in spec.loads]
    columns = zip(spec.loads, stated, levels, shares, full, strict=True)
    return tuple(
        LoadLine(name, most, found.get("p10"), found.get("p50"), found.get("p90"), share, use)
        for name, most, found, share, use in columns
    )
