"""Several loads in a closed loop through Postgres: what binds is what the counts follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from decider import MissDraws
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, truth
from tests.integration.decision.stored_rows import TOKENS, bound_by_tokens

pytestmark = pytest.mark.integration


def doubled(t: int) -> float:
    """Tokens per second, of 50 requests a second each: 20 a request, from step 12 on 40."""
    return 1000.0 if t < 12 else 2000.0


def steady(_t: int) -> float:
    return 50.0


def stored(deps: DecisionDeps, query: str, **given: Any) -> list[Any]:
    with deps.engine.connect() as connection:
        return list(connection.execute(text(query), given).mappings())


def newest(deps: DecisionDeps, workload: int) -> Any:
    query = "SELECT * FROM decisions WHERE workload_id = :id ORDER BY origin_at DESC LIMIT 1"
    (row,) = stored(deps, query, id=workload)
    return row


def test_the_count_follows_the_tokens_that_bind_and_only_where_they_are_named(
    deps: DecisionDeps,
) -> None:
    loop = Loop(deps, steady, doubled)
    bound = loop.add("bound", truth(10.0), **bound_by_tokens())
    free = loop.add("free", truth(10.0))
    loop.run(24)

    assert np.median(free.counts[14:]) == np.median(free.counts[6:12]) <= 7
    assert np.median(bound.counts[6:12]) <= 7
    assert min(bound.counts[14:]) >= 10
    explained = newest(deps, bound.id)["explanation"]
    assert explained["bound_by"] == {"request_rate_rps": 0.0, TOKENS: 1.0}
    assert explained["summary"].endswith(f"mostly bound by {TOKENS} (100 %)")
    assert "bound_by" not in newest(deps, free.id)["explanation"]


def test_outcomes_keep_the_demand_and_score_what_binds(deps: DecisionDeps) -> None:
    loop = Loop(deps, steady, lambda _t: 2000.0)
    bound = loop.add("bound", truth(10.0), max_replicas=5, **bound_by_tokens())
    free = loop.add("free", truth(10.0), max_replicas=5)
    loop.run(8)

    query = "SELECT * FROM outcomes WHERE workload_id = :id ORDER BY step_at DESC LIMIT 1"
    ((scored,), (other,)) = (stored(deps, query, id=one.id) for one in (bound, free))
    assert scored["demand"] == other["demand"] == pytest.approx(50.0, rel=0.15)
    assert scored["needed_replicas"] >= 9
    assert scored["violation_ratio"] == 1.0
    assert other["needed_replicas"] <= 6


@pytest.mark.slow
def test_a_response_to_two_loads_is_learned_and_kept(deps: DecisionDeps) -> None:
    """A replica truly carries half the tokens that are stated of it."""
    found = truth(10.0)
    response = MissDraws(
        found.capacity, found.slope, found.floor, found.concentration, np.array([4.0]),
        found.capacity[:, None] * 10.0,
    )  # fmt: skip
    loop = Loop(deps, steady, lambda t: 600.0 if t < 15 else 1000.0)
    sla = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
    one = loop.add("measured", response, sla=sla, **bound_by_tokens())
    loop.run(50)

    assert np.mean(one.is_bad[-15:]) < 0.2
    assert min(one.counts[-15:]) >= 9
    (learned,) = stored(deps, "SELECT * FROM posteriors WHERE kind = 'misses'")
    summary = learned["summary"]
    assert summary["learned_for"]["further"] == [TOKENS]
    assert summary["further"][TOKENS]["p10"] < 130.0
    assert len(learned["draws"]) == 256 * 6 * 4
    explained = newest(deps, one.id)["explanation"]
    assert explained["bound_by"][TOKENS] > 0.8
    for row in stored(deps, "SELECT id FROM decisions ORDER BY id DESC LIMIT 10"):
        assert replay(loop.deps, row["id"]).is_identical


def test_a_decision_by_several_loads_replays_byte_for_byte(deps: DecisionDeps) -> None:
    loop = Loop(deps, steady, lambda _t: 2000.0)
    loop.add("bound", truth(10.0), **bound_by_tokens())
    loop.add("free", truth(10.0))
    loop.run(4)
    made = stored(deps, "SELECT id FROM decisions")
    assert len(made) == 8
    for row in made:
        assert replay(loop.deps, row["id"]).is_identical


def test_loads_that_were_seen_but_not_forecast_are_decided_by_as_seen(deps: DecisionDeps) -> None:
    loop = Loop(deps, steady, lambda _t: 2000.0)
    one = loop.add("untold", truth(10.0), **bound_by_tokens())
    told = loop.add("told", truth(10.0), **bound_by_tokens())
    one.is_told = False
    loop.run(6)

    row = newest(deps, one.id)
    assert row["desired_replicas"] >= 10
    assert row["rung"] in ("trailing_percentile", "reactive")
    note = row["explanation"]["further_loads"]
    assert note["missing"] == [TOKENS]
    assert note["message"] in row["explanation"]["summary"]
    assert note["message"] == f"no forecast of {TOKENS}: decided by the loads observed so far"
    assert newest(deps, told.id)["rung"] == "model"


def test_a_load_of_which_nothing_is_known_leaves_the_demand_alone_and_harms_no_other(
    deps: DecisionDeps,
) -> None:
    alone = Loop(deps, steady)
    silent = alone.add("silent", truth(10.0), **bound_by_tokens())
    free = alone.add("free", truth(10.0))
    alone.run(8)

    row = newest(deps, silent.id)
    assert row["rung"] == "model"
    assert row["desired_replicas"] == newest(deps, free.id)["desired_replicas"]
    note = row["explanation"]["further_loads"]["message"]
    assert note == f"nothing is known of {TOKENS}: decided by request_rate_rps alone"
    query = "SELECT * FROM outcomes WHERE workload_id = :id ORDER BY step_at DESC LIMIT 1"
    (scored,) = stored(deps, query, id=silent.id)
    assert scored["demand"] == pytest.approx(50.0, rel=0.15)
    assert scored["violation_ratio"] is None
    assert replay(alone.deps, row["id"]).is_identical
