"""What outcomes teach between fits: the hedge by the last value, and the calibration.

Both states of a workload are stored as one object per model version: the calibration's, with the
hedge's under `hedge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from forecaster.choice.ladder import STALE_RUNG, LadderForecast
from forecaster.config import WindowConfig
from forecaster.online import hedge
from forecaster.online.calibration import calibrate, from_dicts
from forecaster.types import F32, Forecast, Windows
from services.forecasting.registry.store import Serving
from services.forecasting.rows import repository
from services.forecasting.rows.translate import WorkloadRow
from services.forecasting.rows.windows import windows_at
from services.kernel import telemetry
from services.kernel.clock import make_rng

HEDGE = "hedge"
WEIGHT = "weight"
States = Mapping[int, Mapping[str, Any]]
"""Workload id to what is stored of it."""


def corrected(
    connection: Connection,
    serving: Serving,
    workloads: Sequence[WorkloadRow],
    windows: Windows,
    result: LadderForecast,
) -> LadderForecast:
    """The ladder's answer, hedged and calibrated by what came of earlier forecasts.

    Args:
        connection: To read the states.
        serving: What answered.
        workloads: B workloads.
        windows: Their windows, in the same order.
        result: The answer for those.
    """
    if result.forecast is None:
        return result
    ids = {w.key: w.id for w in workloads}
    found = repository.load_calibration(connection, list(ids.values()), serving.version)
    stored = {key: found[i] for key, i in ids.items() if i in found}
    forecast = result.forecast
    weights = _hedge_states(forecast.workloads, stored)
    last_value = _last_value(windows.rows(result.answered), forecast, serving.config.window)
    _measure(workloads, weights)
    hedged = hedge.hedge(forecast, last_value, weights)
    offsets = from_dicts(forecast.workloads, forecast.quantile_levels, stored)
    return replace(result, forecast=calibrate(hedged, offsets))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What happened after one origin.

    Attributes:
        workloads: B workloads on one step length.
        origin_at: The origin.
        actual: `(B, H)` demand.
        observed: `(B, H)`.
    """

    workloads: Sequence[WorkloadRow]
    origin_at: datetime
    actual: npt.NDArray[np.float32]
    observed: npt.NDArray[np.bool_]

    @property
    def origin_step(self) -> int:
        """The origin in whole steps since 1970."""
        return int(self.origin_at.timestamp()) // self.workloads[0].step_s


def learned_hedges(
    connection: Connection, serving: Serving, stored: States, outcomes: Outcomes, seed: int
) -> dict[int, dict[str, Any]]:
    """Hedge state per workload id after the outcomes of one origin; empty where none is due.

    The experts' forecasts are not kept: they are made again from the history, at every origin that
    the hedge learns from, which is one of a few.

    Args:
        connection: To read the histories.
        serving: The model that made the forecasts; another one's are not made again.
        stored: States before.
        outcomes: What happened.
        seed: Seed of the single path that the predictors are asked for, and nobody reads.
    """
    stride = hedge.HedgeConfig().stride
    if outcomes.origin_step % stride:
        return {}
    windows = windows_at(connection, serving.config.window, outcomes.workloads, outcomes.origin_at)
    horizon = outcomes.actual.shape[1]
    rng = make_rng(seed, "hedge", outcomes.origin_at.isoformat())
    result = serving.ladder.predict(windows, horizon, 1, rng)
    if result.forecast is None:
        return {}
    at, forecast = result.answered, result.forecast
    rows = [outcomes.workloads[i] for i in at]
    before = _hedge_states(
        forecast.workloads, {w.key: stored[w.id] for w in rows if w.id in stored}
    )
    last_value = _last_value(windows.rows(at), forecast, serving.config.window)
    after = hedge.learned(
        before,
        (forecast.quantiles, last_value),
        outcomes.actual[at],
        outcomes.observed[at],
        outcomes.origin_step,
        forecast.quantile_levels,
    )
    # the weights follow from the rest; they are stored for who only reads and knows no hedge
    weights = hedge.last_value_weight(after).tolist()
    return {
        w.id: one | {WEIGHT: dict(zip(hedge.GROUPS, own, strict=True))}
        for w, one, own in zip(rows, hedge.to_dicts(after), weights, strict=True)
    }


def with_hedges(
    calibrations: States, before: States, hedges: Mapping[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Both states as one object per workload; a hedge that learned nothing stays as it was."""
    found: dict[int, dict[str, Any]] = {}
    for i, state in calibrations.items():
        own = hedges.get(i) or before.get(i, {}).get(HEDGE)
        found[i] = {**state, HEDGE: own} if own else dict(state)
    return found


def _hedge_states(
    workloads: Sequence[str], stored: Mapping[str, Mapping[str, Any]]
) -> hedge.HedgeState:
    own = {key: state[HEDGE] for key, state in stored.items() if HEDGE in state}
    return hedge.from_dicts(workloads, own)


def _last_value(windows: Windows, forecast: Forecast, window: WindowConfig) -> F32:
    """The other expert; where the input is stale there is no last value to go by."""
    found = hedge.last_value_quantiles(windows, forecast, window)
    is_stale = np.array([rung == STALE_RUNG for rung in forecast.rung])
    return np.where(is_stale[:, None, None], forecast.quantiles, found)


def _measure(workloads: Sequence[WorkloadRow], state: hedge.HedgeState) -> None:
    """Show how much the last value weighs in the tail, which decides."""
    weight = hedge.last_value_weight(state)[:, hedge.GROUPS.index("tail")]
    by_key = {w.key: (w.namespace, w.name) for w in workloads}
    for key, value in zip(state.workloads, weight, strict=True):
        telemetry.forecast_hedge_weight.labels(*by_key[key]).set(float(value))
