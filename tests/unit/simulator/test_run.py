"""Runs over the engine: fairness, bounds, scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from services.simulator import (
    Ledger,
    SimulationSetup,
    run_rivals,
    score,
    simulate,
    simulate_history,
    tune_hpa,
    tune_trailing_percentile,
)
from services.simulator.policies import OracleGrid, Solo, StaticGrid, TrailingPercentileGrid
from services.simulator.schedules import trailing_percentiles
from tests.unit.simulator.fleets import make_fleet


@pytest.fixture(scope="module")
def fleet():
    rng = np.random.default_rng(11)
    t = np.arange(720)
    wave = 8 + 5 * np.sin(2 * np.pi * t / 240)
    demand = wave * rng.lognormal(0, 0.1, (3, 720))
    return make_fleet(demand, n_history=480, sigma=0.3, fail=0.05, gpus=2, median_s=70.0)


class TestHonestComparison:
    def test_same_seed_same_run(self, fleet):
        setup = SimulationSetup(fleet, np.full(3, 10.0), seed=3)
        a, b = (simulate("t", [Solo(TrailingPercentileGrid())] * 3, setup) for _ in range(2))
        np.testing.assert_array_equal(a.ready_mean, b.ready_mean)

    def test_another_seed_is_other_luck(self, fleet):
        runs = [
            simulate(
                "t",
                [Solo(TrailingPercentileGrid())] * 3,
                SimulationSetup(fleet, np.full(3, 9.0), s),
            )
            for s in (3, 4)
        ]
        assert not np.array_equal(runs[0].ready_mean, runs[1].ready_mean)

    def test_only_the_oracle_sees_the_future(self, fleet):
        class Spy(TrailingPercentileGrid):
            def decide(self, view, state):
                assert view.future is None
                return super().decide(view, state)

        simulate("spy", [Solo(Spy())] * 3, SimulationSetup(fleet, np.full(3, 9.0), 1))

    def test_gaps_are_hidden_from_policies_but_accounted(self):
        demand = np.full((1, 60), 5.0)
        demand[0, 40:] = 9.0
        observed = np.ones((1, 60), dtype=bool)
        observed[0, 40:50] = False
        gappy = make_fleet(demand, n_history=30, observed=observed, median_s=1.0)
        run = simulate(
            "t",
            [Solo(TrailingPercentileGrid(60, 100, 0))],
            SimulationSetup(gappy, np.array([5.0]), 1),
        )
        assert run.known_s.sum() == 30 * 60
        # blind for ten steps, then one step of delay, then a start of a second
        assert run.violation_s[0, 10:21].sum() == 11 * 60
        assert run.violation_s[0, 22:].sum() == 0


class TestOracleAndStatic:
    def test_the_oracle_has_no_violation_with_fixed_starts(self):
        rng = np.random.default_rng(2)
        demand = rng.uniform(1, 20, (2, 200))
        sure = make_fleet(demand, n_history=100, median_s=130.0)
        policies = [Solo(OracleGrid(130.0)), Solo(OracleGrid(137.0))]
        run = simulate("oracle", policies, SimulationSetup(sure, np.full(2, 20.0), 1))
        assert run.violation_s.sum() == 0

    def test_static_peak_scales_once(self, fleet):
        run = simulate("s", [Solo(StaticGrid())] * 3, SimulationSetup(fleet, np.full(3, 5.0), 1))
        assert score(run, fleet).scale_ops == 3


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


class TestScoreboard:
    def test_rivals_and_their_json(self, fleet):
        rivals = run_rivals(fleet, epsilon=0.02, seed=7)
        names = [s.name for s in rivals.scores]
        assert names == ["hpa", "trailing_percentile", "static_peak", "oracle"]
        by_name = {s.name: s for s in rivals.scores}
        assert by_name["oracle"].cost_usd == min(s.cost_usd for s in rivals.scores)
        assert by_name["static_peak"].promised is None
        assert by_name["hpa"].promised == 0.02
        for s in rivals.scores:
            assert json.loads(json.dumps(s.to_json())) == s.to_json()
            # 3.6 USD per GPU-hour
            assert s.cost_usd == pytest.approx(3.6 * s.gpu_hours)
            assert s.step_cost_usd.sum() == pytest.approx(s.cost_usd)

    def test_unknown_demand_leaves_the_denominator(self):
        demand = np.full((1, 40), 5.0)
        demand[0, 25:] = np.nan
        partly = make_fleet(demand, n_history=20, median_s=1.0)
        run = simulate("s", [Solo(StaticGrid())], SimulationSetup(partly, np.array([1.0]), 1))
        # the first step violates for the second that the start takes, of five known steps
        assert score(run, partly).violation_rate == pytest.approx(1 / 300)

    def test_a_run_can_be_cut_to_compare_with_a_shorter_one(self, fleet):
        run = simulate("s", [Solo(StaticGrid())] * 3, SimulationSetup(fleet, np.full(3, 5.0), 1))
        half = score(run.first(120), fleet)
        assert half.step_gpus.shape == (120,)
        assert half.gpu_hours < score(run, fleet).gpu_hours

    def test_a_ledger_with_holes_is_refused(self, fleet):
        with pytest.raises(ValueError, match="never recorded"):
            Ledger(fleet, "x", np.zeros(3)).run()


def test_history_is_scaled_by_somebody(fleet):
    history = simulate_history(fleet)
    assert history.ready_mean.shape == (3, 480)
    assert np.all(history.ready_mean <= history.spec.max())
    assert np.all(history.spec >= 1)
