"""The response of one workload: from load to the share that misses."""

from __future__ import annotations

import numpy as np
import pytest

from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws


def draws(**given: float) -> MissDraws:
    values = {"capacity": 10.0, "slope": 8.0, "floor": 0.01, "concentration": 50.0} | given
    return MissDraws(**{name: np.full(3, value) for name, value in values.items()})


def test_half_of_what_can_be_cured_is_missed_at_the_capacity() -> None:
    assert draws(floor=0.2).miss(np.array([10.0])) == pytest.approx(0.2 + 0.8 * 0.5)


def test_it_never_falls_as_the_load_grows_from_the_floor_to_everything() -> None:
    miss = draws().miss(np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 200)]))
    assert (np.diff(miss, axis=1) >= 0).all()
    assert miss[:, 0] == pytest.approx(0.01)
    assert miss[:, -1] == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.9])
def test_the_load_within_a_share_misses_just_that(share: float) -> None:
    one = draws()
    load = one.load_within(share)
    assert one.curable(load)[np.arange(3), np.arange(3)] == pytest.approx(share)


def test_an_endless_slope_is_a_sharp_edge() -> None:
    sharp = draws(slope=1e6, floor=0.0).miss(np.array([9.99, 10.01]))
    assert sharp[:, 0] == pytest.approx(0.0, abs=1e-12)
    assert sharp[:, 1] == pytest.approx(1.0)


def test_the_array_form_comes_back() -> None:
    one = draws()
    again = MissDraws.from_array(one.to_array())
    assert np.array_equal(again.to_array(), one.to_array())


@pytest.mark.parametrize(
    ("name", "value"), [("capacity", 0.0), ("slope", -1.0), ("floor", 1.0), ("concentration", 0.0)]
)
def test_what_no_response_has_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        draws(**{name: value})


def test_wrong_shapes_and_shares_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"expected \(P, 4\)"):
        MissDraws.from_array(np.ones((3, 3)))
    with pytest.raises(InvalidRequest, match="share=1"):
        draws().load_within(1.0)
