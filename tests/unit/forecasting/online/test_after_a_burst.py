"""After a burst: forecasts read off the window hold it already, and calibration adds nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecaster import (
    BestSimple,
    Calibration,
    ForecasterConfig,
    JointPaths,
    Ladder,
    Series,
    WindowConfig,
    Windows,
    build_windows,
)
from services.forecasting.online.further import FURTHER, corrected_further
from services.forecasting.online.learn import corrected
from services.forecasting.registry.store import Serving
from services.forecasting.rows.translate import WorkloadRow
from services.kernel.domain import CapacitySpec, FurtherLoadSpec, IndicatorSpec, WorkloadSpec

DEMAND, TOKENS = "load_rps", "tokens_per_s"
WINDOW = WindowConfig(context=48, horizon=6, recent=24, season_past=6, season_lags_s=(900,))
SERVING = Serving("best-simple", ForecasterConfig(WINDOW), Ladder(None, BestSimple({}, WINDOW)))
SPEC = WorkloadSpec(
    target="Deployment/x",
    demand=DEMAND,
    indicators=tuple(IndicatorSpec(name=name, level=1) for name in (DEMAND, TOKENS)),
    capacity=CapacitySpec(
        per_replica=1.0, also_bound_by=(FurtherLoadSpec(indicator=TOKENS, per_replica=900.0),)
    ),
)
SHOP = WorkloadRow(1, "shop", "a", 15, SPEC)


LEVELS = np.array(SERVING.config.window.quantile_levels)


@pytest.fixture(scope="module")
def windows() -> Windows:
    """A window with a burst to three times the usual loads, which is over."""
    demand = np.random.default_rng(5).gamma(400, 8 / 400, 120)
    demand[80:88] *= 3.0
    values = np.stack([demand, 1100.0 * demand], axis=1).astype(np.float32)
    seen = np.ones(values.shape, dtype=bool)
    series = Series(SHOP.key, values, seen, (DEMAND, TOKENS), (1, 1), 0, 0, 15)
    return build_windows([series], WINDOW)


def learned(unit: float) -> dict[str, Any]:
    """What the misses of the burst have taught: its tail is to be two errors higher."""
    state = Calibration(LEVELS).empty_state((SHOP.key,))
    offsets = np.where(LEVELS >= 0.95, 2.0, 0.0)[None, :, None] * np.ones((1, 1, 3))
    scales = {"error_scale": np.full((1, 3), 6.0), "demand_scale": np.full((1, 3), 10.0)}
    scales = {name: unit * values for name, values in scales.items()}
    taught = replace(state, offsets=offsets, n_seen=np.array([300]), **scales)
    return taught.to_dicts()[0]


def test_no_demand_is_feared_beyond_the_burst(windows: Windows) -> None:
    result = SERVING.ladder.predict(windows, 6, 200, np.random.default_rng(1))
    raw, seen = result.forecast, float(windows.demand()[0].max())
    found = corrected({SHOP.key: learned(1.0)}, SERVING, [SHOP], windows, result).forecast
    assert raw is not None
    assert found is not None
    free = Calibration(LEVELS).apply(
        Calibration(LEVELS).from_dicts((SHOP.key,), {SHOP.key: learned(1.0)}), raw
    )
    assert (free.quantiles[0].max(axis=0) > 1.2 * seen).all()
    assert (found.quantiles <= np.maximum(raw.quantiles, seen) * (1 + 1e-6)).all()
    assert (found.quantiles[0, -1] >= seen * (1 - 1e-6)).all()  # and the burst itself is feared


def test_no_further_load_is_feared_beyond_the_burst(windows: Windows) -> None:
    forecast = SERVING.ladder.predict(windows, 6, 200, np.random.default_rng(1)).forecast
    assert forecast is not None
    raw = JointPaths(forecast.paths[0], 1100.0 * forecast.paths, is_joint=False)
    stored = {SHOP.key: {FURTHER: {TOKENS: learned(1100.0)}}}
    seen = float(windows.values[0, :, 1].max())
    (free,) = corrected_further(stored, forecast, [(TOKENS,)], [raw])
    (held,) = corrected_further(stored, forecast, [(TOKENS,)], [raw], windows)
    assert free is not None
    assert held is not None
    most = max(seen, float(raw.further.max()))
    assert free.further.max() > 1.2 * most
    assert held.further.max() <= most * (1 + 1e-3)
