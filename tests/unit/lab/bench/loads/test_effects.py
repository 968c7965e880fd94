"""Costs at equal true violation."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.loads.effects import cost_of_not_knowing, deployed, extras, with_draw
from tests.unit.lab.bench.loads.documents import TRADE, arm, document


def test_an_arm_that_is_dearer_at_every_rate_is_dearer_by_that() -> None:
    found = extras(document(dear=arm(1.05), same=arm(1.0)), 0.01)
    assert found["full"].cost == pytest.approx(1.25)
    assert found["dear"].value == pytest.approx(5.0)
    assert found["dear"].interval() == pytest.approx((5.0, 5.0))
    assert found["dear"].is_cost
    assert found["same"].value == pytest.approx(0.0)
    assert not found["same"].is_cost


def test_a_draw_of_the_response_is_resampled_as_a_whole() -> None:
    one, other = document(arm=arm(1.02)), document(arm=arm(1.08))
    both = extras(with_draw(one, other), 0.01)["arm"]
    assert both.value == pytest.approx(5.0)
    assert both.interval() == pytest.approx((2.0, 8.0))


def test_breaking_the_promise_more_is_no_saving() -> None:
    looser = arm(1.0, [TRADE[1], TRADE[2], (0.3, 0.9)])
    assert extras(document(looser=looser), 0.05)["looser"].value == pytest.approx(0.0)


def test_a_rate_that_is_never_reached_is_unknown() -> None:
    found = extras(document(broken=arm(1.0, [(0.2, 1.5), (0.3, 1.25), (0.4, 1.0)])), 0.01)
    assert np.isnan(found["broken"].value)
    assert np.isnan(found["broken"].interval()).all()
    assert not found["broken"].is_cost


def test_an_arm_that_never_violates_as_much_has_no_cost_there_either() -> None:
    careful = arm(1.0, [(0.001, 1.5), (0.002, 1.4), (0.005, 1.3)])
    assert np.isnan(extras(document(careful=careful), 0.01)["careful"].value)


def test_between_promises_costs_are_linear_in_the_logarithm_of_the_rate() -> None:
    middle = float(np.sqrt(0.01 * 0.1))
    assert extras(document(), middle)["full"].cost == pytest.approx(1.125)


def test_as_deployed_all_rates_stand_side_by_side() -> None:
    own = deployed(document(), 0.01)["full"]
    assert (own.true, own.believed) == pytest.approx((0.01, 0.02))
    assert own.cost == pytest.approx(1.25)
    assert own.n_twice == 0
    assert deployed(document(over=arm(1.0, [TRADE[2]] * 3)), 0.01)["over"].n_twice == 4


def test_not_knowing_costs_what_is_paid_over_who_knows() -> None:
    assert cost_of_not_knowing(document(told=arm(0.8)), 0.01) == pytest.approx(25.0)
    assert np.isnan(cost_of_not_knowing(document(), 0.01))
