"""More misses than the load explains are told from overload and from chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import FloatArray, MissDraws
from services.decision.beliefs.miss_data import MissSteps
from services.decision.decide.not_capacity import (
    N_DEVIATIONS,
    N_LEARNED,
    TwoSpans,
    expected_misses_of,
    not_capacity_message,
)

STEP_S = 60.0
DRAWS = MissDraws(*(np.full(8, v) for v in (10.0, 12.0, 0.004, 200.0)))


def steps(load: FloatArray, more: float = 0.0, total: float = 100.0, seed: int = 1) -> MissSteps:
    """Steps whose misses are those of the response, and `more` of all requests beside them."""
    rng = np.random.default_rng(seed)
    share = DRAWS.miss(load)[0]
    missed = rng.binomial(int(total), rng.beta(200.0 * share, 200.0 * (1.0 - share)))
    n = load.size
    missed = np.minimum(total, missed + np.round(more * total))
    return MissSteps(STEP_S * np.arange(n), load, missed.astype(float), np.full(n, total))


def spans(hour: MissSteps, before: MissSteps | None = None) -> TwoSpans:
    day = 6.0 + np.sin(np.arange(1440) / 1440 * 2 * np.pi)
    return TwoSpans(hour, steps(day, seed=2) if before is None else before)


def test_a_fault_at_the_load_of_before_is_told_with_both_shares() -> None:
    one = spans(steps(np.full(60, 6.0), more=0.06))
    assert one.suspicion() > N_DEVIATIONS
    message = not_capacity_message(one, DRAWS)
    assert message.startswith("more requests miss than this load explains, 6.")
    assert " % against 0.6" in message
    assert message.endswith("more replicas would not help")


@pytest.mark.parametrize("seed", range(10))
def test_chance_alone_is_no_fault(seed: int) -> None:
    assert not_capacity_message(spans(steps(np.full(60, 6.0), seed=seed)), DRAWS) == ""


def test_the_usual_scatter_of_steps_raises_few_suspicions() -> None:
    """Each suspicion costs a response to be learned."""
    load = np.random.default_rng(4).uniform(5.0, 7.0, 1440)
    before = steps(load, total=2000.0)
    hours = [steps(load[s : s + 60], total=2000.0, seed=s + 2) for s in range(50)]
    found = [spans(hour, before).suspicion() for hour in hours]
    assert sum(one > N_DEVIATIONS for one in found) <= 2


def test_overload_is_what_the_load_explains() -> None:
    one = spans(steps(np.full(60, 9.0), seed=3))
    assert one.hour.missed.sum() > 0.1 * one.hour.total.sum()
    assert one.suspicion() == 0.0, "the load has risen"
    assert not_capacity_message(one, DRAWS) == ""


def test_a_load_that_is_the_same_but_for_noise_has_not_risen() -> None:
    assert spans(steps(np.full(60, 6.2), more=0.06)).suspicion() > N_DEVIATIONS
    assert spans(steps(np.full(60, 6.5), more=0.06)).suspicion() == 0.0


@pytest.mark.parametrize(
    ("n_hour", "n_before", "is_enough"),
    [(2, 60, True), (1, 60, False), (60, 4, False), (60, 5, True)],
)
def test_few_requests_or_steps_are_no_ground_for_a_judgement(
    n_hour: int, n_before: int, is_enough: bool
) -> None:
    hour, before = steps(np.full(n_hour, 6.0), more=0.5), steps(np.full(n_before, 6.0))
    one = spans(hour, before)
    assert one.is_enough == is_enough
    assert (one.suspicion() > 0) == is_enough


def test_a_floor_that_was_there_before_needs_no_response() -> None:
    before, hour = (steps(np.full(n, 6.0), more=0.05, seed=n) for n in (600, 60))
    assert abs(spans(hour, before).suspicion()) < N_DEVIATIONS


def test_the_hour_ends_where_the_day_before_begins() -> None:
    both = steps(np.full(100, 6.0))
    one = TwoSpans.of(both, both.steps_s[39])
    assert (one.before.size, one.hour.size) == (40, 60)
    assert one.before.steps_s[-1] == both.steps_s[39]


def test_the_evidence_is_spread_over_the_day() -> None:
    evidence = spans(steps(np.full(60, 6.0))).evidence()
    assert evidence.size == N_LEARNED
    assert np.diff(evidence.steps_s).max() <= 8 * STEP_S
    few = spans(steps(np.full(60, 6.0)), steps(np.full(7, 6.0)))
    assert few.evidence().size == 7


@settings(max_examples=30, deadline=None)
@given(total=st.integers(1, 400), load=st.floats(4.0, 11.0), near=st.floats(2.0, 500.0))
def test_moments_of_a_sum_are_those_of_drawn_steps(total: int, load: float, near: float) -> None:
    draws = replace(DRAWS, concentration=np.full(8, near))
    one = MissSteps(*(np.full(5, v) for v in (0.0, load, 0.0, float(total))))
    mean, deviation = expected_misses_of(one, draws)
    share = float(draws.miss(np.array([load]))[0, 0])
    rng = np.random.default_rng(7)
    drawn = rng.binomial(total, rng.beta(share * near, (1 - share) * near, (20_000, 5))).sum(axis=1)
    assert mean == pytest.approx(drawn.mean(), abs=6 * deviation / np.sqrt(20_000))
    assert deviation == pytest.approx(drawn.std(), rel=0.15)


def test_draws_that_differ_widen_what_is_expected() -> None:
    one = steps(np.full(60, 6.0))
    wide = replace(DRAWS, floor=np.linspace(0.0, 0.1, 8))
    assert expected_misses_of(one, wide)[1] > 3 * expected_misses_of(one, DRAWS)[1]


@pytest.mark.parametrize(("missed", "words"), [(12.0, "12 %"), (100.0, "100 %")])
def test_figures_are_no_more_exact_than_they_are_known(missed: float, words: str) -> None:
    plain = MissSteps(*(np.full(60, v) for v in (0.0, 1.0, missed, 100.0)))
    spotless = replace(DRAWS, floor=np.zeros(8))
    assert f"{words} against less than 0.01 %" in not_capacity_message(spans(plain), spotless)


def with_tokens(one: MissSteps, tokens: float) -> MissSteps:
    return replace(one, load=np.column_stack([one.load, np.full(one.size, tokens)]))


@pytest.mark.parametrize(("tokens", "is_suspect"), [(100.0, True), (104.0, True), (106.0, False)])
def test_a_further_load_that_rose_is_a_load_that_rose(tokens: float, is_suspect: bool) -> None:
    day = spans(steps(np.full(60, 6.0), more=0.06))
    one = TwoSpans(with_tokens(day.hour, tokens), with_tokens(day.before, 100.0))
    assert (one.suspicion() > N_DEVIATIONS) == is_suspect
