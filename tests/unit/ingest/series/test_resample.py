"""Laws of the step grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.ingest.series.resample import Resampled, StepGrid, resample
from services.ingest.series.samples import SECOND_US, Samples, join_samples, make_samples

STEP_S = 60
GRID = StepGrid(start_us=6000 * SECOND_US, step_us=STEP_S * SECOND_US, n_steps=5)
GAUGE, COUNTER = np.array([False]), np.array([True])
KINDS = st.sampled_from([GAUGE, COUNTER])


@st.composite
def raw_samples(draw: st.DrawFn, *, is_distinct: bool = True) -> Samples:
    """Samples of one series around the grid, in arrival order."""
    offsets_s = st.floats(-STEP_S, 5 * STEP_S, allow_nan=False).map(lambda x: round(x, 3))
    at_s = draw(st.lists(offsets_s, max_size=40, unique=is_distinct))
    value = st.floats(0, 1e6, allow_nan=False)
    values = draw(st.lists(value, min_size=len(at_s), max_size=len(at_s)))
    at_us = [GRID.start_us + round(offset * SECOND_US) for offset in at_s]
    return make_samples([0] * len(at_s), at_us, values)


def run(samples: Samples, is_counter: np.ndarray = GAUGE) -> Resampled:
    return resample(samples, is_counter, GRID)


def at(*offsets_s: float) -> list[int]:
    return [GRID.start_us + round(offset * SECOND_US) for offset in offsets_s]


def same(left: Resampled, right: Resampled) -> bool:
    return left.value.tobytes() == right.value.tobytes() and bool(
        (left.observed == right.observed).all()
    )


@given(raw_samples(), KINDS, st.randoms(use_true_random=False))
def test_order_does_not_matter(samples: Samples, kind: np.ndarray, shuffle: object) -> None:
    order = list(range(len(samples)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]  # random.Random
    assert same(run(samples, kind), run(samples.where(np.array(order, dtype=np.int64)), kind))


@given(raw_samples(is_distinct=False), KINDS)
def test_sending_twice_changes_nothing(samples: Samples, kind: np.ndarray) -> None:
    assert same(run(samples, kind), run(join_samples([samples, samples]), kind))


@given(raw_samples(), KINDS)
def test_a_step_is_observed_only_if_it_has_samples(samples: Samples, kind: np.ndarray) -> None:
    result = run(samples, kind)
    assert (np.isnan(result.value) == ~result.observed).all()
    offset_us = samples.at_us - GRID.start_us - (1 if kind[0] else 0)
    steps_with_samples = set((offset_us // GRID.step_us).tolist())
    observed = set(np.flatnonzero(result.observed[0]).tolist())
    assert observed <= steps_with_samples
    if not kind[0]:
        assert observed == steps_with_samples & set(range(GRID.n_steps))


@given(raw_samples(), st.floats(-1e5, 1e5), st.floats(0, 100))
def test_gauge_mean_lies_between_its_samples(samples: Samples, shift: float, scale: float) -> None:
    result = run(samples)
    for step in np.flatnonzero(result.observed[0]):
        inside = (samples.at_us - GRID.start_us) // GRID.step_us == step
        low, high = samples.value[inside].min(), samples.value[inside].max()
        slack = 1e-6 * max(1.0, abs(high))
        assert low - slack <= result.value[0, step] <= high + slack


@given(
    rate=st.floats(0, 1e4),
    first=st.floats(0, 1e6),
    readings=st.lists(
        st.integers(-STEP_S * 1000, 5 * STEP_S * 1000), min_size=2, max_size=60, unique=True
    ),
)
def test_a_constant_counter_rate_is_recovered(
    rate: float, first: float, readings: list[int]
) -> None:
    at_s = np.sort(np.array(readings)) / 1000
    values = first + rate * (at_s - at_s[0])
    result = run(make_samples([0] * len(at_s), at(*at_s), values), COUNTER)
    found = result.value[result.observed]
    shortest_s = float(np.diff(at_s).min())
    rounding = 4 * np.spacing(values[-1]) / shortest_s  # of the readings themselves
    assert np.allclose(found, rate, rtol=1e-5, atol=1e-6 + rounding)


@given(
    rises=st.lists(st.floats(0, 1000), min_size=3, max_size=40),
    resets=st.sets(st.integers(1, 39)),
)
def test_a_reset_is_never_negative_or_a_spike(rises: list[float], resets: set[int]) -> None:
    """Readings every 7 s; at a reset the counter restarts from a small value."""
    value, values = 5e5, []
    for number, rise in enumerate(rises):
        value = rise if number in resets else value + rise
        values.append(value)
    at_s = [7.0 * number for number in range(len(values))]
    result = run(make_samples([0] * len(values), at(*at_s), values), COUNTER)
    found = result.value[result.observed]
    assert (found >= 0).all()
    assert (found <= max(rises) / 7.0 * 1.0001 + 1e-3).all()


def test_an_interval_with_a_reset_is_left_out() -> None:
    samples = make_samples([0] * 4, at(15, 30, 45, 60), [900.0, 1050.0, 5.0, 155.0])
    assert run(samples, COUNTER).value[0, 0] == pytest.approx(10.0)


def test_a_dip_by_jitter_adds_no_spike() -> None:
    """A sum over pods dips when a pod goes; taking that for a restart from 0 would add 1e9."""
    samples = make_samples([0] * 3, at(20, 40, 60), [1e9, 1e9 - 1, 1e9 + 199])
    assert run(samples, COUNTER).value[0, 0] == pytest.approx(10.0)


def test_a_step_with_nothing_but_a_reset_is_unobserved() -> None:
    samples = make_samples([0, 0], at(30, 60), [1000.0, 5.0])
    assert not run(samples, COUNTER).observed.any()


def test_the_reading_before_the_step_counts() -> None:
    samples = make_samples([0, 0], at(-15, 45), [100.0, 160.0])
    result = run(samples, COUNTER)
    assert result.value[0, 0] == pytest.approx(1.0)
    assert result.observed[0].tolist() == [True, False, False, False, False]


def test_a_reading_older_than_a_step_before_does_not_count() -> None:
    samples = make_samples([0, 0], at(-61, 45), [100.0, 160.0])
    assert not run(samples, COUNTER).observed.any()


def test_a_reading_at_the_end_closes_its_step() -> None:
    samples = make_samples([0] * 3, at(0, 60, 120), [0.0, 600.0, 1800.0])
    result = run(samples, COUNTER)
    assert result.value[0, :2].tolist() == [10.0, 20.0]
    assert result.observed[0].tolist() == [True, True, False, False, False]


def test_a_rate_is_weighted_by_its_time_in_the_step() -> None:
    """3/s until 20 s, of which 10 s were before the step; 6/s for the other 40 s."""
    samples = make_samples([0] * 3, at(-10, 20, 60), [0.0, 90.0, 330.0])
    assert run(samples, COUNTER).value[0, 0] == pytest.approx((20 * 3 + 40 * 6) / 60)


def test_the_last_of_equal_times_counts() -> None:
    samples = make_samples([0] * 3, at(5, 5, 5), [1.0, 3.0, 2.0])
    assert run(samples).value[0, 0] == 2.0


def test_a_gauge_at_the_boundary_belongs_to_the_step_that_begins() -> None:
    assert run(make_samples([0], at(60), [7.0])).observed[0].tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]


def test_series_do_not_mix() -> None:
    samples = make_samples([1, 0, 1, 0], at(10, 10, 20, 20), [100.0, 1.0, 200.0, 3.0])
    result = resample(samples, np.array([False, True]), GRID)
    assert result.value[0, 0] == pytest.approx(2.0)
    assert result.value[1, 0] == pytest.approx(10.0)


def test_nothing_in_nothing_out() -> None:
    result = run(make_samples([], [], []))
    assert not result.observed.any()
    assert np.isnan(result.value).all()
