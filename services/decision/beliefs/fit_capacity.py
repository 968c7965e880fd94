"""Refit of capacities on the `fit` queue: latencies in, curves and capacities out, gated.

Imports PyMC: load it on the fit queue only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from decider import (
    RESPONSE_SAMPLER,
    CurveDraws,
    FloatArray,
    ResponsePosterior,
    SamplerConfig,
    fit_response,
    relative_capacity_new,
)
from services.decision.beliefs import repository
from services.decision.beliefs.capacity import CAPACITY, RESPONSE
from services.decision.beliefs.capacity_data import (
    LatencySteps,
    fingerprint,
    flaw,
    lack,
    latency_steps,
    response_data,
    spread_flaw,
)
from services.decision.beliefs.fit_lead_time import N_STORED, FitStamp, quantiles_of
from services.decision.beliefs.miss_steps import load_further_of_steps
from services.decision.rows.members import ShardMember, readable_members
from services.decision.wiring import DecisionDeps
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work

SINCE = timedelta(days=14)
MAX_WORKLOADS = 24
"""Workloads of a GPU type that are fitted, and pooled, together: about half a minute, two minutes
where the chains have to be sampled again."""
MIN_TYPE_WORKLOADS = 4
"""Learned workloads of a GPU type from which it has a say on others."""
_QUANTILES = ("p10", "p50", "p90", "p99")


@dataclass(frozen=True, slots=True)
class CapacityFitReport:
    """Result of a refit.

    Attributes:
        promoted: Scopes with a new posterior in use.
        refused: Scope to why it has none; where there was one, that one stays.
    """

    promoted: tuple[str, ...]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Learned:
    """A workload's draws: (N_STORED,) capacities and the curves they follow from, row by row."""

    member: ShardMember
    capacity: FloatArray
    curve: CurveDraws
    fault: str

    @property
    def scope(self) -> str:
        return f"workload:{self.member.id}"


def fit_capacities(
    deps: DecisionDeps, sampler: SamplerConfig = RESPONSE_SAMPLER, but_types: Collection[str] = ()
) -> CapacityFitReport:
    """Refit the capacity of every workload that states a latency objective.

    A workload with too few steps, or whose loads hardly differ, is not fitted; a posterior that
    has not mixed, or that says too little, is stored as rejected. In each case the
    reason is reported and what was in use stays.

    Args:
        deps: What the use case needs.
        sampler: How the posterior is sampled.
        but_types: GPU types that are left as they are.
    """
    with deps.engine.connect() as connection:
        now = deps.now(connection)
        found, unread = readable_members(repository.load_learning_workloads(connection))
        members = [member for member in found if member.spec.gpu_type not in but_types]
        steps = _load_steps(connection, members, now)
    reasons = {m.id: lack(steps.get(m.id), m.spec.capacity.per_replica) for m in members}
    refused = {f"workload:{k}": reason for k, reason in (reasons | unread).items() if reason}
    promoted: list[str] = []
    by_type: dict[str, list[ShardMember]] = {}
    for member in members:
        if not reasons[member.id]:
            by_type.setdefault(member.spec.gpu_type, []).append(member)
    for name, usable in sorted(by_type.items()):
        report = _fit_type(deps, name, usable, steps, sampler, now)
        promoted += report.promoted
        refused |= report.refused
    return CapacityFitReport(tuple(promoted), refused)


def _load_steps(
    connection: Connection, members: Sequence[ShardMember], now: datetime
) -> dict[int, LatencySteps]:
    if not members:
        return {}
    names = [m.spec.capacity.latency_indicator for m in members]
    ids = [m.id for m in members]
    rows = repository.load_latency_steps(connection, ids, names, now - SINCE, now)
    first = dict.fromkeys(ids, now - SINCE)
    further = load_further_of_steps(connection, members, first, now, with_demand=True)
    return latency_steps(rows, members, further)


def _fit_type(
    deps: DecisionDeps,
    gpu_type: str,
    members: Sequence[ShardMember],
    steps: Mapping[int, LatencySteps],
    sampler: SamplerConfig,
    now: datetime,
) -> CapacityFitReport:
    """Fit the workloads of one GPU type, as many at a time as one fit can hold, and store all."""
    n_batches = -(-len(members) // MAX_WORKLOADS)
    fitted: list[tuple[_Learned, FitStamp]] = []
    for batch in range(n_batches):
        chosen = members[batch::n_batches]
        data = response_data(chosen, steps)
        rng = make_rng(deps.settings.seed, f"capacity/{gpu_type}/{batch}", now.isoformat())
        posterior, diagnostics = fit_response(data, sampler, int(rng.integers(2**31)))
        stamp = FitStamp(diagnostics, data.load.size, now)
        fitted += [(_learned(m, posterior, row, stamp), stamp) for row, m in enumerate(chosen)]
    kept = [one for one, _ in fitted if not one.fault]
    rng = make_rng(deps.settings.seed, f"capacity_of/{gpu_type}", now.isoformat())
    with unit_of_work(deps.engine) as work:
        for one, stamp in fitted:
            for row in _rows(one, stamp, float(steps[one.member.id].steps_s[-1])):
                repository.store_posterior(work.connection, row)
        reason = _store_type(work.connection, gpu_type, kept, fitted[0][1], rng)
    scope = f"gpu_type:{gpu_type}"
    promoted = [one.scope for one in kept] + ([] if reason else [scope])
    refused = {one.scope: one.fault for one, _ in fitted if one.fault}
    return CapacityFitReport(tuple(promoted), refused | ({scope: reason} if reason else {}))


def _learned(
    member: ShardMember, posterior: ResponsePosterior, row: int, stamp: FitStamp
) -> _Learned:
    """Every so many-th draw of a workload's curve, as it is stored, and its capacity."""
    full = posterior.curve(row).to_array()
    at = np.linspace(0, full.shape[0] - 1, N_STORED).round().astype(np.int64)
    curve = CurveDraws.from_array(full[at].astype(np.float32).astype(np.float64))
    slo_ms = float(member.spec.capacity.slo_latency_ms or np.nan)
    capacity = curve.capacity(slo_ms)
    fault = stamp.diagnostics.fault() or flaw(capacity, curve.base_ms, slo_ms)
    return _Learned(member, capacity, curve, fault)


def _rows(one: _Learned, stamp: FitStamp, until_s: float) -> list[dict[str, Any]]:
    """Rows of a workload's capacity and of the curve that later steps are held against."""
    about = {"learned_for": fingerprint(one.member), "data_until_s": until_s}
    capacity = quantiles_of(one.capacity, _QUANTILES) | about
    names = ("base_ms", "queueing", "sharpness", "kappa", "noise")
    medians = np.median(one.curve.to_array(), axis=0)
    curve = {name: float(f"{v:.6g}") for name, v in zip(names, medians, strict=True)} | about
    return [
        stamp.row(CAPACITY, one.scope, one.capacity, capacity, one.fault),
        stamp.row(RESPONSE, one.scope, one.curve.to_array().ravel(), curve, one.fault),
    ]


def _store_type(
    connection: Connection,
    gpu_type: str,
    kept: Sequence[_Learned],
    stamp: FitStamp,
    rng: np.random.Generator,
) -> str:
    """Store how capacities of the type relate to the stated ones; the reason if they may not."""
    if len(kept) < MIN_TYPE_WORKLOADS:
        return f"{len(kept)} workloads with a learned capacity; {MIN_TYPE_WORKLOADS} are needed"
    stated = np.array([one.member.spec.capacity.per_replica for one in kept])
    relative = relative_capacity_new(np.stack([o.capacity for o in kept], axis=1), stated, rng)
    at = (np.arange(N_STORED) + 0.5) / N_STORED
    fault = spread_flaw(relative)
    summary = quantiles_of(relative, _QUANTILES) | {"n_workloads": len(kept)}
    row = stamp.row(CAPACITY, f"gpu_type:{gpu_type}", np.quantile(relative, at), summary, fault)
    repository.store_posterior(connection, row)
    return fault
