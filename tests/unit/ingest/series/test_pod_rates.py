"""Counters of pods as rates: restarts, borders, and what extrapolation does, by the definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.series.pod_rates import Buckets, series_rates, sum_rates
from services.ingest.series.resample import StepGrid
from services.ingest.series.samples import F64, SECOND_US, Samples, make_samples

STEP_S = 60
GRID = StepGrid(0, STEP_S * SECOND_US, 3)
INF = float("inf")


def samples(*points: tuple[float, float], series: int = 0) -> Samples:
    """(seconds, value) pairs of one series."""
    at_us = [round(at_s * SECOND_US) for at_s, _ in points]
    return make_samples([series] * len(points), at_us, [value for _, value in points])


def rates(*points: tuple[float, float]) -> F64:
    found: F64 = series_rates(samples(*points), 1, GRID)[0]
    return found


def by_definition(points: list[tuple[float, float]], start_s: float) -> float | None:
    """One step, in plain words: the rise, and how far it is carried to either end."""
    inside = [point for point in sorted(points) if start_s <= point[0] <= start_s + STEP_S]
    if len(inside) < 2:
        return None
    pairs = list(pairwise(inside))
    rise = sum(new - old if new >= old else new for (_, old), (_, new) in pairs)
    sampled_s = inside[-1][0] - inside[0][0]
    mean_s = sampled_s / len(pairs)
    before_s, after_s = inside[0][0] - start_s, start_s + STEP_S - inside[-1][0]
    before_s, after_s = (s if s < 1.1 * mean_s else mean_s / 2 for s in (before_s, after_s))
    if rise > 0:
        before_s = min(before_s, sampled_s * inside[0][1] / rise)
    return rise * (sampled_s + before_s + after_s) / sampled_s / STEP_S


@given(
    st.dictionaries(st.integers(0, 179), st.integers(0, 500), max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_each_step_is_what_the_definition_says_in_any_order(
    readings: dict[int, int], seed: int
) -> None:
    points = [(float(at_s), float(value)) for at_s, value in readings.items()]
    order = np.random.default_rng(seed).permutation(len(points)).tolist()
    found = rates(*(points[n] for n in order))
    for step in range(GRID.n_steps):
        expected = by_definition(points, step * STEP_S)
        if expected is None:
            assert np.isnan(found[step])
        else:
            assert found[step] == pytest.approx(expected)


def test_a_counter_that_is_read_at_the_borders_loses_nothing() -> None:
    assert rates((0, 100), (60, 220), (120, 280))[:2].tolist() == [2.0, 1.0]


def test_a_restart_counts_what_the_new_process_shows() -> None:
    found = rates((0, 500), (20, 540), (40, 3), (60, 43))
    assert found[0] == pytest.approx((40 + 3 + 40) / 60)


def test_one_reading_is_no_rate_and_a_reading_twice_is_one() -> None:
    assert np.isnan(rates((10, 5))).all()
    assert np.isnan(rates((10, 5), (10, 7))).all()
    assert np.isnan(rates()).all()


def test_pods_that_come_and_go_are_added_up_and_none_reads_as_a_fall() -> None:
    leaves = samples((0, 1000), (30, 1030), (60, 1060))
    comes = samples((60, 0), (90, 60), (120, 120), series=1)
    both = make_samples(
        np.concatenate([leaves.series, comes.series]),
        np.concatenate([leaves.at_us, comes.at_us]),
        np.concatenate([leaves.value, comes.value]),
    )
    np.testing.assert_allclose(sum_rates(series_rates(both, 2, GRID)), [1.0, 2.0, np.nan])


def counted(rows: list[list[float]], pods: list[int], edges: list[float]) -> dict[str, F64]:
    return Buckets(np.array(rows), np.array(pods), np.array(edges)).counted(0.5)


def test_each_pod_goes_by_its_own_edges_next_to_the_threshold() -> None:
    found = counted(
        [[9.0], [5.0], [6.0], [7.0], [4.0], [2.0]],
        [1, 1, 1, 1, 2, 2],
        [INF, 0.25, 0.4, 0.75, INF, 0.5],
    )
    assert {name: value.tolist() for name, value in found.items()} == {
        "total": [13.0],
        "good": [8.0],
        "upto": [9.0],
    }


def test_a_bucket_that_is_not_there_makes_its_count_unknown_and_no_other() -> None:
    nan = np.nan
    found = counted([[9.0, nan], [nan, 5.0]], [1, 1], [INF, 0.5])
    np.testing.assert_array_equal(found["total"], [9.0, nan])
    np.testing.assert_array_equal(found["good"], [nan, 5.0])
    np.testing.assert_array_equal(found["upto"], [9.0, 5.0])


def test_above_the_last_edge_all_may_be_good() -> None:
    found = counted([[9.0], [5.0]], [1, 1], [INF, 0.1])
    assert (found["good"].tolist(), found["upto"].tolist()) == ([5.0], [9.0])


def test_without_pods_nothing_is_counted() -> None:
    assert np.isnan(counted([[np.nan]], [1], [INF])["total"]).all()
