"""Settings tuned on a fleet's history, and what they are chosen by."""

from __future__ import annotations

import numpy as np

from services.simulator import tune_hpa, tune_trailing_percentile
from services.simulator.schedules import trailing_percentiles
from tests.unit.simulator.fleets import make_fleet


class TestTuning:
    def test_percentiles_match_the_policy_s_own(self):
        rng = np.random.default_rng(4)
        seen = rng.uniform(0, 9, 200)
        seen[rng.random(200) < 0.2] = np.nan
        levels = trailing_percentiles(seen, 12, (0.0, 50.0, 95.0, 100.0))
        for t in range(1, 200):
            window = seen[max(0, t - 12) : t]
            window = window[np.isfinite(window)]
            if window.size:
                np.testing.assert_allclose(
                    levels[:, t], np.percentile(window, [0, 50, 95, 100]), rtol=1e-12
                )
            else:
                assert np.isnan(levels[:, t]).all()

    def test_the_cheapest_setting_that_keeps_the_rate(self, fleet):
        strict, loose = tune_hpa(fleet, 0.005), tune_hpa(fleet, 0.10)
        assert strict.setting.violation_rate <= 0.005
        assert strict.setting.is_met
        assert strict.config.target_percent < loose.config.target_percent
        assert strict.setting.cost_usd > loose.setting.cost_usd
        trailing = tune_trailing_percentile(fleet, 0.01)
        assert trailing.setting.violation_rate <= 0.01

    def test_an_impossible_rate_is_said_to_be_missed(self):
        rng = np.random.default_rng(0)
        demand = np.where(rng.random((1, 400)) < 0.05, 40.0, 1.0)
        setting = tune_hpa(make_fleet(demand, n_history=300, max_replicas=30), 1e-4).setting
        assert not setting.is_met
        assert setting.violation_rate > 1e-4
