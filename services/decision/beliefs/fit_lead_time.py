"""Refit of lead times on the `fit` queue: pod starts in, draws out, gated by diagnostics.

Imports PyMC: load it on the fit queue only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    UNKNOWN,
    Diagnostics,
    FloatArray,
    LeadTimeBelief,
    ObservedStarts,
    SamplerConfig,
    StartData,
    cause_shares,
    fit_lead_time,
    learn_causes,
)
from services.decision.beliefs import repository
from services.decision.rows import translate
from services.decision.rows.inputs import group_rows
from services.decision.rows.lead_times import (
    cause_scope,
    observed_starts,
    on_free_gpus,
    own_scope,
    type_scope,
)
from services.decision.wiring import DecisionDeps
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work

SINCE = timedelta(days=14)
MIN_FINISHED = 8
MAX_STARTS_PER_WORKLOAD = 100
N_STORED = 256


@dataclass(frozen=True, slots=True)
class LeadTimeFitReport:
    """Result of a refit: the scopes stored, and why it was or was not promoted."""

    n_observations: int
    scopes: tuple[str, ...]
    is_promoted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Starts:
    """Starts in the model's form, with the names of its indices.

    Attributes:
        scopes: Of each owner, where its lead time is stored: replicas of one workload on several
            GPU types are several owners, and so are the starts of each cause beside all of them.
    """

    data: StartData
    scopes: tuple[tuple[str, ...], ...]
    gpu_types: tuple[str, ...]


def collect_starts(rows: Sequence[RowMapping], now: datetime) -> Starts | None:
    """Pod starts as censored and uncensored lead times; None when too few have finished."""
    seconds: list[FloatArray] = []
    censored: list[FloatArray] = []
    owners: list[FloatArray] = []
    scopes: list[tuple[str, ...]] = []
    types: list[str] = []
    for workload_id, starts in group_rows(on_free_gpus(rows)).items():
        for gpu_type, own_scopes in _owners_of(workload_id, starts).items():
            own = [start for start in starts if start["gpu_type"] == gpu_type]
            every = observed_starts(own[-MAX_STARTS_PER_WORKLOAD:], now)
            for cause, caused in {UNKNOWN: every, **_by_cause(every)}.items():
                if caused.seconds.size == 0:
                    continue
                seconds.append(caused.seconds)
                censored.append(caused.is_censored.astype(float))
                owners.append(np.full(caused.seconds.size, len(scopes)))
                scopes.append(tuple(cause_scope(s, cause) if cause else s for s in own_scopes))
                types.append(cause_scope(gpu_type, cause) if cause else gpu_type)
    flags = np.concatenate(censored).astype(bool) if censored else np.zeros(0, dtype=bool)
    if int((~flags).sum()) < MIN_FINISHED:
        return None
    names = tuple(sorted(set(types)))
    index = np.array([names.index(name) for name in types], dtype=np.int64)
    data = StartData(np.concatenate(seconds), flags, np.concatenate(owners).astype(np.int64), index)
    return Starts(data, tuple(scopes), names)


def _by_cause(starts: ObservedStarts) -> dict[str, ObservedStarts]:
    """The starts of each cause, told or found; none where nothing tells them apart.

    A start on its way belongs to the cause that is likeliest to take so long.
    """
    laws = learn_causes(LeadTimeBelief.from_median(90.0, 1.5, 1.0), starts)
    if len(laws) == 1:
        return {}
    shares = cause_shares(laws, starts)
    likeliest = shares.argmax(axis=1)
    found = {}
    for k, law in enumerate(laws):
        at = np.flatnonzero(likeliest == k)
        if law.cause != UNKNOWN and at.size >= MIN_FINISHED:
            causes = tuple(starts.causes[i] for i in at)
            found[law.cause] = ObservedStarts(starts.seconds[at], starts.is_censored[at], causes)
    return found


def _owners_of(workload_id: int, starts: Sequence[RowMapping]) -> dict[str, tuple[str, ...]]:
    """Scopes by GPU type; the newest type's is the workload's own too."""
    types = dict.fromkeys(str(start["gpu_type"]) for start in starts)
    own, newest = own_scope(workload_id), str(starts[-1]["gpu_type"])
    if len(types) == 1:
        return {newest: (own,)}
    return {
        name: (own_scope(workload_id, name), *((own,) if name == newest else ())) for name in types
    }


def fit_lead_times(deps: DecisionDeps, sampler: SamplerConfig | None = None) -> LeadTimeFitReport:
    """Refit the lead time. A posterior that has not mixed is stored, never promoted."""
    with deps.engine.connect() as connection:
        now = deps.now(connection)
        rows = repository.load_all_starts(connection, now - SINCE)
    starts = collect_starts(rows, now)
    if starts is None:
        return LeadTimeFitReport(0, (), False, f"fewer than {MIN_FINISHED} finished starts")
    seed = int(make_rng(deps.settings.seed, "lead_time", now.isoformat()).integers(2**31))
    posterior = fit_lead_time(starts.data, sampler or SamplerConfig(), seed)
    fault = posterior.diagnostics.fault()
    rng = make_rng(deps.settings.seed, "lead_time_draws", now.isoformat())
    draws: dict[str, FloatArray] = {}
    for row, scopes in enumerate(starts.scopes):
        kind = int(starts.data.gpu_type[row])
        draws |= dict.fromkeys(scopes, posterior.predictive(row, kind, rng))
    for kind, name in enumerate(starts.gpu_types):
        draws[type_scope(name)] = posterior.predictive_new(kind, rng)
    n = int(starts.data.seconds.size)
    stamp = FitStamp(posterior.diagnostics, n, now)
    with unit_of_work(deps.engine) as work:
        for scope, values in draws.items():
            row_values = _lead_time_row(scope, values, stamp)
            repository.store_posterior(work.connection, row_values)
    return LeadTimeFitReport(n, tuple(draws), not fault, fault)


@dataclass(frozen=True, slots=True)
class FitStamp:
    """Values that all posteriors of one fit are stored with."""

    diagnostics: Diagnostics
    n_observations: int
    fitted_at: datetime

    def row(
        self, kind: str, scope: str, draws: FloatArray, summary: dict[str, Any], fault: str
    ) -> dict[str, Any]:
        """A row of `posteriors`; one with a fault is stored as rejected."""
        return {
            "kind": kind,
            "scope": scope,
            "status": "rejected" if fault else "promoted",
            "reason": fault,
            "n_observations": self.n_observations,
            "summary": summary,
            "diagnostics": asdict(self.diagnostics),
            "draws": translate.from_draws(draws),
            "fitted_at": self.fitted_at,
        }


def quantiles_of(draws: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """Quantiles 0.1, 0.5, 0.9 and 0.99 of draws under the names given."""
    levels = np.quantile(draws, (0.1, 0.5, 0.9, 0.99))
    return {name: float(f"{v:.6g}") for name, v in zip(names, levels, strict=True)}


def _lead_time_row(scope: str, draws: FloatArray, stamp: FitStamp) -> dict[str, Any]:
    at = (np.arange(N_STORED) + 0.5) / N_STORED
    summary = quantiles_of(draws, ("p10_s", "p50_s", "p90_s", "p99_s"))
    fault = stamp.diagnostics.fault()
    return stamp.row("lead_time", scope, np.quantile(draws, at), summary, fault)
