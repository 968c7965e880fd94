"""Each pool as a workload of its own, with its part of the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from decider import MissDraws, MissPrior, SpotReplicas, learn_interruptions
from services.decision.rows.inputs import (
    capacity_of,
    equivalent_of,
    history_of,
    lead_time_of,
)
from services.decision.rows.pools import paths_by_load, pool_views
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.translate import to_replica_state
from tests.unit.decision.rows.pool_members import (
    NOW,
    TOKENS,
    decision,
    forecast,
    member,
    pool,
    rows,
    state,
)


def test_each_pool_has_the_series_of_its_own_loads() -> None:
    prefill, decode = pool_views(member(), rows())
    assert (prefill.place.loads, decode.place.loads) == ((0,), (1,))
    assert {prefill.place.service, decode.place.service} == {"demo/w"}
    assert (prefill.member.key, decode.member.spec.demand) == ("demo/w/prefill", TOKENS)
    found = equivalent_of(decode.member, decode.rows)
    assert found is not None
    np.testing.assert_array_equal(found[1], np.full(3, 1900.0))
    np.testing.assert_array_equal(capacity_of(decode.member, decode.rows)[:1], [200.0])


def test_the_replicas_of_a_pool_are_those_of_the_snapshots() -> None:
    both = state(prefill=pool(3), decode=pool(5, 4))
    prefill, decode = pool_views(member(), rows(states={1: [both]}))
    (seen,) = decode.rows.states[1]
    assert (seen["spec_replicas"], seen["ready_replicas"], seen["starting_replicas"]) == (5, 4, 1)
    assert prefill.rows.states[1][0]["ready_replicas"] == 3


def test_what_is_about_to_go_is_neither_asked_for_nor_there() -> None:
    leaving = pool(5) | {"spot": {"replicas": 0, "nodes": 0, "leaving": 2}}
    prefill, decode = pool_views(
        member(), rows(states={1: [state(prefill=pool(3), decode=leaving)]})
    )
    found = [to_replica_state(view.rows.states[1][-1]) for view in (prefill, decode)]
    assert [(one.spec, one.ready) for one in found] == [(3, 3), (3, 3)]


def test_which_replicas_of_a_pool_are_on_spot_nodes() -> None:
    on_spot = pool(5) | {"spot": {"replicas": 4, "nodes": 2, "leaving": 0}}
    prefill, decode = pool_views(
        member(), rows(states={1: [state(prefill=pool(3), decode=on_spot)]})
    )
    rate = learn_interruptions(3.0, 60.0)
    found = [to_replica_state(view.rows.states[1][-1], rate).spot for view in (prefill, decode)]
    assert found == [None, SpotReplicas(4, 2, rate.interruptions, rate.node_hours)]


def test_a_pool_that_the_newest_snapshot_lacks_was_not_seen() -> None:
    states = [
        state(NOW - timedelta(seconds=60), prefill=pool(3), decode=pool(5)),
        state(prefill=pool(3)),
    ]
    prefill, decode = pool_views(member(), rows(states={1: states}))
    assert len(prefill.rows.states[1]) == 2
    assert decode.rows.states[1] == []
    old = {"observed_at": NOW, "ready_replicas": 3, "starting_replicas": 0, "variants": None}
    assert all(v.rows.states[1] == [] for v in pool_views(member(), rows(states={1: [old]})))


def test_what_was_decided_and_applied_is_told_by_pool() -> None:
    """Of two applied changes only the one whose decision is known says what each pool gained."""
    made = decision(7, NOW - timedelta(seconds=60), prefill=(3, 3, 3), decode=(4, 9, 6))
    older = decision(6, NOW - timedelta(seconds=360))
    changes = [
        {"decision_id": i, "applied_at": NOW, "from_replicas": 7, "to_replicas": 9, "parts": None}
        for i in (5, 7)
    ]
    known = rows(recommendations={1: [older, made]}, changes={1: changes})
    prefill, decode = pool_views(member(), known)
    origin: Any = {"origin_at": NOW}
    history = history_of(decode.member, origin, decode.rows)
    assert history.changes == ((NOW.timestamp(), 2),)
    assert [raw for _, raw in history.recommendations] == [9]
    assert history_of(prefill.member, origin, prefill.rows).changes == ((NOW.timestamp(), 0),)


def test_what_was_made_of_a_pool_is_told_where_it_was_recorded() -> None:
    """Whatever was asked of it; a pool that is left out was not scaled."""
    made = decision(7, NOW - timedelta(seconds=60), prefill=(3, 3, 3), decode=(4, 9, 6))
    parts = [{"name": "decode", "from": 1, "to": 6, "ratio": 1.0, "is_sure": True}]
    counts = {"from_replicas": 4, "to_replicas": 9, "parts": parts}
    changes = [{"decision_id": 7, "applied_at": NOW, **counts}]
    prefill, decode = pool_views(member(), rows(recommendations={1: [made]}, changes={1: changes}))
    origin: Any = {"origin_at": NOW}
    assert history_of(decode.member, origin, decode.rows).changes == ((NOW.timestamp(), 5),)
    assert history_of(prefill.member, origin, prefill.rows).changes == ()


@pytest.mark.parametrize(
    ("decode_type", "scope", "expected"),
    [("A100", "workload:1/A100", 500.0), ("H100", "workload:1", 500.0), ("A100", "workload:1", 90)],
)
def test_the_lead_time_is_that_of_the_gpu_type(
    decode_type: str, scope: str, expected: float
) -> None:
    """A lead time of all the workload's starts is a pool's where all are of one type."""
    given = [p.model_dump() for p in member().spec.pools]
    given[1]["gpu_type"] = decode_type
    one = member(pools=given)
    known = rows(lead_time_s={scope: np.full(64, 500.0)})
    decode = pool_views(one, known)[1]
    median = np.median(lead_time_of(decode.member, decode.rows, NOW))
    assert median == pytest.approx(expected, rel=0.1)


def test_a_response_to_all_loads_is_one_to_those_of_each_pool() -> None:
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}
    one = member(sla={"objective": objective})
    base = MissPrior.stated(10.0, 0.0, 0.05).draws(256)
    draws = MissDraws(
        base.capacity,
        base.slope,
        base.floor,
        base.concentration,
        np.full(256, 4.0),
        20.0 * base.capacity[:, None],
    )
    response = LearnedResponse.of(draws, one.spec, 500.0)
    prefill, decode = pool_views(one, rows(responses={1: response}))
    assert prefill.response is decode.response is response.draws
    assert decode.rows.responses[1].draws.n_further == 0
    np.testing.assert_allclose(
        capacity_of(decode.member, decode.rows), 20.0 * capacity_of(prefill.member, prefill.rows)
    )


def test_paths_of_every_load_and_unknown_where_the_forecast_lacks_it() -> None:
    rate, tokens = paths_by_load(forecast(), member().spec.further_loads)
    np.testing.assert_allclose(tokens, 50.0 * rate, rtol=1e-3)
    rate, tokens = paths_by_load(forecast(has_tokens=False), member().spec.further_loads)
    assert np.isfinite(rate).all()
    assert tokens.shape == rate.shape
    assert np.isnan(tokens).all()
