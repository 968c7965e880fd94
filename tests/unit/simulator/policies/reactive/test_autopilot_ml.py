"""The recommender that learns by cost."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.reactive.autopilot_ml import AutopilotML
from tests.unit.simulator.policies.reactive.autopilot_views import once, replay, see

NAN = float("nan")


def learner(**knobs):
    plain = {
        "change_weight": 0.0,
        "switch_weight": 0.0,
        "half_lives_s": (1e12,),
        "margins": (0.0,),
        "cost_half_life_s": 300.0,
    }
    return AutopilotML(**(plain | knobs))


class TestMl:
    @pytest.mark.parametrize(("weight", "wanted"), [(4, 8), (1, 5), (100, 10), (0.01, 1)])
    def test_a_limit_is_the_quantile_of_its_weights(self, weight, wanted):
        # needs 1..10: the smallest n with a share of weight / (weight + 1) at or below it
        assert once(learner(overrun_weight=weight), see(range(1, 11))) == wanted

    def test_margin(self):
        # 8 * 1.25 = 10
        assert once(learner(overrun_weight=4, margins=(0.25,)), see(range(1, 11))) == 10

    def test_memory_decays(self):
        # weights 1/4 for 9, then 1/2 and 1 for 2: 1/7 lies above 2, so that p80 is 2 and p90 is 9
        assert once(learner(overrun_weight=4, half_lives_s=(300.0,)), see([9, 2, 2])) == 2
        assert once(learner(overrun_weight=9, half_lives_s=(300.0,)), see([9, 2, 2])) == 9

    @pytest.mark.parametrize(("switch", "change", "wanted"), [(0.5, 0.5, 8), (2.0, 0.5, 4)])
    def test_the_cheapest_model_with_penalties(self, switch, change, wanted):
        # margins 0 and 100 % over the median 4: limits 4 and 8. A need of 8 charges the first
        # with half (cost half-life one step) of 4 = 2, the second with 0 plus the penalties.
        policy = learner(
            overrun_weight=1.0, margins=(0.0, 1.0), switch_weight=switch, change_weight=change
        )
        assert replay(policy, [4, 4, 4, 8], first=3) == [4, wanted]

    def test_underruns_are_charged(self):
        # the need of 8 costs (2, 0); the 4 idle replicas of the next step make it (1, 2)
        policy = learner(overrun_weight=1.0, margins=(0.0, 1.0))
        assert replay(policy, [4, 4, 4, 8, 4], first=3) == [4, 8, 4]

    @pytest.mark.parametrize(("price", "wanted"), [(0.6, 6), (0.7, 4)])
    def test_a_limit_is_left_for_more_than_the_price_of_a_change(self, price, wanted):
        # memory 1/3 at 4, 2/3 at 6: limit 4 costs 2/3 * 2 = 1.33, limit 6 1/3 * 2 = 0.67
        policy = learner(overrun_weight=1.0, half_lives_s=(300.0,), change_weight=price)
        assert replay(policy, [4, 6]) == [4, wanted]

    @pytest.mark.parametrize(("price", "cost"), [(0.5, 1.25), (0.7, 1.0)])
    def test_a_change_of_limit_is_charged_to_the_model(self, price, cost):
        # as above: at a price of 0.5 the limit moves from 4 to 6, at 0.7 it stays. The need of 6
        # exceeds the limit of 4 by 2; half of 2, with the price of the change where there is one
        policy = learner(overrun_weight=1.0, half_lives_s=(300.0,), change_weight=price)
        _, state = policy.decide(see([4]), policy.initial_state())
        _, state = policy.decide(see([4, 6]), state)
        assert state.cost.item() == pytest.approx(cost)

    def test_a_gap_changes_nothing(self):
        policy = learner(overrun_weight=4, half_lives_s=(300.0,), margins=(0.0, 0.5))
        _, before = policy.decide(see([9, 2, 2]), policy.initial_state())
        wanted, after = policy.decide(see([9, 2, 2, NAN]), before)
        assert wanted == 2
        np.testing.assert_array_equal(before.weight, after.weight)
        np.testing.assert_array_equal(before.cost, after.cost)

    def test_unknown_demand_holds_until_it_is_known(self):
        assert replay(learner(), [NAN, NAN, 5], replicas=7) == [7, 7, 5]

    @pytest.mark.parametrize(
        "bad", [{"overrun_weight": 0}, {"margins": (-1.0,)}, {"half_lives_s": ()}]
    )
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AutopilotML(**bad)
