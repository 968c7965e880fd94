"""Laws of the fast path: nothing new changes nothing, more demand never asks for less."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.planning.fast_path import (
    LEAST_WEIGHT,
    FastTrial,
    TrialCounts,
    WitnessErrors,
    Witnesses,
    correction,
)

MIDDLE = np.array([3.0])
LOADS = st.floats(0.5, 500.0)


def lived(seed, *, noise=0.2, drift=0.6, n=200):
    """Errors after `n` outcomes: the level drifts unseen by the forecast, and noise is shared."""
    rng = np.random.default_rng(seed)
    errors = WitnessErrors.none(1)
    for _ in range(n):
        level = drift * rng.standard_normal(1)
        outcome = level + noise * rng.standard_normal(1)
        errors = errors.learned(Witnesses(np.zeros(1), level), outcome, 0.001)
    return errors


@given(decided=LOADS, newest=st.floats(-5, 5), n=st.integers(0, int(LEAST_WEIGHT) - 2))
def test_while_little_has_come_of_it_the_count_stays(decided, newest, n):
    errors = lived(1, n=n)
    said = Witnesses(MIDDLE, np.array([newest]))
    found = correction(np.array([decided]), MIDDLE, said, errors)
    assert found[0] == pytest.approx(decided)


@given(decided=LOADS, seed=st.integers(0, 50))
def test_what_is_not_known_changes_nothing(decided, seed):
    said = Witnesses(MIDDLE, np.array([np.nan]))
    found = correction(np.array([decided]), MIDDLE, said, lived(seed))
    assert found[0] == pytest.approx(decided)


@given(decided=LOADS, seed=st.integers(0, 50), low=st.floats(-3, 6), more=st.floats(0, 3))
def test_more_demand_never_asks_for_less(decided, seed, low, more):
    errors = lived(seed)
    load = [
        correction(np.array([decided]), MIDDLE, Witnesses(MIDDLE, np.array([newest])), errors)[0]
        for newest in (low, low + more)
    ]
    assert load[0] <= load[1] * (1 + 1e-12)


@given(seed=st.integers(0, 50), low=LOADS, more=st.floats(1.0, 3.0))
def test_a_dearer_risk_stays_the_dearer_one(seed, low, more):
    said = Witnesses(MIDDLE, np.array([4.0]))
    load = correction(np.array([[low], [low * more]]), MIDDLE, said, lived(seed))
    assert load[0, 0] <= load[1, 0] * (1 + 1e-12)


@settings(deadline=None)
@given(seed=st.integers(0, 30))
def test_the_better_witness_is_heard_and_narrows_the_spread(seed):
    errors = lived(seed, noise=0.1, drift=0.8)
    assert errors.trust()[0] > 0.9
    assert errors.spread_ratio()[0] < 0.4


@settings(deadline=None)
@given(seed=st.integers(0, 30))
def test_where_both_miss_for_the_same_reason_the_count_stays(seed):
    """Noise that nobody foresees: the newest demand is the forecast and noise of its own."""
    rng = np.random.default_rng(seed)
    errors = WitnessErrors.none(1)
    for _ in range(400):
        said = Witnesses(np.zeros(1), rng.standard_normal(1))
        errors = errors.learned(said, rng.standard_normal(1), 0.001)
    assert errors.trust()[0] < 0.1
    assert errors.spread_ratio()[0] > 0.95


def test_one_outage_does_not_unlearn():
    errors = lived(3)
    before = errors.trust()[0]
    after = errors.learned(Witnesses(np.zeros(1), np.zeros(1)), np.array([-50.0]), 0.001)
    assert after.trust()[0] == pytest.approx(before, abs=0.1)


def test_unknown_outcomes_teach_nothing():
    errors = lived(4)
    after = errors.learned(Witnesses(np.zeros(1), np.zeros(1)), np.array([np.nan]), 0.001)
    for name in ("weight", "forecast", "newest", "var_forecast", "var_newest", "covariance"):
        np.testing.assert_array_equal(getattr(after, name), getattr(errors, name))


def tried(needed, *, fast=12.0, price=10.0, before=None):
    """A trial of two replicas more than the ten of the decision, over sub-steps."""
    trial = before or FastTrial.none((1,))
    counts = TrialCounts(np.array([10.0]), np.array([fast]))
    for one in needed:
        trial = trial.learned(counts, np.array([one]), np.array([price]), 0.01)
    return trial


def test_two_more_pay_where_they_serve_what_is_worth_more_than_they_are():
    """At a price of ten, two replicas pay if one sub-step in five needs them."""
    assert tried([12.0, 9.0, 9.0, 9.0] * 20).pays()[0]
    assert not tried([12.0, *[9.0] * 5] * 20).pays()[0]
    assert not tried([15.0] * 80).pays()[0]  # twelve are not enough either
    assert not tried([9.0] * 80).pays()[0]


def test_a_service_gets_it_back_as_quickly_as_it_lost_it():
    calm = tried([9.0] * 100)
    assert not calm.pays()[0]
    # 100 times 2 were wasted, each sub-step saves 8 now
    assert tried([12.0] * 30, before=calm).pays()[0]


def test_little_or_nothing_known_is_no_reason_to_act():
    assert not tried([12.0] * (int(LEAST_WEIGHT) - 5)).pays()[0]
    known = tried([12.0] * 80)
    unknown = tried([np.nan] * 80, before=known)
    np.testing.assert_array_equal(unknown.saved, known.saved)


def test_counts_that_fall_save_what_they_do_not_hold():
    assert tried([7.0] * 80, fast=8.0).pays()[0]
    assert not tried([9.0] * 80, fast=8.0).pays()[0]


def test_a_later_decision_takes_away_from_both():
    left = TrialCounts(np.array([10.0]), np.array([14.0])).capped(np.array([11.0]))
    assert (left.slow[0], left.fast[0]) == (10.0, 11.0)
