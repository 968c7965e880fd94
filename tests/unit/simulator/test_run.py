"""Runs over the engine: fairness, bounds, scores."""

from __future__ import annotations

import numpy as np

from services.simulator import SimulationSetup, score, simulate
from services.simulator.policies import OracleGrid, Solo, StaticGrid, TrailingPercentileGrid
from tests.unit.simulator.fleets import make_fleet


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
