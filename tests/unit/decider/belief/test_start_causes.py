"""Starts of several causes: a law for each, and none that lies where no start ever is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtr

from decider import (
    LONG,
    SHORT,
    UNKNOWN,
    LeadTimeBelief,
    ObservedStarts,
    cause_shares,
    learn_causes,
    mixed_draws,
    predictive_draws,
    update_belief,
)
from decider.belief.lead_time import residual_draws
from decider.belief.start_causes import CauseLaw, _updated
from decider.errors import InvalidRequest

PRIOR = LeadTimeBelief.from_median(90.0, 0.5, 20.0)
COLD, RESTORED = (0.6, 73.0, 0.2), (0.4, 12.0, 0.5)
"""Shares, medians and spreads: 52 to 102 s cold, 4 to 41 s restored."""
TRUTHS = (
    (COLD, RESTORED),
    ((0.8, 60.0, 0.15), (0.2, 8.0, 0.3)),
    ((0.5, 300.0, 0.3), (0.5, 20.0, 0.3)),
)


def drawn(truth, seed: int, n: int = 50, told: float = 0.0) -> ObservedStarts:
    """Starts of a truth, a part of which tell their cause."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(truth), n, p=[share for share, _, _ in truth])
    seconds = [truth[k][1] * np.exp(truth[k][2] * rng.standard_normal()) for k in kinds]
    causes = tuple(f"cause-{k}" if rng.random() < told else UNKNOWN for k in kinds)
    return ObservedStarts(np.array(seconds), np.zeros(n, dtype=bool), causes)


def covered(truth, draws: np.ndarray) -> float:
    """Probability of a start between the 5 % and the 95 % level of draws at mid-levels."""
    low, high = np.log(np.quantile(draws, (0.05, 0.95), method="hazen"))
    laws = [(share, np.log(median), sigma) for share, median, sigma in truth]
    return sum(p * (ndtr((high - mu) / s) - ndtr((low - mu) / s)) for p, mu, s in laws)


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("told", [0.0, 0.5, 1.0])
def test_after_fifty_starts_of_two_causes_ninety_per_cent_hold_ninety(truth, told: float) -> None:
    found = []
    for seed in range(60):
        laws = learn_causes(PRIOR, drawn(truth, seed, told=told))
        found.append(covered(truth, mixed_draws(laws, 64)))
    assert 0.88 <= np.mean(found) <= 0.92
    print(f"\n{truth} {told}: {np.mean(found):.3f}")


@pytest.mark.parametrize("truth", TRUTHS)
def test_one_lognormal_of_both_holds_too_much_and_lies_in_between(truth) -> None:
    shares = []
    for seed in range(20):
        starts = drawn(truth, seed)
        one = predictive_draws(update_belief(PRIOR, starts.seconds, np.zeros(0)), 64)
        two = mixed_draws(learn_causes(PRIOR, starts), 64)
        gap = (truth[1][1] * np.exp(2 * truth[1][2]), truth[0][1] * np.exp(-2 * truth[0][2]))
        shares.append([np.mean((gap[0] < draws) & (draws < gap[1])) for draws in (one, two)])
    between_one, between_two = np.mean(shares, axis=0)
    assert between_two < between_one / 2


def test_starts_of_one_cause_are_one_law_as_before() -> None:
    one = ((1.0, 60.0, 0.3),)
    n_split = 0
    for seed in range(60):
        starts = drawn(one, seed)
        laws = learn_causes(PRIOR, starts)
        n_split += len(laws) > 1
        if len(laws) == 1:
            plain = update_belief(PRIOR, starts.seconds, np.zeros(0), n_iterations=12)
            assert laws[0].belief == plain
            np.testing.assert_array_equal(mixed_draws(laws, 64), predictive_draws(plain, 64))
    assert n_split <= 3


def test_few_starts_are_not_parted_and_none_are_what_was_believed() -> None:
    assert len(learn_causes(PRIOR, drawn(TRUTHS[1], 1, n=7))) == 1
    nothing = ObservedStarts(np.zeros(0), np.zeros(0, dtype=bool), ())
    assert learn_causes(PRIOR, nothing) == (CauseLaw(UNKNOWN, PRIOR, 1.0),)


def test_what_was_found_before_needs_no_proof() -> None:
    by_cause = {
        SHORT: LeadTimeBelief.from_median(12.0, 0.3, 20.0),
        LONG: LeadTimeBelief.from_median(73.0, 0.2, 20.0),
    }
    starts = ObservedStarts(np.array([10.0, 70.0, 80.0]), np.zeros(3, dtype=bool), (UNKNOWN,) * 3)
    laws = {law.cause: law for law in learn_causes(PRIOR, starts, by_cause)}
    assert laws[SHORT].belief.median_s == pytest.approx(12.0, rel=0.1)
    assert laws[LONG].belief.median_s == pytest.approx(73.0, rel=0.1)
    assert laws[LONG].share > laws[SHORT].share


def test_of_one_told_cause_the_others_are_another() -> None:
    starts = drawn(TRUTHS[1], 3)
    causes = tuple(
        "restored" if s < 25 and i % 2 else UNKNOWN for i, s in enumerate(starts.seconds)
    )
    found = ObservedStarts(starts.seconds, starts.is_censored, causes)
    laws = {law.cause: law for law in learn_causes(PRIOR, found)}
    assert laws["restored"].belief.median_s == pytest.approx(8.0, rel=0.3)
    assert laws[UNKNOWN].belief.median_s == pytest.approx(60.0, rel=0.1)
    assert laws["restored"].share == pytest.approx(0.2, abs=0.12)


def test_a_start_that_is_on_its_way_for_longer_than_the_short_ones_take_is_a_long_one() -> None:
    done = drawn(TRUTHS[2], 2)
    starts = ObservedStarts(
        np.append(done.seconds, 150.0), np.append(done.is_censored, True), (*done.causes, UNKNOWN)
    )
    laws = learn_causes(PRIOR, starts)
    last = cause_shares(laws, starts)[-1]
    by_cause = {law.cause: share for law, share in zip(laws, last, strict=True)}
    assert by_cause[LONG] > 0.99


def test_the_state_of_the_cluster_outweighs_the_shares() -> None:
    laws = (
        CauseLaw("warm", LeadTimeBelief.from_median(10.0, 0.1, 50.0), 0.9),
        CauseLaw("cold", LeadTimeBelief.from_median(100.0, 0.1, 50.0), 0.1),
    )
    assert np.median(mixed_draws(laws, 64)) < 20
    cold = mixed_draws(laws, 64, {"warm": 0.0, "cold": 1.0})
    assert cold.min() > 50
    half = mixed_draws(laws, 64, {"warm": 0.5, "cold": 0.5})
    assert np.mean(half < 50) == pytest.approx(0.5, abs=0.02)
    assert (np.diff(half) > 0).all()


def test_a_start_that_is_older_than_the_short_kind_waits_for_the_long_one() -> None:
    laws = (
        CauseLaw("a", LeadTimeBelief.from_median(10.0, 0.3, 40.0), 0.5),
        CauseLaw("b", LeadTimeBelief.from_median(100.0, 0.2, 40.0), 0.5),
    )
    draws = mixed_draws(laws, 64)
    ages = np.array([0.0, 5.0, 30.0])
    total = residual_draws(draws, ages) + ages
    assert np.mean(total[:, 0] < 35) == pytest.approx(0.5, abs=0.06)
    assert np.median(total[:, 2]) == pytest.approx(100.0, rel=0.1)
    assert total[:, 2].min() > 50


@given(sigma=st.floats(0.03, 2.0), n=st.floats(2.0, 100.0), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_draws_of_one_lognormal_are_never_parted(sigma: float, n: float, seed: int) -> None:
    """What was decided before causes were told apart is made again to the same bytes."""
    draws = predictive_draws(LeadTimeBelief.from_median(90.0, sigma, n), 64)
    node = predictive_draws(LeadTimeBelief.from_median(240.0, 0.3, 4.0 + seed), 64)
    for law in (draws, np.sort(draws + node[np.arange(64) * 37 % 64])):
        logs = np.log(law)
        mu, spread = logs.mean(), logs.std()
        young = residual_draws(law, np.array([1e-6]))[:, 0]
        assert np.log(young).mean() == pytest.approx(mu, abs=0.05 + 0.1 * spread)


def test_starts_must_belong_together() -> None:
    with pytest.raises(InvalidRequest, match="must have as many"):
        ObservedStarts(np.ones(2), np.zeros(1, dtype=bool), (UNKNOWN,))


def test_what_was_learned_is_kept_while_the_starts_are_the_same() -> None:
    starts = ObservedStarts(np.linspace(60.0, 90.0, 12), np.zeros(12, dtype=bool), ("",) * 12)
    prior = LeadTimeBelief.from_median(80.0, 0.4, 20.0)
    laws = learn_causes(prior, starts)
    assert learn_causes(prior, starts) is laws
    longer = replace(starts, seconds=starts.seconds + 1.0)
    assert learn_causes(prior, longer) != laws
    assert learn_causes(prior, replace(starts, is_censored=starts.seconds > 85.0)) != laws


def test_kept_draws_are_not_those_that_a_caller_may_change() -> None:
    laws = (
        CauseLaw("short", LeadTimeBelief.from_median(20.0, 0.2), 0.5),
        CauseLaw("long", LeadTimeBelief.from_median(90.0, 0.2), 0.5),
    )
    first = mixed_draws(laws, 16)
    first[:] = 0.0
    assert (mixed_draws(laws, 16) > 0.0).all()


CAUSES_SEEN = st.sampled_from(["warm", "cold", "restored", UNKNOWN])
STARTS_SEEN = st.lists(
    st.tuples(st.floats(0.05, 3600.0), st.booleans(), CAUSES_SEEN), min_size=1, max_size=12
)


@given(STARTS_SEEN)
def test_any_starts_leave_a_law_that_can_be_planned_with(seen) -> None:
    seconds, is_censored, causes = (list(column) for column in zip(*seen, strict=True))
    starts = ObservedStarts(np.array(seconds), np.array(is_censored), tuple(causes))
    draws = mixed_draws(learn_causes(PRIOR, starts), 64)
    assert np.isfinite(draws).all()
    assert (draws > 0.0).all()


def test_the_only_start_of_a_cause_is_on_its_way() -> None:
    starts = ObservedStarts(
        np.array([85.0, 95.0, 5.0]), np.arange(3) == 2, ("warm", "warm", "cold")
    )
    draws = mixed_draws(learn_causes(PRIOR, starts), 64)
    assert draws.max() < 20.0 * PRIOR.median_s


BELIEFS = st.builds(
    LeadTimeBelief,
    mu=st.floats(-3.0, 9.0),
    sigma=st.floats(0.02, 8.0),
    n_mean=st.floats(1e-3, 50.0),
    n_scale=st.floats(1e-3, 50.0),
)


@given(BELIEFS, BELIEFS, st.floats(0.01, 0.99))
@settings(max_examples=200)
def test_whatever_is_believed_a_lead_time_is_finite(one, other, share: float) -> None:
    laws = (CauseLaw("warm", one, share), CauseLaw("cold", other, 1.0 - share))
    for draws in (predictive_draws(one, 64), mixed_draws(laws, 64)):
        assert np.isfinite(draws).all()
        assert (draws > 0.0).all()
        assert (np.diff(draws) >= 0.0).all()


@given(
    shares=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    seconds=st.lists(st.floats(0.5, 3600.0), min_size=8, max_size=8),
)
def test_of_a_part_of_a_start_no_less_is_believed_than_before(shares, seconds) -> None:
    n = len(shares)
    logs, none_open = np.log(np.array(seconds[:n])), np.zeros(n, dtype=bool)
    prior = LeadTimeBelief(4.0, 0.3, 1e-3, 1.0)
    found = _updated(prior, prior, none_open, logs, np.array(shares))
    assert found.n_scale >= prior.n_scale


@pytest.mark.parametrize(
    "causes", [("warm", "cold", "cold"), ("warm", "cold", UNKNOWN), (UNKNOWN, UNKNOWN, UNKNOWN)]
)
def test_a_start_that_never_ends_owns_the_law_of_no_cause(causes: tuple[str, str, str]) -> None:
    """Of twelve starts of 20 s, twelve of 300 s and one stuck a tenth took 34 min or more."""
    rng = np.random.default_rng(0)
    done = np.repeat([20.0, 300.0], 12) * np.exp(0.1 * rng.standard_normal(24))

    def law(stuck_s: float) -> np.ndarray:
        seconds = np.append(done, stuck_s)
        told = (*causes[:1] * 12, *causes[1:2] * 12, causes[2])
        starts = ObservedStarts(seconds, np.arange(25) == 24, told)
        return mixed_draws(learn_causes(PRIOR, starts), 64)

    assert np.quantile(law(86_400.0), 0.9) < 500.0
    np.testing.assert_array_equal(law(86_400.0), law(2 * 86_400.0))
