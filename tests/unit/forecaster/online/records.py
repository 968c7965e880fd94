"""Forecasts made of bare quantiles, for the tests of what is learned online."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecaster.config import QUANTILE_LEVELS
from forecaster.types import Forecast

LEVELS = np.array(QUANTILE_LEVELS)


def forecast_of(
    quantiles: np.ndarray,
    workloads: Sequence[str],
    origin_step: np.ndarray | int = 0,
    step_s: int = 60,
    paths: np.ndarray | None = None,
) -> Forecast:
    """Forecasts with `(B, Q, H)` quantiles, from origins in steps of `step_s` seconds."""
    n_rows, n_levels, horizon = quantiles.shape
    return Forecast(
        tuple(workloads),
        np.broadcast_to(np.asarray(origin_step, dtype=np.int64) * step_s, n_rows).copy(),
        step_s,
        LEVELS[:n_levels],
        quantiles.astype(np.float32),
        np.zeros((n_rows, 0, horizon), dtype=np.float32) if paths is None else paths,
        "m",
        ("model",) * n_rows,
        ("",) * n_rows,
    )
