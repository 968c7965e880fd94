"""Steps of another length than before: a time is counted and charged once; pure.

A step of the length that is in force now may cover time that a step of the length before has
charged already, or a part of it. The memory says how long its steps were, so that the first run
after a change knows where the last of them ended: there the steps of the new length begin.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.decision.decide.ledger_terms import STEP_S
from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember

STEP_SINCE = "step_since_s"
"""Name under which it is stored since when steps are of the length that is in force."""


def to_step_lengths(states: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Lengths of the steps that were counted last, by workload; of those that say it."""
    return {key: float(state[STEP_S]) for key, state in states.items() if state.get(STEP_S)}


def to_step_since(states: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Since when steps are of that length, by workload; of those where it was another one."""
    given = {key: state.get(STEP_SINCE) for key, state in states.items()}
    return {key: float(at) for key, at in given.items() if at is not None}


def early_enough(members: Mapping[int, ShardMember], rows: ShardRows, first: datetime) -> datetime:
    """Start of the first step that may reach beyond `first`, the length being another one before.

    Args:
        members: The workloads.
        rows: Their rows.
        first: Start of the first step of the lengths that are in force.
    """
    lengths = [
        rows.counted_step_s[key]
        for key, member in members.items()
        if rows.counted_step_s.get(key, member.step_s) != member.step_s
    ]
    return first - timedelta(seconds=max(lengths, default=0.0))


def with_step_since(
    members: Mapping[int, ShardMember],
    rows: ShardRows,
    known: Mapping[int, Collection[float]],
) -> ShardRows:
    """The rows with the time since when the steps of each workload have the length in force.

    Args:
        members: The workloads.
        rows: Their rows, with what was known before.
        known: Starts of the steps that have an outcome, of all that may matter.
    """
    since = dict(rows.step_since_s)
    for key, member in members.items():
        before_s = rows.counted_step_s.get(key, float(member.step_s))
        if before_s != member.step_s and known[key]:
            since[key] = max(known[key]) + before_s
    return replace(rows, step_since_s=since)


def uncounted(
    grid_s: Sequence[float], done: Collection[float], step_s: float, since_s: float = -math.inf
) -> list[float]:
    """Starts of the grid whose step covers no time that another one covers.

    Args:
        grid_s: Starts of steps of the length in force.
        done: Starts of the steps that have an outcome.
        step_s: Length in force.
        since_s: Since when it is.
    """
    starts_s = sorted(start_s for start_s in done if start_s >= since_s)
    found = []
    for start_s in grid_s:
        after = bisect_left(starts_s, start_s)
        is_free = after == 0 or starts_s[after - 1] + step_s <= start_s
        is_free = is_free and (after == len(starts_s) or start_s + step_s <= starts_s[after])
        if start_s >= since_s and is_free:
            found.append(start_s)
    return found
