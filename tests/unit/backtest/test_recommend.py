"""The recommended promise: hand cases of the knee and of a price, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.backtest.frontier import PolicyFrontier
from services.backtest.recommend import knee, recommend, useful_front, why_none
from services.kernel.errors import InvalidInput

HOURS = 1000.0


def frontier(*points: tuple[float, float]) -> PolicyFrontier:
    """Settings from (violation rate, cost); a thousand workload-hours are replayed."""
    rate, cost_usd = np.array(points, dtype=float).T
    labels = tuple(str(i) for i in range(rate.size))
    blocks = rate[:, None], cost_usd[:, None]
    return PolicyFrontier("harmony", labels, rate, cost_usd, HOURS * rate, *blocks, rate)


BENT = frontier((0.1, 30), (0.02, 35), (0.0, 100), (0.01, 40))


def test_the_knee_is_where_a_dollar_stops_averting_its_share() -> None:
    # savings and risk as shares of the whole: 60/70 at 0.1, 65/70 at 0.2
    assert knee(np.array([0.0, 0.01, 0.02, 0.1]), np.array([100.0, 40, 35, 30])) == 1
    found = recommend(BENT, n_known=10_000)
    assert found is not None
    assert (found.epsilon, found.cost_usd, found.hours_out) == (0.01, 40.0, 10.0)
    assert "knee" in found.rule


@pytest.mark.parametrize(
    ("shortage_usd", "epsilon"),
    [
        (0.05, 0.1),  # 30 + 5, 35 + 1, 40 + 0.5, 100
        (0.1, 0.02),  # 30 + 10, 35 + 2, 40 + 1, 100
        (1.0, 0.01),  # 30 + 100, 35 + 20, 40 + 10, 100
        (10.0, 0.0001),  # 40 + 100 against 100: never out of SLA in ten thousand steps
    ],
)
def test_with_a_price_it_is_the_least_cost(shortage_usd: float, epsilon: float) -> None:
    found = recommend(BENT, n_known=10_000, shortage_usd=shortage_usd)
    assert found is not None
    assert found.epsilon == epsilon


def test_settings_that_are_beaten_or_promise_nothing_are_left_out() -> None:
    found = frontier((0.3, 10), (0.05, 40), (0.06, 45), (0.01, 60), (0.01, 55), (0.1, 20))
    assert useful_front(found).tolist() == [4, 1, 5]


def test_too_few_useful_settings_recommend_nothing() -> None:
    found = frontier((0.0, 50), (0.05, 40), (0.3, 10), (0.4, 5))
    assert recommend(found, 1000) is None
    assert why_none(found) == "too few settings keep the replay within 10 %"


def test_settings_that_a_replay_does_not_tell_apart_recommend_nothing_and_it_is_said() -> None:
    """All of 48 kept an hour whole at the same cost, and too few were said to keep it."""
    found = frontier(*[(0.0, 15.62)] * 48)
    assert recommend(found, 1000) is None
    assert why_none(found) == (
        "this replay hardly tells settings apart. Of the 48 that keep it within 10 %, all but 1 "
        "cost no less than another and miss no less"
    )


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(InvalidInput, match="--shortage-usd"):
        recommend(BENT, 1000, price)


@given(
    st.lists(st.tuples(st.floats(0, 0.1), st.floats(1, 100)), min_size=3, max_size=10),
    st.floats(0.01, 10),
    st.floats(1, 10),
)
def test_a_dearer_hour_never_asks_for_a_looser_promise(
    points: list[tuple[float, float]], price: float, factor: float
) -> None:
    cheap = recommend(frontier(*points), 1000, price)
    dear = recommend(frontier(*points), 1000, price * factor)
    assert (cheap is None) == (dear is None)
    if cheap is not None and dear is not None:
        assert dear.epsilon <= cheap.epsilon
        assert 0 < dear.epsilon < 1
