"""Refused nodes: when they are tried again, and what ends the waiting."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import LeadTimeBelief, update_belief
from services.operator.plan.provisioning import (
    NodeWaits,
    Provisioning,
    ProvisioningSigns,
    attempt,
    backoff,
    follow,
    learn_startup,
)
from tests.unit.operator.examples import NOW

LAW = learn_startup(120.0)
NOTHING = ProvisioningSigns()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def refused_at(seconds: float) -> Provisioning:
    signs = ProvisioningSigns(at(0), refusal_at=at(seconds), refusal="no capacity")
    return follow(Provisioning(), signs, LAW, at(seconds))


def test_a_start_law_moves_from_what_is_stated_to_what_is_seen() -> None:
    assert learn_startup(None).median_s == pytest.approx(300.0)
    assert LAW.median_s == pytest.approx(120.0)
    seen = learn_startup(120.0, NodeWaits((60.0,) * 60))
    assert 60.0 < seen.median_s < 66.0
    assert seen.sigma < LAW.sigma
    assert seen.patience_s < LAW.patience_s
    assert seen.n_seen == 60


@pytest.mark.parametrize(
    ("ended", "unended"),
    [((100.0, 200.0, 400.0), (50.0, 900.0, 2000.0)), ((), (600.0,)), ((90.0,), (1e7,)), ((), ())],
)
def test_the_law_is_what_decisions_learn_of_lead_times(
    ended: tuple[float, ...], unended: tuple[float, ...]
) -> None:
    found = learn_startup(300.0, NodeWaits(ended, unended))
    prior = LeadTimeBelief.from_median(300.0, 0.5, 4.0)
    belief = update_belief(prior, np.array(ended), np.array(unended))
    assert found.median_s == pytest.approx(belief.median_s, rel=1e-3)
    assert found.sigma == pytest.approx(belief.sigma, rel=1e-3)
    assert found.n_seen == math.floor(belief.n_mean - 4.0 + 1e-9)


def test_a_wait_in_vain_is_worth_as_much_as_it_was_long() -> None:
    plain = learn_startup(300.0)
    short = learn_startup(300.0, NodeWaits(unended=(20.0,) * 3))
    assert short.median_s == pytest.approx(plain.median_s, rel=0.02)
    assert (short.n_seen, short.sigma) == (0, pytest.approx(plain.sigma, rel=0.05))
    long = learn_startup(300.0, NodeWaits(unended=(plain.patience_s,)))
    assert 350.0 < long.median_s < 600.0
    assert long.patience_s > plain.patience_s
    assert learn_startup(300.0, NodeWaits((60.0,) * 40, (2 * plain.patience_s,))).median_s < 90.0


def test_it_is_known_that_none_can_be_had_until_it_is_tried_again() -> None:
    assert Provisioning().none_since is None
    state = refused_at(30)
    assert state.none_since == at(30)
    assert state.retry_at is not None
    tried = attempt(state, LAW, state.retry_at)
    assert (tried.none_since, tried.refused_since) == (None, state.retry_at)
    # what the attempt asked for was asked for in vain from the first moment
    signs = ProvisioningSigns(at(0), refusal_at=at(400), refusal="no capacity")
    again = follow(tried, signs, LAW, at(400))
    assert again.n_refused == 2
    assert again.none_since == tried.attempted_at
    came = follow(again, ProvisioningSigns(node_at=at(500)), LAW, at(510))
    assert came.none_since is None


def test_a_wait_within_the_law_is_no_refusal() -> None:
    signs = ProvisioningSigns(at(0))
    assert follow(Provisioning(), signs, LAW, at(LAW.patience_s - 1)) == Provisioning()


def test_a_longer_wait_is_a_refusal_with_a_reason() -> None:
    state = follow(Provisioning(), ProvisioningSigns(at(0)), LAW, at(LAW.patience_s + 1))
    assert state.n_refused == 1
    assert "no node has come within" in state.why
    assert not state.may_ask(at(LAW.patience_s + 2))


def test_nodes_that_came_meanwhile_begin_the_wait_anew() -> None:
    signs = ProvisioningSigns(at(0), node_at=at(300))
    assert not follow(Provisioning(), signs, LAW, at(LAW.patience_s + 1)).is_refused
    assert follow(Provisioning(), signs, LAW, at(LAW.patience_s + 301)).is_refused


def test_what_the_autoscaler_says_is_believed_at_once() -> None:
    state = refused_at(10)
    assert (state.n_refused, state.why) == (1, "no capacity")
    assert not state.may_ask(at(10 + 119))
    assert state.may_ask(at(10 + 120))


def test_of_one_refusal_that_is_said_again_the_first_counts() -> None:
    state = refused_at(10)
    signs = ProvisioningSigns(at(0), refusal_at=at(60), refusal="no capacity")
    assert follow(state, signs, LAW, at(60)) == state


def test_an_attempt_uses_up_its_turn_and_a_second_refusal_waits_longer() -> None:
    state = attempt(refused_at(10), LAW, at(200))
    assert state.is_trying
    assert not state.may_ask(at(201))
    again = follow(state, ProvisioningSigns(at(0), None, at(230), "none"), LAW, at(230))
    assert again.n_refused == 2
    assert not again.may_ask(at(230 + 239))
    assert again.may_ask(at(230 + 240))


def test_a_refusal_from_before_the_attempt_says_nothing_of_it() -> None:
    state = attempt(refused_at(10), LAW, at(200))
    assert follow(state, ProvisioningSigns(at(0), None, at(150), "none"), LAW, at(210)) == state


def test_a_node_ends_the_back_off_and_what_was_said_before_is_settled() -> None:
    state = attempt(refused_at(10), LAW, at(200))
    came = follow(state, ProvisioningSigns(at(0), at(260), at(150), "none"), LAW, at(261))
    assert not came.is_refused
    assert came.may_ask(at(262))
    assert not follow(came, ProvisioningSigns(None, at(260), at(150)), LAW, at(300)).is_refused


def test_a_node_that_was_launched_ends_the_back_off_before_it_is_there() -> None:
    launched = ProvisioningSigns(at(0), None, at(10), "none", launched_at=at(60))
    for state in (refused_at(10), attempt(refused_at(10), LAW, at(50))):
        given_one = follow(state, launched, LAW, at(61))
        assert not given_one.is_refused
        assert given_one.may_ask(at(62))
        assert not follow(given_one, launched, LAW, at(120)).is_refused


def test_a_launch_after_a_refusal_counts_although_no_pass_was_between_them() -> None:
    launched = ProvisioningSigns(at(0), None, at(10), "none", launched_at=at(13))
    assert follow(Provisioning(), launched, LAW, at(20)) == Provisioning()
    assert not follow(refused_at(10), launched, LAW, at(20)).is_refused
    late = follow(Provisioning(), ProvisioningSigns(at(0), None, at(10), "none"), LAW, at(20))
    assert late.said_at == at(10)
    assert not follow(late, launched, LAW, at(21)).is_refused, "it was seen later than it was"
    tried = attempt(late, LAW, at(200))
    assert follow(tried, launched, LAW, at(201)) == tried, "it says nothing of the attempt"


def test_a_launch_before_the_newest_refusal_says_nothing() -> None:
    state = refused_at(10)
    for signs in (
        ProvisioningSigns(at(0), None, at(60), "none", launched_at=at(40)),
        ProvisioningSigns(at(0), None, None, launched_at=at(5)),
    ):
        assert follow(state, signs, LAW, at(61)) == state


def test_a_node_that_was_launched_and_never_comes_is_a_refusal_in_the_end() -> None:
    launched = ProvisioningSigns(at(0), launched_at=at(60))
    given_one = follow(refused_at(10), launched, LAW, at(61))
    assert not follow(given_one, launched, LAW, at(60 + LAW.patience_s)).is_refused
    late = follow(given_one, launched, LAW, at(62 + LAW.patience_s))
    assert late.is_refused
    assert "no node has come within" in late.why
    another = replace(launched, launched_at=at(90 + LAW.patience_s))
    assert follow(late, another, LAW, at(91 + LAW.patience_s)) == late, "it may never come either"


def test_an_attempt_before_any_refusal_changes_nothing() -> None:
    assert attempt(Provisioning(), LAW, at(0)) == Provisioning()


def test_a_type_that_is_often_short_is_asked_seldom() -> None:
    waits = [backoff(n, LAW).total_seconds() for n in range(1, 9)]
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert backoff(1, learn_startup(1.0)).total_seconds() == 60


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(st.floats(1.0, 2000.0), st.sampled_from(("refusal", "look", "want", "launch"))),
        max_size=60,
    )
)
def test_nothing_is_asked_for_between_a_refusal_and_what_ends_it(
    events: list[tuple[float, str]],
) -> None:
    """Whatever is said: after a refusal a back-off passes, or a node was launched; no loop."""
    state, now, refusal, launch = Provisioning(), NOW, None, None
    for after_s, kind in events:
        now += timedelta(seconds=after_s)
        refusal = now if kind == "refusal" else refusal
        launch = now if kind == "launch" else launch
        signs = ProvisioningSigns(None, None, refusal, "none", launch)
        before, state = state, follow(state, signs, LAW, now)
        if kind == "launch":
            assert state.may_ask(now)
        elif before.retry_at is not None and now < before.retry_at:
            assert not state.may_ask(now)
        if kind == "want" and state.is_refused and state.may_ask(now):
            state = attempt(state, LAW, now)
            assert not state.may_ask(now + backoff(state.n_refused, LAW))


@settings(deadline=None)
@given(
    events=st.lists(
        st.tuples(st.floats(1.0, 2000.0), st.sampled_from(("refusal", "look", "want"))),
        max_size=60,
    )
)
def test_there_is_at_most_one_attempt_in_each_back_off(events: list[tuple[float, str]]) -> None:
    """Whatever is said and wanted, while no node comes: the waits between attempts never shrink."""
    state, now, waiting, refusal = Provisioning(), NOW, NOW, None
    attempts: list[tuple[datetime, int]] = []
    for after_s, kind in events:
        now += timedelta(seconds=after_s)
        if kind == "refusal":
            refusal = now
        state = follow(state, ProvisioningSigns(waiting, None, refusal, "none"), LAW, now)
        if kind == "want" and state.is_refused and state.may_ask(now):
            attempts.append((now, state.n_refused))
            state = attempt(state, LAW, now)
    for (earlier, n), (later, _) in itertools.pairwise(attempts):
        assert later - earlier >= backoff(n, LAW)
