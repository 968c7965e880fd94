"""Capacities believed at a decision: the fitted draws, reweighted by the steps since the fit.

The same rows give the same draws, and a decision stores the draws that it used: a replay needs
none of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, RowMapping

from decider import CurveDraws, FloatArray, latency_log_likelihood, update_capacity
from services.decision.beliefs import repository
from services.decision.beliefs.capacity_data import (
    LatencySteps,
    fingerprint,
    latency_steps,
)
from services.decision.beliefs.miss_steps import load_further_of_steps
from services.decision.beliefs.refit import RefitRequest, request_refit
from services.decision.rows.members import ShardMember
from services.decision.rows.translate import to_draws
from services.kernel.db.session import UnitOfWork
from services.kernel.domain.measured_by import is_learned_for
from services.kernel.settings import Settings

CAPACITY, RESPONSE = "capacity", "response"
EVIDENCE = timedelta(days=2)
"""How far back steps count against a fit that is older still."""


def believed_capacity(
    work: UnitOfWork, settings: Settings, members: Mapping[int, ShardMember], origin_at: datetime
) -> dict[str, FloatArray]:
    """Draws by scope: capacities of workloads, and of GPU types relative to the stated ones.

    Asks for a refit, at most once per `refit_min_interval_s` and shard, when too few of a fit's
    draws agree with the steps since.

    Args:
        work: The transaction.
        settings: Settings.
        members: The shard's workloads; those without a latency indicator have no say in it.
        origin_at: The origin that is decided for.
    """
    learning = {key: m for key, m in members.items() if m.spec.capacity.latency_indicator}
    if not learning:
        return {}
    own = _own_posteriors(work.connection, learning)
    steps = _steps_since(work.connection, {key: learning[key] for key in own}, own, origin_at)
    draws: dict[str, FloatArray] = {}
    outdated: list[str] = []
    for key, fit in own.items():
        values = to_draws(fit.capacity["draws"])
        seen = steps.get(key)
        if seen is not None and seen.load.size:
            curves = CurveDraws.from_array(to_draws(fit.curve["draws"]).reshape(-1, 5))
            evidence = latency_log_likelihood(curves, seen.load, seen.latency_ms)
            update = update_capacity(values, evidence)
            values = update.draws
            outdated += [learning[key].key] if update.needs_refit else []
        draws[f"workload:{key}"] = values
    if outdated:
        longest_s = max(m.step_s for m in members.values())
        asked = RefitRequest("capacity_needs_refit", outdated, longest_s)
        request_refit(work, settings, asked, origin_at)
    return draws | _of_types(work.connection, learning)


@dataclass(frozen=True, slots=True)
class _OwnFit:
    """Rows of a workload's promoted capacity and of the curve that it was learned with."""

    capacity: RowMapping
    curve: RowMapping

    @property
    def until_s(self) -> float:
        """End of the data that was fitted, epoch seconds."""
        return float(self.capacity["summary"]["data_until_s"])


def _own_posteriors(
    connection: Connection, learning: Mapping[int, ShardMember]
) -> dict[int, _OwnFit]:
    """Promoted capacity and curve by workload, where they were learned for the spec as it is."""
    scopes = [f"workload:{key}" for key in learning]
    capacities, curves = (
        {row["scope"]: row for row in repository.load_posteriors(connection, kind, scopes)}
        for kind in (CAPACITY, RESPONSE)
    )
    found = {}
    for key, member in learning.items():
        capacity, curve = (rows.get(f"workload:{key}") for rows in (capacities, curves))
        if capacity is None or curve is None or capacity["fitted_at"] != curve["fitted_at"]:
            continue
        if is_learned_for(capacity["summary"], fingerprint(member)):
            found[key] = _OwnFit(capacity, curve)
    return found


def _steps_since(
    connection: Connection,
    members: Mapping[int, ShardMember],
    own: Mapping[int, _OwnFit],
    origin_at: datetime,
) -> dict[int, LatencySteps]:
    """Steps after those that each fit has seen, before the origin."""
    if not members:
        return {}
    first = max(
        datetime.fromtimestamp(min(own[key].until_s for key in members), UTC), origin_at - EVIDENCE
    )
    names = [m.spec.capacity.latency_indicator for m in members.values()]
    rows = repository.load_latency_steps(connection, list(members), names, first, origin_at)
    since = dict.fromkeys(members, first)
    further = load_further_of_steps(connection, list(members.values()), since, origin_at)
    found = latency_steps(rows, list(members.values()), further)
    return {key: steps.where(steps.steps_s > own[key].until_s) for key, steps in found.items()}


def _of_types(connection: Connection, learning: Mapping[int, ShardMember]) -> dict[str, FloatArray]:
    scopes = sorted({f"gpu_type:{m.spec.gpu_type}" for m in learning.values()})
    return repository.load_draws(connection, CAPACITY, scopes)
