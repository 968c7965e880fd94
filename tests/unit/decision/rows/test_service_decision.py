"""Decisions about the pools of a service as one about the service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decider import DecideConfig, Decision, Direction, GuardStep, PoolRecord, Reason, decide_shard
from decider.result import SpotNote
from services.decision.rows.prepare import prepare
from services.decision.rows.service_decision import (
    binding_pool,
    pool_words,
    service_decisions,
    whole_decision,
)
from tests.unit.decision.rows.pool_members import NOW, forecast, member, pool, rows, state


def decided(prefill: int, decode: int) -> tuple[Decision, ...]:
    seen = state(prefill=pool(prefill), decode=pool(decode))
    (found,) = prepare({1: member()}, [forecast()], rows(states={1: [seen]}), NOW)
    return decide_shard(found.request, DecideConfig(), NOW.timestamp(), 600.0)


def with_counts(decisions: tuple[Decision, ...], *counts: tuple[int, int]) -> tuple[Decision, ...]:
    return tuple(
        replace(d, current=current, final=final)
        for d, (current, final) in zip(decisions, counts, strict=True)
    )


@pytest.fixture(scope="module")
def pair() -> tuple[Decision, ...]:
    """About 5 prefill replicas are needed and 11 of decode; 6 of each run."""
    return decided(6, 6)


def test_the_whole_counts_the_sums(pair: tuple[Decision, ...]) -> None:
    whole = whole_decision(pair)
    assert (whole.workload, whole.pools) == ("demo/w", None)
    assert (whole.current, whole.final) == (12, pair[0].final + pair[1].final)
    assert whole.raw == pair[0].raw + pair[1].raw
    assert (whole.direction, whole.reason) == (Direction.UP, pair[1].reason)
    assert whole.quantiles == pair[0].quantiles, "those of the demand"
    assert whole.guard_trace[0].before == whole.raw
    assert whole.guard_trace[-1].after == whole.final
    assert whole.risk_after == pair[0].risk_after == pair[1].risk_after


def test_one_decision_is_the_whole(pair: tuple[Decision, ...]) -> None:
    assert whole_decision(pair[:1]) is pair[0]


def test_which_pool_binds_and_the_counts_of_both(pair: tuple[Decision, ...]) -> None:
    assert binding_pool(pair[0]) == "decode"
    words = f"{pair[0].final} prefill + {pair[1].final} decode"
    assert pool_words(pair) == f"{words}; bound by decode"
    assert binding_pool(replace(pair[0], bound_by=())) == ""


def test_what_of_a_pool_is_on_spot_nodes_is_said_beside_the_counts(
    pair: tuple[Decision, ...],
) -> None:
    on_spot = replace(pair[1], spot=SpotNote(4, 6, 2, 5.0, 1))
    words = "of 6 decode 4 run on spot nodes, of which one goes about each 5 h: 1 more is held"
    assert pool_words((pair[0], on_spot)) == f"{pool_words(pair)}; {words}"
    assert whole_decision((pair[0], on_spot)).spot is None, "it is of one pool"


@pytest.mark.parametrize(
    ("counts", "direction", "lead"),
    [
        (((5, 3), (5, 6)), Direction.DOWN, 0),
        (((5, 4), (5, 6)), Direction.HOLD, 1),
        (((5, 5), (5, 5)), Direction.HOLD, 1),
        (((5, 6), (5, 9)), Direction.UP, 1),
        (((5, 9), (5, 6)), Direction.UP, 0),
    ],
)
def test_the_reason_is_that_of_the_pool_that_moves_the_sum(
    pair: tuple[Decision, ...], counts: Any, direction: Direction, lead: int
) -> None:
    reasons = (Reason.SCALE_UP_BOUNDS, Reason.HOLD_TOLERANCE)
    given = tuple(
        replace(d, reason=reason)
        for d, reason in zip(with_counts(pair, *counts), reasons, strict=True)
    )
    whole = whole_decision(given)
    assert (whole.direction, whole.reason) == (direction, reasons[lead])


def test_a_guard_that_saw_one_pool_only_leaves_the_other_as_it_is(
    pair: tuple[Decision, ...],
) -> None:
    short = replace(pair[0], raw=4, guard_trace=(GuardStep("fleet", 4, 4, "nothing left"),))
    long = replace(
        pair[1],
        raw=9,
        guard_trace=(GuardStep("bounds", 9, 7, "at most 7"), GuardStep("fleet", 7, 7)),
    )
    assert whole_decision((short, long)).guard_trace == (
        GuardStep("bounds", 13, 11, "decode: at most 7"),
        GuardStep("fleet", 11, 11, "prefill: nothing left"),
    )


def test_every_workload_of_a_request_has_one_decision() -> None:
    seen = state(prefill=pool(6), decode=pool(6))
    (found,) = prepare({1: member()}, [forecast()], rows(states={1: [seen]}), NOW)
    decisions = decide_shard(found.request, DecideConfig(), NOW.timestamp(), 600.0)
    (made,) = service_decisions(found, decisions)
    assert (made.at, made.decisions, made.has_pools) == ((0, 1), decisions, True)
    assert [(c.name, c.current, c.desired, c.raw) for c in made.counts] == [
        (name, d.current, d.final, d.raw)
        for name, d in zip(("prefill", "decode"), decisions, strict=True)
    ]
    assert isinstance(decisions[0].pools, PoolRecord)
