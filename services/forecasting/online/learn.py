"""Learning from outcomes between fits: the hedge by the last value, and the calibration.

Both states of a workload are stored as one object per model version: the calibration's, with the
hedge's under `hedge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from forecaster import (
    HEDGE_GROUPS,
    STALE_RUNG,
    Calibration,
    Experts,
    Forecast,
    Hedge,
    HedgeState,
    LadderForecast,
    Outcome,
    WindowConfig,
    Windows,
    largest_seen,
)
from services.forecasting.registry.store import Serving
from services.forecasting.rows import repository
from services.forecasting.rows.translate import WorkloadRow
from services.forecasting.rows.windows import windows_at
from services.kernel.clock import make_rng

HEDGE = "hedge"
WEIGHT = "weight"
States = Mapping[int, Mapping[str, Any]]
"""Workload id to its stored state."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Forecasts of one origin after their horizon.

    Attributes:
        workloads: B workloads on one step length.
        origin_at: The origin.
        outcome: Their demand.
    """

    workloads: Sequence[WorkloadRow]
    origin_at: datetime
    outcome: Outcome


def stored_states(
    connection: Connection, serving: Serving, workloads: Sequence[WorkloadRow]
) -> dict[str, dict[str, Any]]:
    """States under the model that serves, by name of the workload; one without is left out."""
    ids = {w.key: w.id for w in workloads}
    found = repository.load_calibration(connection, list(ids.values()), serving.version)
    return {key: found[i] for key, i in ids.items() if i in found}


def corrected(
    stored: Mapping[str, Mapping[str, Any]],
    serving: Serving,
    workloads: Sequence[WorkloadRow],
    windows: Windows,
    result: LadderForecast,
) -> LadderForecast:
    """The ladder's answer, hedged and calibrated by what came of earlier forecasts.

    Args:
        stored: The states, of `stored_states`.
        serving: What answered.
        workloads: B workloads.
        windows: Their windows, in the same order.
        result: The answer for those.
    """
    if result.forecast is None:
        return result
    forecast = result.forecast
    weights = _hedge_state(forecast.workloads, stored)
    windows = windows.rows(result.answered)
    hedged = Hedge().apply(weights, _experts(forecast, windows, serving.config.window))
    calibration = Calibration(forecast.quantile_levels)
    offsets = calibration.from_dicts(forecast.workloads, stored)
    most = largest_seen(*windows.demand(), forecast.rung, windows.is_young())
    return replace(result, forecast=calibration.apply(offsets, hedged, most))


def learned_hedges(
    connection: Connection,
    serving: Serving,
    stored: States,
    issued: Issued,
    seed: int,
) -> dict[int, dict[str, Any]]:
    """Hedge state per workload id after the outcomes of one origin, of those that are due.

    The experts' forecasts are not kept: they are made again from the history, at every origin that
    the hedge learns from, which is one of a few. Which ones depends on what each workload learned
    from last: forecasts may come at some of its steps only.

    Args:
        connection: To read the histories.
        serving: The model that made the forecasts; another one's are not made again.
        stored: States before.
        issued: Forecasts of one origin with their outcomes.
        seed: Seed of the single path that the predictors are asked for, and nobody reads.
    """
    issued = _due(stored, issued)
    workloads, window = issued.workloads, serving.config.window
    horizon = issued.outcome.actual.shape[1]
    # made under a longer horizon than is set now, which nothing that serves reaches any more
    if not workloads or horizon > window.horizon:
        return {}
    windows = windows_at(connection, window, workloads, issued.origin_at)
    rng = make_rng(seed, "hedge", issued.origin_at.isoformat())
    result = serving.ladder.predict(windows, horizon, 1, rng)
    if result.forecast is None:
        return {}
    at, forecast = result.answered, result.forecast
    rows = [workloads[i] for i in at]
    before = _hedge_state(forecast.workloads, _by_key(stored, rows))
    experts = _experts(forecast, windows.rows(at), window)
    after = Hedge().observe(before, experts, issued.outcome.rows(at))
    # The weights follow from the rest; they are stored for readers that know no hedge.
    weights = Hedge().last_value_weight(after).tolist()
    return {
        w.id: one | {WEIGHT: dict(zip(HEDGE_GROUPS, own, strict=True))}
        for w, one, own in zip(rows, after.to_dicts(), weights, strict=True)
    }


def _due(stored: States, issued: Issued) -> Issued:
    """Those of the forecasts that the hedges of their workloads learn from."""
    workloads = issued.workloads
    state = _hedge_state([w.key for w in workloads], _by_key(stored, workloads))
    step = int(issued.origin_at.timestamp()) // workloads[0].step_s
    due = np.flatnonzero(Hedge().is_due(state, step))
    return Issued([workloads[i] for i in due.tolist()], issued.origin_at, issued.outcome.rows(due))


def _by_key(stored: States, workloads: Sequence[WorkloadRow]) -> dict[str, Mapping[str, Any]]:
    return {w.key: stored[w.id] for w in workloads if w.id in stored}


def with_hedges(
    calibrations: States, before: States, hedges: Mapping[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Both states as one object per workload; a hedge that learned nothing stays as it was."""
    found: dict[int, dict[str, Any]] = {}
    for i, state in calibrations.items():
        own = hedges.get(i) or before.get(i, {}).get(HEDGE)
        found[i] = {**state, HEDGE: own} if own else dict(state)
    return found


def _hedge_state(workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]) -> HedgeState:
    own = {key: state[HEDGE] for key, state in stored.items() if HEDGE in state}
    return Hedge().from_dicts(workloads, own)


def _experts(forecast: Forecast, windows: Windows, window: WindowConfig) -> Experts:
    """The hedge's experts; where the input is stale there is no last value to go by."""
    experts = Experts.of(forecast, windows, window)
    is_stale = np.array([rung == STALE_RUNG for rung in forecast.rung])[:, None, None]
    return replace(experts, last_value=np.where(is_stale, forecast.quantiles, experts.last_value))
