"""Refit of the posteriors on the `fit` queue: pod starts in, draws out, gated by diagnostics.

Imports PyMC: load it on the fit queue only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider.model import StartData
from decider.posterior import Diagnostics, SamplerConfig, fit_lead_time
from decider.types import FloatArray
from services.decision import repository, translate
from services.decision.inputs import durations_of, group_rows
from services.decision.service import Deps
from services.kernel.clock import make_rng
from services.kernel.db.session import unit_of_work

SINCE = timedelta(days=14)
MIN_FINISHED = 8
MAX_STARTS_PER_WORKLOAD = 100
N_STORED = 256


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a refit brought: the scopes stored, and why it was or was not promoted."""

    n_observations: int
    scopes: tuple[str, ...]
    is_promoted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Starts:
    """Starts in the model's form, with the names of its indices."""

    data: StartData
    workload_ids: tuple[int, ...]
    gpu_types: tuple[str, ...]


def collect_starts(rows: Sequence[RowMapping], now: datetime) -> Starts | None:
    """Pod starts as censored and uncensored lead times; None when too few have finished."""
    seconds: list[FloatArray] = []
    censored: list[FloatArray] = []
    owners: list[FloatArray] = []
    ids: list[int] = []
    types: list[str] = []
    for workload_id, starts in group_rows(rows).items():
        newest = starts[-MAX_STARTS_PER_WORKLOAD:]
        durations, ages = durations_of(newest, now)
        if durations.size + ages.size == 0:
            continue
        seconds += [durations, ages]
        censored += [np.zeros(durations.size), np.ones(ages.size)]
        owners.append(np.full(durations.size + ages.size, len(ids)))
        ids.append(workload_id)
        types.append(str(newest[-1]["gpu_type"]))
    flags = np.concatenate(censored).astype(bool) if censored else np.zeros(0, dtype=bool)
    if int((~flags).sum()) < MIN_FINISHED:
        return None
    names = tuple(sorted(set(types)))
    index = np.array([names.index(name) for name in types], dtype=np.int64)
    data = StartData(np.concatenate(seconds), flags, np.concatenate(owners).astype(np.int64), index)
    return Starts(data, tuple(ids), names)


def fit_posteriors(deps: Deps, sampler: SamplerConfig | None = None) -> FitReport:
    """Refit the lead time. A posterior that has not mixed is stored, never promoted."""
    now = deps.clock.now()
    with deps.engine.connect() as connection:
        rows = repository.load_all_starts(connection, now - SINCE)
    starts = collect_starts(rows, now)
    if starts is None:
        return FitReport(0, (), False, f"fewer than {MIN_FINISHED} finished starts")
    seed = int(make_rng(deps.settings.seed, "lead_time", now.isoformat()).integers(2**31))
    posterior = fit_lead_time(starts.data, sampler or SamplerConfig(), seed)
    fault = posterior.diagnostics.fault()
    rng = make_rng(deps.settings.seed, "lead_time_draws", now.isoformat())
    draws: dict[str, FloatArray] = {}
    for row, workload_id in enumerate(starts.workload_ids):
        kind = int(starts.data.gpu_type[row])
        draws[f"workload:{workload_id}"] = posterior.predictive(row, kind, rng)
    for kind, name in enumerate(starts.gpu_types):
        draws[f"gpu_type:{name}"] = posterior.predictive_new(kind, rng)
    n = int(starts.data.seconds.size)
    with unit_of_work(deps.engine) as work:
        for scope, values in draws.items():
            row_values = _posterior_row(scope, values, posterior.diagnostics, (n, now))
            repository.store_posterior(work.connection, row_values)
    return FitReport(n, tuple(draws), not fault, fault)


def _posterior_row(
    scope: str, draws: FloatArray, diagnostics: Diagnostics, stamp: tuple[int, datetime]
) -> dict[str, Any]:
    fault = diagnostics.fault()
    levels = np.quantile(draws, (0.1, 0.5, 0.9, 0.99))
    names = ("p10_s", "p50_s", "p90_s", "p99_s")
    at = (np.arange(N_STORED) + 0.5) / N_STORED
    return {
        "kind": "lead_time",
        "scope": scope,
        "status": "rejected" if fault else "promoted",
        "reason": fault,
        "n_observations": stamp[0],
        "summary": {name: round(float(v), 3) for name, v in zip(names, levels, strict=True)},
        "diagnostics": asdict(diagnostics),
        "draws": translate.from_draws(np.quantile(draws, at)),
        "fitted_at": stamp[1],
    }
