"""What was learned of each workload's requests under load, or why nothing was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping

from services.decision.beliefs import repository
from services.decision.beliefs.miss_data import (
    MIN_STEPS,
    MissSteps,
    lack_of_steps,
    learned_for,
)
from services.decision.beliefs.misses import EVIDENCE, MISSES
from services.decision.rows.inputs import ShardMember


@dataclass(frozen=True, slots=True)
class LearnedLine:
    """One workload.

    Attributes:
        workload: `namespace/name`.
        stated: Load that the spec says a replica serves.
        summary: Figures of what was learned and is in use; None: nothing is.
        n_steps: Steps that it was learned from.
        learned_at: When; each decision since reweights it by the steps after.
        note: Why nothing is in use, or why the last fit is not; empty: all is well.
    """

    workload: str
    stated: float
    summary: Mapping[str, Any] | None
    n_steps: int | None
    learned_at: datetime | None
    note: str


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
    rows = repository.load_miss_steps(connection, first, now, MIN_STEPS) if first else []
    steps = {int(row["workload_id"]): MissSteps.of(row) for row in rows}
    return [
        _line(
            member,
            stored.get(f"workload:{member.id}"),
            steps.get(member.id),
            refusals.get(f"workload:{member.id}", ""),
        )
        for member in members
    ]


def _line(
    member: ShardMember, row: RowMapping | None, steps: MissSteps | None, refusal: str
) -> LearnedLine:
    stated = member.spec.capacity.per_replica
    notes = [f"the last fit was refused: {refusal}"] if refusal else []
    if row is not None and row["summary"].get("learned_for") == learned_for(member):
        n, at = int(row["n_observations"]), row["fitted_at"]
        return LearnedLine(member.key, stated, row["summary"], n, at, "; ".join(notes))
    why = lack_of_steps(member, steps)
    notes.insert(0, why or "there are enough steps: one of the next decisions learns it")
    if row is not None:
        notes.insert(0, "the spec has changed since it was learned")
    return LearnedLine(member.key, stated, None, None, None, "; ".join(notes))
