"""Since when a workload's count is one that Harmony decided; pure.

The level of risk learns from what decisions did not expect. While somebody else has the count (mode
Advisory, an approval that nobody gave, another autoscaler, an operator that is down), what
requests feel says nothing of decisions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember
from services.decision.rows.variants import desired_counts, leaving_of_part

N_STEPS, LEAST = 3, timedelta(minutes=2)
"""A decision may be carried out so late: by the next ones then, the count is still one of them."""
NEVER_S = math.inf


def with_own_since(
    members: Mapping[int, ShardMember], rows: ShardRows, origin_at: datetime
) -> ShardRows:
    """The rows with the time since when each count is Harmony's own.

    A level of which it was not kept who had the count, as of earlier releases, begins anew where
    somebody else has it.

    Args:
        members: The workloads.
        rows: Their rows, with what was known before.
        origin_at: Start of the newest finished step.
    """
    found, risk = {}, dict(rows.risk)
    for key, member in members.items():
        is_own = is_carried_out(member, rows)
        before = rows.own_since_s.get(key, NEVER_S)
        begun_s = origin_at.timestamp() + member.step_s if before == NEVER_S else before
        found[key] = begun_s if is_own else NEVER_S
        if not is_own and key not in rows.own_since_s and key in risk:
            risk[key] = replace(risk[key], log_level=0.0)
    return replace(rows, own_since_s=found, risk=risk)


def is_carried_out(member: ShardMember, rows: ShardRows) -> bool:
    """Whether the newest count that was seen is one of the newest that were decided.

    Where none was seen, what was decided stands in for it, as at a decision.
    """
    states = rows.states.get(member.id, ())
    decisions = rows.recommendations.get(member.id, ())
    if not states or not decisions:
        return bool(decisions)
    newest = states[-1]
    first = newest["observed_at"] - max(N_STEPS * timedelta(seconds=member.step_s), LEAST)
    late = [row for row in decisions if row["decided_at"] >= first]
    before = decisions[: len(decisions) - len(late)][-1:]
    return any(_is_same(member, newest, decision) for decision in (*before, *late))


def _is_same(member: ShardMember, seen: RowMapping, decision: RowMapping) -> bool:
    """Whether a snapshot has the counts of a decision."""
    parts = seen["variants"] if member.spec.variants or member.spec.pools else None
    if parts is None:
        return _asked(seen["spec_replicas"], seen["leaving_replicas"]) == int(
            decision["desired_replicas"]
        )
    wanted = desired_counts(decision["variants"])
    return bool(wanted) and all(_asked_of(parts, name) == count for name, count in wanted)


def _asked_of(parts: Mapping[str, Mapping[str, Any]], name: str) -> int:
    seen = parts.get(name) or {}
    return _asked(seen.get("spec", 0), leaving_of_part(seen))


def _asked(spec: int, leaving: int | None) -> int:
    """Replicas asked for; those that are about to go with their node are asked for beside."""
    return max(0, int(spec) - int(leaving or 0))
