"""Scores of runs, and the table of rivals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from services.simulator import (
    RunLedger,
    SimulationSetup,
    draw_served_fleet,
    felt_score,
    run_rivals,
    score,
    service_score,
    simulate,
)
from services.simulator.fleet import FleetOptions, generate_fleet, unsplit, with_pools
from services.simulator.policies import Solo, StaticGrid
from tests.unit.simulator.fleets import make_fleet


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

    @pytest.mark.parametrize(("demand", "words"), [(5.0, "0.00%"), (0.0, "unknown")])
    def test_without_demand_nothing_is_known_of_what_was_not_served(self, demand, words):
        idle = make_fleet(np.full((1, 40), demand), n_history=20)
        run = simulate("s", [Solo(StaticGrid())], SimulationSetup(idle, np.array([5.0]), 5))
        assert score(run, idle).unserved_words == words

    def test_a_run_can_be_cut_to_compare_with_a_shorter_one(self, fleet):
        run = simulate("s", [Solo(StaticGrid())] * 3, SimulationSetup(fleet, np.full(3, 5.0), 1))
        half = score(run.first(120), fleet)
        assert half.step_gpus.shape == (120,)
        assert half.gpu_hours < score(run, fleet).gpu_hours

    def test_a_ledger_with_holes_is_refused(self, fleet):
        with pytest.raises(ValueError, match="never recorded"):
            RunLedger(fleet, "x", np.zeros(3)).run()

    def test_what_requests_felt_takes_the_place_of_what_is_believed(self):
        options = FleetOptions(seed=3, n_workloads=4, step_s=600, n_history=36, n_replay=24)
        fleet = generate_fleet(options)
        policies = [Solo(StaticGrid())] * 4
        run = simulate("s", policies, SimulationSetup(fleet, np.full(4, 1.0), 1))
        believed = score(run, fleet)
        served = draw_served_fleet(unsplit(fleet))
        felt = felt_score(believed, run, served, 0.02)
        assert believed.believed_violation_rate is None
        assert felt.believed_violation_rate == believed.violation_rate
        course = served.course(run.ready_mean)
        bad = served.is_bad(course).mean(axis=1)
        np.testing.assert_array_equal(felt.workload_violation_rate, bad)
        assert felt.violation_rate == pytest.approx(bad.mean())
        assert felt.n_over_promise == (bad > 0.02).sum()
        assert felt.worst_rate == bad.max()
        assert felt.cost_usd == believed.cost_usd
        assert felt.n_queued == sum((step.waiting > 0).sum() for step in course) > 0
        added = {"believed_violation_rate", "n_over_promise", "n_queued"}
        assert set(felt.to_json()) - set(believed.to_json()) == added

    def test_a_service_with_pools_is_one_promise_and_one_bill(self):
        options = FleetOptions(seed=3, n_workloads=4, step_s=600, n_history=36, n_replay=24)
        scaled = with_pools(generate_fleet(options))
        policies = [Solo(StaticGrid())] * 5
        run = simulate("s", policies, SimulationSetup(scaled.targets, np.full(5, 1.0), 1))
        by_target = score(run, scaled.targets)
        found = service_score(by_target, run, scaled)
        hours, rates = by_target.workload_gpu_hours, by_target.workload_violation_rate
        assert found.workload_gpu_hours.tolist() == [hours[0] + hours[4], *hours[1:4]]
        assert found.gpu_hours == by_target.gpu_hours
        assert found.workload_violation_rate[1:] == pytest.approx(rates[1:4])
        assert max(rates[0], rates[4]) <= found.workload_violation_rate[0] <= rates[0] + rates[4]
        assert found.violation_rate == pytest.approx(found.workload_violation_rate.mean())
