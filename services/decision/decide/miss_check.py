"""Check of a shard's last hour: do more requests miss than their load explains?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from services.decision.beliefs.miss_data import MissSteps
from services.decision.beliefs.miss_steps import StepCounts, StepSpan, load_counts, load_steps
from services.decision.beliefs.misses import learned_alone
from services.decision.decide.not_capacity import (
    LEAST_REQUESTS,
    N_DEVIATIONS,
    TwoSpans,
    not_capacity_message,
)
from services.decision.decide.shard_run import ShardRun
from services.kernel.telemetry import get_logger

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_MOMENT = timedelta(microseconds=1)
MAX_STEPS = 1800
"""Newest steps of the hour and the day that are read."""
MAX_JUDGED = 4
"""Workloads for which a response is learned in one run: about 0.05 s each."""


def check_misses(run: ShardRun) -> dict[int, str | None]:
    """Why misses are no matter of capacity, by workload; empty: they are not, or none are many.

    None: not known, for want of requests, or since others of the shard stand out more.
    """
    ids = [key for key, m in run.members.items() if m.spec.sla.objective is not None]
    found: dict[int, str | None] = dict.fromkeys(run.members)
    hour_from = run.origin_at - HOUR
    hours = _counted(run, ids, _Stretch(hour_from, run.origin_at + run.longest_step))
    busy = {key: one for key, one in hours.items() if one.requests >= LEAST_REQUESTS}
    found |= {key: "" for key, one in busy.items() if one.missed == 0}
    doubtful = [key for key in busy if found[key] is None]
    # a service of the last hour has nothing to be compared with: its loads are not read
    days = _counted(run, doubtful, _Stretch(hour_from - DAY, hour_from + _MOMENT))
    known = [key for key, one in days.items() if one.requests >= LEAST_REQUESTS]
    both = _load(run, known, HOUR + DAY)
    spans = {key: TwoSpans.of(steps, hour_from.timestamp()) for key, steps in both.items()}
    suspicion = {key: one.suspicion() for key, one in spans.items() if one.is_enough}
    found |= {key: "" for key, value in suspicion.items() if value <= N_DEVIATIONS}
    worst = sorted(
        (key for key, value in suspicion.items() if value > N_DEVIATIONS),
        key=lambda key: (-suspicion[key], key),
    )
    return found | {key: _judged(run, key, spans[key]) for key in worst[:MAX_JUDGED]}


class _Stretch(NamedTuple):
    """From, exclusive, and until when, exclusive, a step starts."""

    first: datetime
    last: datetime


def _counted(run: ShardRun, ids: list[int], stretch: _Stretch) -> dict[int, StepCounts]:
    if not ids:
        return {}
    span = StepSpan(dict.fromkeys(ids, stretch.first), stretch.last, MAX_STEPS)
    return load_counts(run.connection, [run.members[key] for key in ids], span)


def _load(run: ShardRun, ids: list[int], back: timedelta) -> dict[int, MissSteps]:
    if not ids:
        return {}
    first: dict[int, datetime] = dict.fromkeys(ids, run.origin_at - back)
    last = run.origin_at + run.longest_step
    members = [run.members[key] for key in ids]
    return load_steps(run.connection, members, StepSpan(first, last, MAX_STEPS))


def _judged(run: ShardRun, key: int, spans: TwoSpans) -> str | None:
    """One workload's steps that no response fits harm no other."""
    member = run.members[key]
    try:
        return not_capacity_message(spans, learned_alone(member, spans.evidence()).draws)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        log = get_logger(__name__)
        log.warning("misses_not_judged", workload=member.key, error=str(error))
        return None
