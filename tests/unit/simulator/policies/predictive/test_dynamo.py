"""The Dynamo planner: predictors, throughput loop and load loop by hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.predictive.dynamo import DynamoPlanner
from tests.unit.simulator.policies.predictive.dynamo_views import predicted, see

NAN = float("nan")


def once(policy, view):
    return float(policy.decide(view, policy.initial_state())[0][0, 0])


class TestThroughputLoop:
    @pytest.mark.parametrize(
        ("demand", "ratio", "floor", "wanted"),
        [
            (10.0, 1.0, 1, 5),  # capacity 2
            (10.0, 0.8, 1, 7),  # 10 / 1.6 = 6.25
            (10.0, 0.8, 9, 9),
            (0.0, 0.8, 1, 1),
        ],
    )
    def test_prediction_over_usable_capacity(self, demand, ratio, floor, wanted):
        policy = DynamoPlanner(ratio, float(floor), "constant")
        assert once(policy, see([demand], capacity=2.0)) == wanted

    def test_never_observed_holds(self):
        assert once(DynamoPlanner(), see([NAN, NAN], replicas=7.0)) == 7


class TestLoadLoop:
    @pytest.mark.parametrize(
        ("load", "starting", "wanted"),
        [
            (10.0, 0, 10),  # on target
            (10.1, 0, 11),  # above on every replica; the throughput loop says ceil(10.1) too
            (14.0, 0, 14),  # the throughput loop's floor is above one more
            (7.3, 0, 10),  # 0.73 < 0.8, but 7.3 / 9 = 0.811 on one replica fewer
            (7.2, 0, 10),  # 7.2 / 9 is 0.8, not below
            (7.1, 0, 9),
            (1.0, 0, 9),  # one at a time
            (1.0, 2, 10),  # not while starts are pending
            (10.1, 2, 11),  # the throughput loop is not held back
            (NAN, 0, 10),  # the throughput loop reads zero, the load loop does nothing
        ],
    )
    def test_one_replica_at_a_time(self, load, starting, wanted):
        policy = DynamoPlanner(1.0, predictor="constant", has_load_loop=True)
        assert once(policy, see([load], replicas=10.0, starting=starting)) == wanted

    def test_adds_one_above_a_lower_prediction(self):
        # demand falls by 4 a step to 10, so that 6 are predicted; 8 replicas cannot serve the 10
        falling = np.arange(46.0, 9.0, -4.0)
        assert predicted("kalman", falling) == pytest.approx(6.0, abs=0.1)
        for has_load_loop, wanted in ((False, 6), (True, 9)):
            policy = DynamoPlanner(0.99, predictor="kalman", has_load_loop=has_load_loop)
            view = see(falling * 0.9, replicas=8.0)
            assert once(policy, view) == wanted

    def test_the_last_replica_is_never_given_up(self):
        policy = DynamoPlanner(1.0, 0.0, "constant", has_load_loop=True)
        assert once(policy, see([0.0], replicas=1.0)) == 1


@pytest.mark.parametrize(
    "bad",
    [{"target_ratio": 0}, {"min_endpoint": -1}, {"predictor": "prophet"}, {"refit_steps": 0}],
)
def test_wrong_knobs_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        DynamoPlanner(**bad)


def test_names_tell_the_variants_apart():
    assert DynamoPlanner().name == "dynamo_kalman"
    assert DynamoPlanner(predictor="arima", has_load_loop=True).name == "dynamo_arima_load"
