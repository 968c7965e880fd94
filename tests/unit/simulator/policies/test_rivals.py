"""The rivals' grids: every policy that the design names, each as large as the others."""

from __future__ import annotations

import pytest

from services.simulator.policies.rivals import DAY_S, N_SETTINGS, PRICES, forecast_policies, rivals

NAMED = {
    *("static_peak", "trailing_percentile", "hpa", "hpa_clipped", "kpa", "apa", "ray_serve"),
    *("saturation", "phpa_linear", "phpa_holt_winters", "aws_predictive"),
    *("autopilot_mw", "autopilot_h", "autopilot_ml"),
    *("dynamo_constant", "dynamo_kalman", "dynamo_arima"),
}
STEPS_S = (10.0, 60.0, 300.0, 600.0, 3600.0)


def test_every_policy_of_the_design_is_there() -> None:
    assert set(rivals(600.0)) == NAMED
    assert set(forecast_policies()) == {"point_forecast", "forecast_quantile", "adaptive_conformal"}


@pytest.mark.parametrize("step_s", STEPS_S)
def test_all_grids_are_of_one_size_and_no_setting_is_there_twice(step_s: float) -> None:
    for name, policy in {**rivals(step_s), **forecast_policies()}.items():
        labels = [policy.label(g) for g in range(policy.n_settings)]
        assert len(set(labels)) == len(labels), name
        # a clipped metric never exceeds 100 %: targets from 96 % on would never scale up
        expected = 45 if name == "hpa_clipped" else N_SETTINGS
        assert policy.n_settings == expected, name
    assert PRICES.size == N_SETTINGS


@pytest.mark.parametrize("step_s", STEPS_S)
def test_the_daily_season_spans_a_day(step_s: float) -> None:
    assert rivals(step_s)["phpa_holt_winters"].season_steps * step_s == DAY_S
