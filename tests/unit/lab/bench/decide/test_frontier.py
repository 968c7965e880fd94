"""Costs read off at a rate, sums over days, resamples that weigh like the rows they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.decide.frontier import (
    Blocks,
    Curve,
    Yardstick,
    block_sums,
    blocks_of,
    curve,
    resamples,
)
from services.simulator.grid_run import GridRun


def make_curve(*points: tuple[float, float]) -> Curve:
    rate, ratio = np.array(points, dtype=float).T
    return Curve(rate, ratio)


def test_between_settings_the_cost_is_linear_in_the_logarithm_of_the_rate() -> None:
    found = make_curve((0.1, 1.0), (0.001, 3.0))
    assert found.at(0.01) == pytest.approx(2.0)
    assert found.at(0.001) == pytest.approx(3.0)
    assert found.at(0.1) == pytest.approx(1.0)


def test_a_setting_that_another_beats_in_both_is_no_part_of_the_frontier() -> None:
    front = make_curve((0.1, 1.0), (0.001, 3.0))
    beaten = make_curve((0.1, 1.0), (0.01, 3.5), (0.02, 3.0), (0.001, 3.0))
    assert beaten.at(0.01) == pytest.approx(front.at(0.01))
    cheaper = make_curve((0.1, 1.0), (0.01, 1.2), (0.001, 3.0))
    assert cheaper.at(0.01) == pytest.approx(1.2)


def test_a_rate_below_every_setting_is_not_reached() -> None:
    found = make_curve((0.1, 1.0), (0.02, 3.0))
    assert math.isnan(found.at(0.01))
    assert found.at(0.02) == pytest.approx(3.0)


def test_where_every_setting_violates_less_the_cost_is_that_of_the_leanest() -> None:
    assert make_curve((0.01, 1.5), (0.001, 3.0)).at(0.05) == 1.5


def test_from_a_rate_of_zero_the_cost_is_linear_in_the_rate() -> None:
    """Zero has no place on a logarithmic axis: wherever it was put, that set the figure."""
    found = make_curve((0.0, 3.0), (0.1, 1.0))
    assert found.at(1e-3) == pytest.approx(2.98)
    assert found.at(0.05) == pytest.approx(2.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 0.5), st.floats(0.5, 20)), min_size=1, max_size=12, unique=True
    ),
    st.floats(1e-4, 0.4),
    st.floats(1.0, 2.0),
)
def test_a_looser_promise_never_costs_more(
    points: list[tuple[float, float]], epsilon: float, factor: float
) -> None:
    found = make_curve(*points)
    strict, loose = found.at(epsilon), found.at(epsilon * factor)
    if not math.isnan(strict):
        assert loose <= strict * (1 + 1e-12)
        within = [cost for rate, cost in points if rate <= epsilon]
        assert strict <= min(within) * (1 + 1e-12)
        assert strict >= min(cost for _, cost in points) * (1 - 1e-12)


def test_sums_over_blocks_keep_the_short_last_one() -> None:
    values = np.arange(14, dtype=float).reshape(2, 7)
    np.testing.assert_array_equal(block_sums(values, 3), [[3, 12, 6], [24, 33, 13]])


def test_only_the_counted_part_and_known_steps_are_summed() -> None:
    ones = np.ones((1, 1, 5), dtype=np.float32)
    out = np.array([[[1, 1, 0.5, 1, 0]]], dtype=np.float32)
    run = GridRun("p", ("x",), 2 * ones, out, ones, ones, out, out)
    known = np.array([[True, True, True, False, True]])
    found = blocks_of(run, known, n_prelude=1, n_per_block=2)
    np.testing.assert_allclose(found.out, [[[1.5, 0.0]]])
    np.testing.assert_allclose(found.held, [[[4.0, 4.0]]])


def test_rates_and_costs_are_means_of_workloads_not_of_totals() -> None:
    blocks = Blocks(np.array([[[1.0, 1.0], [0.0, 4.0]]]), np.array([[[30.0, 30.0], [8.0, 8.0]]]))
    yard = Yardstick(np.array([[10.0, 10.0], [4.0, 4.0]]), np.array([[20.0, 20.0], [2.0, 2.0]]))
    found = curve(blocks, yard)
    assert found.rate == pytest.approx([(2 / 20 + 4 / 8) / 2])
    assert found.ratio == pytest.approx([(60 / 40 + 16 / 4) / 2])


def test_a_workload_without_known_demand_counts_nowhere() -> None:
    blocks = Blocks(np.array([[[1.0], [0.0]]]), np.array([[[30.0], [99.0]]]))
    yard = Yardstick(np.array([[10.0], [0.0]]), np.array([[20.0], [1.0]]))
    found = curve(blocks, yard)
    assert found.rate == pytest.approx([0.1])
    assert found.ratio == pytest.approx([1.5])


def test_resample_weights_equal_the_rows_written_out() -> None:
    """Weighing days and picking workloads is the same as copying them."""
    rng = np.random.default_rng(3)
    G, W, B = 4, 3, 5
    blocks = Blocks(rng.uniform(0, 2, (G, W, B)), rng.uniform(20, 40, (G, W, B)))
    yard = Yardstick(rng.uniform(5, 9, (W, B)), rng.uniform(10, 20, (W, B)))
    day_picks, workload_picks = np.array([0, 2, 2, 4, 2]), np.array([1, 1, 2])
    weights = np.bincount(day_picks, minlength=B).astype(float)
    found = curve(blocks, yard, weights, workload_picks)
    at = np.ix_(workload_picks, day_picks)
    copied = Blocks(
        np.stack([row[at] for row in blocks.out]), np.stack([row[at] for row in blocks.held])
    )
    expected = curve(copied, Yardstick(yard.known[at], yard.oracle[at]))
    np.testing.assert_allclose(found.rate, expected.rate)
    np.testing.assert_allclose(found.ratio, expected.ratio)


def test_resamples_draw_as_many_days_and_workloads_as_there_are() -> None:
    draws = resamples(3, 6, 40, np.random.default_rng(1))
    assert len(draws) == 40
    for days, workloads in draws:
        assert days.sum() == 6
        assert workloads.shape == (3,)
        assert set(workloads) <= {0, 1, 2}
    assert len({tuple(days) for days, _ in draws}) > 20
