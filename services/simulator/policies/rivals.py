"""The rivals: each other autoscaler's rule as a grid of at most 48 settings of its headroom knob.

All grids are of one size and were laid out once, from very safe to lean, the same for every trace.
Windows are in steps, because the lead time is.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from services.simulator.policies.grid import FloatArray, GridPolicy
from services.simulator.policies.predictive.aws_predictive import AwsPredictive
from services.simulator.policies.predictive.dynamo import DynamoPlanner
from services.simulator.policies.predictive.phpa import PhpaHoltWinters, PhpaLinear, PhpaRules
from services.simulator.policies.predictive.predicted import (
    AdaptiveConformal,
    ForecastQuantile,
    PointForecast,
)
from services.simulator.policies.reactive.apa import Apa
from services.simulator.policies.reactive.autopilot import AutopilotMW
from services.simulator.policies.reactive.autopilot_horizontal import AutopilotH
from services.simulator.policies.reactive.autopilot_ml import AutopilotML
from services.simulator.policies.reactive.hpa import HpaConfig, HpaGrid
from services.simulator.policies.reactive.kpa import Kpa
from services.simulator.policies.reactive.ray_serve import RayServe
from services.simulator.policies.reactive.saturation import Saturation
from services.simulator.policies.static_peak import StaticGrid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid

HARMONY, ORACLE = "harmony", "oracle"
"""Names of what the rivals are compared with: Harmony itself, and who knows the future."""
PRICES = np.geomspace(0.2, 3e4, 48)
"""Harmony's grid: prices of a step out of SLA, in steps of the workload's mean replicas."""
DAY_S = 86_400.0
N_SETTINGS = 48
TARGETS = np.array([*range(2, 21), *range(22, 52, 2), 53, 56, *range(60, 104, 4), 110], dtype=float)
"""Target utilisation in whole per cent."""


def _grid(*axes: Any) -> list[FloatArray]:
    """Columns of the product of the axes."""
    return [np.array(column, dtype=float) for column in zip(*product(*axes), strict=True)]


def trailing_percentile(step_s: float) -> TrailingPercentileGrid:
    """Window x percentile x margin; a window of one step needs no percentile."""
    window, percentile, margin = _grid(
        (6 * step_s, 24 * step_s, 144 * step_s),
        (90, 100),
        (0.0, 0.05, 0.15, 0.3, 0.5, 0.9, 1.5),
    )
    last = np.array([0.0, 0.05, 0.15, 0.3, 0.6, 1.2])
    return TrailingPercentileGrid(
        np.concatenate([window, np.full(last.size, step_s)]),
        np.concatenate([percentile, np.full(last.size, 100.0)]),
        np.concatenate([margin, last]),
    )


def rivals(step_s: float) -> dict[str, GridPolicy[Any]]:
    """Policies that know demand alone."""
    targets = TARGETS
    ratios = targets / 100.0
    found: list[GridPolicy[Any]] = [
        _static(),
        trailing_percentile(step_s),
        HpaGrid(targets),
        HpaGrid(targets[targets < 95], HpaConfig(is_clipped=True)),
        Kpa(ratios),
        Apa(ratios),
        _ray_serve(),
        Saturation(*_saturation()),
        _phpa_linear(step_s),
        _phpa_holt_winters(step_s),
        _autopilot_mw(),
        _autopilot_h(),
        AutopilotML(np.geomspace(0.5, 20_000, N_SETTINGS)),
        AwsPredictive(np.linspace(0.15, 1.2, N_SETTINGS)),
        *(
            DynamoPlanner(np.geomspace(0.1, 1.2, N_SETTINGS), predictor=predictor)
            for predictor in ("constant", "kalman", "arima")
        ),
    ]
    return {_name(policy): policy for policy in found}


def _name(policy: GridPolicy[Any]) -> str:
    if isinstance(policy, DynamoPlanner):
        return f"dynamo_{policy.predictor}"
    return policy.name


def _ray_serve() -> RayServe:
    safe = (0.03, 0.05, 0.08, 0.1, 0.13, 0.17, 0.21, 0.25, 0.3, 0.35, 0.4, 0.45)
    lean = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1)
    ratio, factor = _grid(safe + lean, (1.0, 0.3))
    return RayServe(ratio, downscale_factor=factor)


def _saturation() -> tuple[FloatArray, FloatArray]:
    full = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
    saturated, share = _grid(full, (0.0, 0.125, 0.25, 0.5))
    return saturated, saturated * share


def _static() -> StaticGrid:
    percentile, margin = _grid(
        (90, 95, 98, 99, 99.9, 100), (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
    )
    return StaticGrid(percentile, margin)


def _autopilot_mw() -> AutopilotMW:
    percentile, half_life_s, margin = _grid(
        (80, 90, 95, 98), (3600.0, 10_800.0, 43_200.0), (0, 0.12, 0.3, 0.6)
    )
    return AutopilotMW(percentile, half_life_s, margin)


def _phpa_linear(step_s: float) -> PhpaLinear:
    percent = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    target, size, look_ahead_s = _grid(percent, (6, 12), (step_s, 2 * step_s))
    return PhpaLinear(target, size, look_ahead_s)


def _phpa_holt_winters(step_s: float) -> PhpaHoltWinters:
    """A daily season of points of about ten minutes."""
    target = (3, 5, 8, 12, 16, 20, 26, 32, 40, 48, 56, 64, 72, 80, 90, 100)
    targets, which = _grid(target, (0, 1, 2))
    smoothing = np.array(((0.5, 0.05, 0.3), (0.5, 0.01, 0.1), (0.2, 0.01, 0.3)))
    alpha, beta, gamma = smoothing[which.astype(int)].T
    per_point = max(1, round(600.0 / step_s))
    season = per_point * max(2, round(DAY_S / (step_s * per_point)))
    rules = PhpaRules(steps_per_point=per_point)
    return PhpaHoltWinters(targets, season, alpha, beta, gamma, rules)


def _autopilot_h() -> AutopilotH:
    target, lookback_s, defer_s = _grid(
        np.linspace(0.4, 1.5, 12), (DAY_S, 3 * DAY_S), (6 * 3600.0, 2 * DAY_S)
    )
    return AutopilotH(target, lookback_s=lookback_s, defer_s=defer_s)


def forecast_policies() -> dict[str, GridPolicy[Any]]:
    """Simpler deciders that read the same paths as Harmony: what a forecast alone is worth."""
    margins = np.concatenate([[-0.1, -0.05], np.linspace(0, 1, 26), np.geomspace(1.1, 9, 20)])
    level, above = _grid(
        (0.5, 0.8, 0.9, 0.95, 0.98, 0.995), (0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.4)
    )
    rate, gamma, pi_gain = _grid((0.001, 0.003, 0.01, 0.03, 0.1, 0.2), (0.005, 0.05), (0.0, 0.5))
    safe = np.concatenate([np.zeros(rate.size), np.full(rate.size, 0.2)])
    return {
        "point_forecast": PointForecast(margins),
        "forecast_quantile": ForecastQuantile(level, above),
        "adaptive_conformal": AdaptiveConformal(
            np.tile(rate, 2), np.tile(gamma, 2), np.tile(pi_gain, 2), safe
        ),
    }
