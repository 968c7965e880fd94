"""The last demand: of short steps the mean of a minute or a rise beyond chance, else the newest.

The reactive floor holds of it what chance does not explain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.config import FallbackConfig
from decider.errors import InvalidConfig
from decider.planning.fallback import (
    DecisionTime,
    last_known_demand,
    risen_demand,
    shown_demand,
)
from decider.types import History
from tests.unit.decider.shards import NOW_S, workload

CONFIG = FallbackConfig()
NAN = float("nan")


def last(values: list[float], step_s: float, config: FallbackConfig = CONFIG) -> float | None:
    history = History(np.array(values), NOW_S, (), ())
    owner = replace(workload("w"), history=history)
    return last_known_demand(owner, DecisionTime(NOW_S, step_s), config)


def shown(values: list[float], step_s: float = 15.0) -> float | None:
    history = History(np.array(values), NOW_S, (), ())
    owner = replace(workload("w"), history=history)
    return shown_demand(owner, DecisionTime(NOW_S, step_s), CONFIG)


def usual(seed: int, n_steps: int = 40) -> list[float]:
    """Steps that scatter by a tenth."""
    rng = np.random.default_rng(seed)
    return [float(one) for one in 100.0 * (1.0 + 0.1 * rng.standard_normal(n_steps))]


def test_short_steps_are_averaged_over_a_minute_and_long_ones_are_not() -> None:
    values = [100.0, 10.0, 20.0, 30.0, 40.0]
    assert last(values, 15.0) == 25.0
    assert last(values, 30.0) == 35.0
    assert last(values, 60.0) == 40.0
    assert last(values, 300.0) == 40.0


def test_of_a_gap_what_is_known_counts() -> None:
    assert last([100.0, 10.0, 10.0, NAN, 40.0, NAN], 15.0) == 20.0
    assert last([NAN, NAN], 15.0) is None


def test_a_demand_of_no_time_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="last_demand_s"):
        FallbackConfig(last_demand_s=0.0)


def test_a_burst_is_seen_in_its_first_step() -> None:
    """The mean of a minute has only a quarter of it by then."""
    for seed in range(20):
        begun = [*usual(seed), 250.0]
        by_mean = last(begun, 15.0, replace(CONFIG, rise_deviations=np.inf))
        found = last(begun, 15.0)
        assert by_mean is not None
        assert found is not None
        assert by_mean < 150.0 < 200.0 < found < 250.0
        assert last([*begun, 250.0, 250.0, 250.0], 15.0) == 250.0


def test_chance_is_no_burst() -> None:
    """A count that goes up by chance goes back: 2 % of the steps of a steady hour."""
    raised = 0
    for seed in range(20):
        steps = usual(seed, 240)
        for end in range(40, 240, 5):
            mean = float(np.mean(steps[end - 4 : end]))
            found = last(steps[:end], 15.0)
            assert found is not None
            assert found >= mean
            raised += found > 1.001 * mean
    assert raised <= 0.02 * 20 * 40


def test_an_earlier_burst_hides_no_later_one() -> None:
    earlier = [*usual(1, 30), *[250.0] * 8, *usual(2, 12), 250.0]
    found = last(earlier, 15.0)
    assert found is not None
    assert found > 200.0


def test_without_enough_steps_before_it_is_the_mean() -> None:
    assert last([*usual(3, 8), 250.0], 15.0) == pytest.approx(np.mean([*usual(3, 8)[-3:], 250.0]))
    assert last([NAN] * 30 + [100.0, 100.0, 100.0, 250.0], 15.0) == 137.5


def test_steps_of_a_minute_are_what_they_were() -> None:
    values = [*usual(4), 250.0]
    assert last(values, 60.0) == 250.0
    assert risen_demand(np.array(values), 1, CONFIG) is None


@given(
    values=st.lists(st.one_of(st.just(NAN), st.floats(0.0, 1e6)), max_size=40),
    scale=st.sampled_from([0.5, 2.0, 1024.0]),
)
def test_a_rise_is_never_more_than_was_seen_and_has_no_unit(
    values: list[float], scale: float
) -> None:
    demand = np.array(values)
    found, scaled = (risen_demand(each, 4, CONFIG) for each in (demand, scale * demand))
    if found is None:
        assert scaled is None
        return
    assert found <= (np.nanmax(demand) if np.isfinite(demand).any() else 0.0) * (1 + 1e-9)
    assert scaled == pytest.approx(scale * found)


def test_of_few_requests_a_lone_one_is_no_rise() -> None:
    """Most steps hold none, so the median change is 0: each request counted as a minute of such."""
    sparse = [0.0] * 60
    sparse[5::12] = [4000.0] * 5
    sparse[-1] = 4000.0
    mean = float(np.mean(sparse[-12:]))
    newest, held = last(sparse, 5.0), shown(sparse, 5.0)
    assert newest is not None
    assert held is not None
    assert newest < 1.25 * mean
    assert held < 1.25 * mean


def test_a_minute_that_shows_nothing_holds_nothing() -> None:
    """It was taken for one of which nothing can be told, and held its whole mean."""
    rng = np.random.default_rng(3)
    few = [float(n) for n in 1000.0 * rng.poisson(0.8, 60)]
    few[-12:] = [0.0, 0.0, 1000.0, *[0.0] * 9]
    held, mean = shown(few, 5.0), last(few, 5.0)
    assert held is not None
    assert mean is not None
    assert held < mean


def test_impossible_settings_of_a_rise_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="rise_deviations"):
        FallbackConfig(rise_deviations=-1.0)
    with pytest.raises(InvalidConfig, match="n_scatter"):
        FallbackConfig(n_scatter=1)


def test_a_minute_that_is_high_by_chance_is_not_held() -> None:
    """Its mean is above the level in half of the minutes; what it shows is so in 4 % of them."""
    above = []
    for seed in range(20):
        steps = usual(seed, 240)
        found = [shown(steps[:end]) for end in range(40, 240, 5)]
        assert all(
            one is not None and one <= (last(steps[:end], 15.0) or 0.0)
            for one, end in zip(found, range(40, 240, 5), strict=True)
        )
        above += [one > 100.0 for one in found if one is not None]
    assert np.mean(above) <= 0.07


def test_a_burst_is_held_from_its_first_step_and_nearly_whole_after_a_minute() -> None:
    for seed in range(20):
        begun = [*usual(seed), 250.0]
        assert shown(begun) == pytest.approx(last(begun, 15.0), rel=0.05)
        whole = shown([*begun, 250.0, 250.0, 250.0])
        assert whole is not None
        assert 225.0 < whole < 250.0


def test_what_is_shown_is_the_last_demand_where_chance_is_not_known() -> None:
    assert shown([100.0, 10.0, 20.0, 30.0, 40.0]) == 25.0
    assert shown([*usual(4), 250.0], 60.0) == 250.0
    assert shown([NAN, NAN]) is None
