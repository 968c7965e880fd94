"""What requests felt: the interval of misses holds the truth, and unknown is never good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.errors import InvalidRequest
from decider.sli import SliCounts, SliSteps, contradictions, count_misses, promised_violation
from decider.types import RISK_KINDS, FloatArray, RiskKind

NAN = float("nan")


def counts(
    total: Any,
    good: Any,
    upto: Any = None,
    lost: float | list[float] = NAN,
    waiting: float | list[float] = NAN,
    of_requests: bool = True,
) -> SliCounts:
    """Counts of goals by rows; one row may be given flat."""
    totals = np.atleast_2d(np.asarray(total, dtype=float))
    goods = np.atleast_2d(np.asarray(good, dtype=float))
    n = totals.shape[1]
    return SliCounts(
        totals,
        goods,
        goods if upto is None else np.atleast_2d(np.asarray(upto, dtype=float)),
        np.full(totals.shape[0], of_requests),
        np.broadcast_to(np.asarray(lost, dtype=float), n),
        np.broadcast_to(np.asarray(waiting, dtype=float), n),
    )


def missed(requests: list[float], high: list[float], silent: list[bool] | None = None) -> SliSteps:
    ratio = np.array(high)
    return SliSteps(np.array(requests), ratio, ratio, None if silent is None else np.array(silent))


def interval(one: SliCounts) -> tuple[float, float, float]:
    steps = count_misses(one)
    return float(steps.requests[0]), float(steps.miss_low[0]), float(steps.miss_high[0])


numbers = st.integers(0, 40)
maybe = st.one_of(numbers.map(float), st.just(NAN))


@st.composite
def any_counts(draw: st.DrawFn) -> SliCounts:
    """Counts that can be true, each of them perhaps unknown."""
    n_goals, n_steps = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rows: list[list[list[float]]] = [[], [], []]
    for _ in range(n_goals):
        three = [sorted(draw(st.tuples(numbers, numbers, numbers))) for _ in range(n_steps)]
        for row, at in zip(rows, (2, 0, 1), strict=True):
            known = draw(st.lists(st.integers(0, 9), min_size=n_steps, max_size=n_steps))
            row.append([float(x[at]) if k else NAN for x, k in zip(three, known, strict=True)])
    alone = [np.array([draw(maybe) for _ in range(n_steps)]) for _ in range(2)]
    kinds = np.array([draw(st.booleans()) for _ in range(n_goals)])
    total, good, upto = (np.array(row) for row in rows)
    return SliCounts(total, good, upto, kinds, alone[0], alone[1])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.integers(0, 5))
def test_the_truth_of_each_request_lies_within(
    seed: int, n_answered: int, n_goals: int, n_lost: int
) -> None:
    """Histograms know margins only; some of the lost may have been observed before they were."""
    rng = np.random.default_rng(seed)
    surely_good = rng.random((n_goals, n_answered)) < rng.random()
    is_good = surely_good | (rng.random((n_goals, n_answered)) < rng.random())
    maybe_good = is_good | (rng.random((n_goals, n_answered)) < rng.random())
    n_inside = int(rng.integers(0, min(n_lost, n_answered) + 1))
    is_lost = np.arange(n_answered) < n_inside
    n_missed = int((~is_good.all(axis=0) | is_lost).sum()) + n_lost - n_inside
    truth = n_missed / (n_answered + n_lost - n_inside)
    found = count_misses(
        counts(
            np.full((n_goals, 1), n_answered),
            surely_good.sum(axis=1, keepdims=True),
            maybe_good.sum(axis=1, keepdims=True),
            lost=float(n_lost),
        )
    )
    assert found.miss_low[0] - 1e-12 <= truth <= found.miss_high[0] + 1e-12
    assert found.requests[0] <= n_answered + n_lost - n_inside


@given(any_counts())
def test_the_interval_is_one_and_known_as_a_whole(one: SliCounts) -> None:
    steps = count_misses(one)
    known = np.isfinite(steps.miss_high)
    for values in (steps.requests, steps.miss_low):
        assert (np.isfinite(values) == known).all()
    low, high = steps.miss_low[known], steps.miss_high[known]
    assert (low >= 0).all()
    assert (low <= high).all()
    assert (high <= 1).all()


@given(any_counts())
def test_an_unknown_stays_unknown_unless_something_waits_unseen(one: SliCounts) -> None:
    steps = count_misses(one)
    unknown = (np.isnan(one.total) | np.isnan(one.good)).any(axis=0)
    nothing_seen = np.nan_to_num(one.total).max(axis=0) <= 0
    silent = nothing_seen & (one.waiting > 0)
    assert np.isnan(steps.miss_high[unknown & ~silent]).all()
    assert (steps.miss_low[silent] == 1).all()
    assert (steps.requests[silent] == one.waiting[silent]).all()


@given(any_counts(), st.integers(0, 2), st.booleans())
def test_a_miss_more_never_lowers(one: SliCounts, goal: int, is_lost: bool) -> None:
    if is_lost:
        more = replace(one, lost=np.nan_to_num(one.lost) + 1.0)
    else:
        row = np.arange(one.total.shape[0])[:, None] == goal % one.total.shape[0]
        worse = {n: np.maximum(getattr(one, n) - row, 0.0) for n in ("good", "upto")}
        more = replace(one, **worse)
    before, after = count_misses(one), count_misses(more)
    for kind in RISK_KINDS:
        was, now = (promised_violation(s, kind, 0.9, 300.0) for s in (before, after))
        both = np.isfinite(was) & np.isfinite(now)
        if kind == "DemandFraction" or not is_lost:
            assert (now[both] >= was[both] - 1e-12).all()
    both = np.isfinite(before.miss_low) & np.isfinite(after.miss_low)
    assert (after.miss_low[both] >= before.miss_low[both] - 1e-12).all()


def test_a_threshold_between_edges_and_losses_widen_the_interval() -> None:
    assert interval(counts([100], [90])) == (100, 0.1, 0.1)
    assert interval(counts([100], [90], [95])) == (100, 0.05, 0.1)
    assert interval(counts([[100], [100]], [[90], [96]])) == pytest.approx((100, 0.1, 0.14))
    assert interval(counts([100], [90], lost=20.0)) == pytest.approx((100, 20 / 110, 0.3))
    assert interval(counts([0], [0], lost=5.0)) == (5, 1.0, 1.0), "all that came was lost"


def test_an_upper_edge_that_is_unknown_opens_the_lower_end_only() -> None:
    assert interval(counts([100], [90], [NAN])) == (100, 0.0, 0.1)


def test_without_requests_there_is_no_miss_and_without_an_answer_no_number() -> None:
    assert interval(counts([0], [0])) == (0, 0, 0)
    assert interval(counts([0], [0], waiting=0.0)) == (0, 0, 0)
    assert np.isnan(interval(counts([NAN], [NAN]))).all()
    assert np.isnan(interval(counts([NAN], [NAN], waiting=0.0))).all()
    assert np.isnan(interval(counts([[50], [NAN]], [[50], [NAN]], waiting=3.0))).all()


def test_silence_while_something_waits_is_a_violation_of_every_promise() -> None:
    for total in (0.0, NAN):
        steps = count_misses(counts([total], [total], waiting=0.5))
        assert (steps.requests[0], steps.miss_low[0], steps.miss_high[0]) == (0.5, 1.0, 1.0)
        for kind in RISK_KINDS:
            assert promised_violation(steps, kind, 0.95, 300.0).tolist() == [1.0]


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_a_quiet_step_is_nobodys_violation(kind: RiskKind) -> None:
    assert promised_violation(missed([0.0], [0.0]), kind, 0.95, 300.0).tolist() == [0.0]
    assert np.isnan(promised_violation(missed([NAN], [NAN]), kind, 0.95, 300.0)).all()


@pytest.mark.parametrize(
    ("total", "good", "upto"), [([10], [12], [12]), ([10], [5], [4]), ([-1], [-1], [-1])]
)
def test_counts_that_contradict_each_other_are_unknown(total: Any, good: Any, upto: Any) -> None:
    one = counts(total, good, upto, waiting=4.0)
    assert contradictions(one).tolist() == [[True]]
    assert np.isnan(interval(one)).all(), "not even the queue tells of it"
    assert np.isnan(interval(counts([10], [9], lost=-3.0))).all()


def test_a_difference_of_rounding_is_none() -> None:
    one = counts([300.0], [np.float32(300.0) * (1 + 3e-7)])
    assert not contradictions(one).any()
    assert interval(one)[1:] == (0.0, 0.0)


def test_tokens_stand_for_requests_and_are_not_added_to_them() -> None:
    tokens = counts([2000], [1900], of_requests=False)
    assert interval(tokens) == pytest.approx((2000, 0.05, 0.05))
    both = replace(counts([[10], [2000]], [[9], [1900]]), is_of_requests=np.array([True, False]))
    assert interval(both) == pytest.approx((10, 0.1, 0.15))


def time(steps: SliSteps, step_s: float = 60.0, first_s: float = 0.0) -> list[float]:
    return promised_violation(steps, "TimeFraction", 0.95, step_s, first_s).tolist()


def test_one_slow_request_of_three_is_no_bad_minute() -> None:
    assert time(missed([3.0], [1 / 3])) == [0.0]
    assert time(missed([3.0], [2 / 3])) == [1.0]
    assert time(missed([20.0], [1 / 20])) == [0.0]
    assert time(missed([20.0], [2 / 20])) == [1.0]


def test_a_small_minute_is_judged_with_as_many_earlier_ones_as_it_needs() -> None:
    assert time(missed([50.0, 2.0], [1 / 50, 1 / 2]))[1] == 0.0, "2 of 52"
    assert time(missed([30.0, 2.0], [1 / 30, 1 / 2]))[1] == 1.0, "2 of 32"
    assert time(missed([12.0, 6.0, 2.0], [0.0, 1 / 6, 1 / 2]))[2] == 1.0, "2 of 20"
    assert time(missed([100.0, 6.0, 14.0], [0.5, 0.0, 0.0])) == [1.0, 0.0, 0.0]
    assert time(missed([12.0, NAN, 2.0], [1 / 12, NAN, 1 / 2]))[2] == 1.0, "the gap counts nothing"


def test_steps_of_less_than_a_minute_are_one_minute() -> None:
    steps = missed([40.0, 40.0, 0.0, NAN, 40.0], [0.2, 0.0, 0.0, NAN, 0.01])
    np.testing.assert_array_equal(time(steps, 15.0), [1.0, 1.0, 1.0, NAN, 0.0])
    shifted = time(missed([40.0, 40.0, 40.0], [0.2, 0.0, 0.0]), 15.0, first_s=45.0)
    assert shifted == [1.0, 0.0, 0.0], "the first step is the end of its minute"
    silent = missed([2.0, 40.0], [1.0, 0.0], [True, False])
    assert time(silent, 15.0) == [0.0, 0.0], "the minute answered"


def test_of_a_promise_of_requests_it_is_the_share() -> None:
    found = promised_violation(missed([3.0, NAN], [0.25, NAN]), "DemandFraction", 0.95, 15.0)
    np.testing.assert_array_equal(found, [0.25, NAN])


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), max_size=30), st.floats(0.5, 0.99))
def test_a_minute_is_bad_only_if_too_many_of_its_own_missed(
    given_steps: list[tuple[int, float]], good_share: float
) -> None:
    n, ratio = (np.array([s[i] for s in given_steps], dtype=float) for i in (0, 1))
    found: FloatArray = promised_violation(
        SliSteps(n, ratio, ratio), "TimeFraction", good_share, 60.0
    )
    assert (ratio[found == 1.0] > (1 - good_share) - 1e-9).all()
    many = (n >= 1.01 / (1 - good_share)) & (ratio > 1.01 * (1 - good_share))
    assert (found[many] == 1.0).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    one = counts([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(InvalidRequest, match=r"good has shape \(1, 1\)"):
        replace(one, good=np.ones((1, 1)))
    with pytest.raises(InvalidRequest, match=r"lost has shape \(3,\), must be \(2,\)"):
        replace(one, lost=np.ones(3))
    with pytest.raises(InvalidRequest, match=r"is_of_requests has shape \(2,\)"):
        replace(one, is_of_requests=np.ones(2, bool))
    with pytest.raises(InvalidRequest, match=r"good_share=1"):
        promised_violation(missed([1.0], [0.0]), "TimeFraction", 1.0, 60.0)


def test_an_estimate_between_the_edges_takes_the_place_of_the_lower_one() -> None:
    one = counts([100.0, 100.0], [20.0, 20.0], [99.0, 99.0])
    told = replace(one, likely=(np.array([95.0, NAN]),))
    assert count_misses(told).miss_high.tolist() == pytest.approx([0.05, 0.8])
    assert count_misses(told).miss_low.tolist() == pytest.approx([0.01, 0.01])
    outside = replace(one, likely=(np.array([100.0, 3.0]),))
    assert count_misses(outside).miss_high.tolist() == pytest.approx([0.01, 0.8])
    two = counts([[100.0], [100.0]], [[90.0], [20.0]], [[90.0], [99.0]])
    mixed = replace(two, likely=(None, np.array([95.0])))
    assert count_misses(mixed).miss_high.tolist() == pytest.approx([0.15])
    with pytest.raises(InvalidRequest, match="likely"):
        replace(one, likely=(None, None))
