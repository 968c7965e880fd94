"""The promise kept by what is measured: a closed loop through Postgres, against a known truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from decider import GroupLaw
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from tests.integration.decision.group_rows import add_group_law
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, Looped, truth
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration


def day(t: int) -> float:
    return 100.0 * (1.0 + 0.3 * math.sin(2.0 * math.pi * t / 40.0))


def bad_share(one: Looped, last: int = 40) -> float:
    return float(np.mean(one.is_bad[-last:]))


def promise(kind: str = "TimeFraction", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "epsilon": 0.05} | more


def stored(deps: DecisionDeps, query: str) -> list[Any]:
    with deps.engine.connect() as connection:
        return list(connection.execute(text(query)).mappings())


@pytest.mark.slow
def test_a_capacity_stated_too_high_is_found_out_and_the_promise_kept(deps: DecisionDeps) -> None:
    loop = Loop(deps, day)
    stated = {"per_replica": 12.5}
    measured = loop.add("measured", truth(10.0), capacity=stated, sla=promise(objective=OBJECTIVE))
    believed = loop.add("believed", truth(10.0), capacity=stated, sla=promise())
    loop.run(80)

    assert bad_share(measured) < 0.1
    assert bad_share(believed) > 0.5 + bad_share(measured)
    assert np.mean(measured.counts[-40:]) < 1.5 * np.mean(believed.counts[-40:])
    (learned,) = stored(deps, "SELECT * FROM posteriors WHERE kind = 'misses'")
    assert learned["scope"] == f"workload:{measured.id}"
    assert learned["summary"]["p10"] < 10.2
    assert learned["summary"]["p90"] > 9.6
    made = stored(deps, "SELECT id, workload_id FROM decisions ORDER BY id DESC LIMIT 20")
    for row in made:
        assert replay(loop.deps, row["id"]).is_identical


@pytest.mark.slow
def test_a_service_is_not_scaled_in_before_steps_say_what_load_does(deps: DecisionDeps) -> None:
    """Stated is three times what a replica bears; ten are needed, fourteen run at the start."""
    loop = Loop(deps, lambda _t: 100.0)
    stated = {"per_replica": 30.0}
    sla = promise("DemandFraction", objective=OBJECTIVE)
    measured = loop.add("measured", truth(10.0), capacity=stated, sla=sla)
    believed = loop.add("believed", truth(10.0), capacity=stated, sla=promise())
    for one in (measured, believed):
        one.count = 14
    loop.run(30)
    assert max(believed.counts[1:5]) < 7, "what is stated holds where nothing is measured"
    assert set(measured.counts[:5]) == {14}
    assert set(measured.counts[-10:]) <= {10, 11}, "and then they are as many as are needed"


@pytest.mark.slow
def test_a_new_service_is_decided_by_what_others_like_it_carry(deps: DecisionDeps) -> None:
    """Ten are needed. Stated is twice what a replica bears, as of the others, who were measured."""
    loop = Loop(deps, lambda _t: 95.0)
    stated = {"per_replica": 20.0}
    sla = promise(objective=OBJECTIVE)
    alone = loop.add("alone", truth(10.0), capacity=stated, sla=sla, gpu_type="L4")
    many = loop.add("many", truth(10.0), capacity=stated, sla=sla)
    new = loop.add("new", truth(10.0), capacity=stated, sla=sla)
    with deps.engine.connect() as connection:
        member = members_of(connection)[new.id]
    law = GroupLaw(np.array([np.log(0.5), np.log(12.0)]), np.diag([0.06**2, 0.2**2]))
    add_group_law(deps.engine, member, law)
    alone.count, new.count, many.count = 5, 5, 16
    loop.run(20)

    assert min(new.counts[1:]) >= 10, "others of its GPU type say what it needs"
    assert min(alone.counts[1:5]) < 8, "nobody says it of another type's"
    assert bad_share(new) < bad_share(alone)
    assert set(many.counts[:2]) == {16}, "nothing is scaled in on the word of others"
    assert set(many.counts[-5:]) <= {10, 11, 12}
    made = stored(deps, "SELECT id, workload_id, explanation FROM decisions ORDER BY id LIMIT 6")
    sources = {row["workload_id"]: row["explanation"]["capacity"]["source"] for row in made[:3]}
    assert sources == {alone.id: "stated", many.id: "group", new.id: "group"}
    for row in made:
        assert replay(loop.deps, row["id"]).is_identical


def test_what_misses_at_any_count_is_told_beside_what_counts_would_miss(
    deps: DecisionDeps,
) -> None:
    loop = Loop(deps, lambda _t: 100.0)
    measured = loop.add("m", truth(10.0), sla=promise("DemandFraction", objective=OBJECTIVE))
    measured.lost = lambda _t: 0.03
    loop.run(25)
    made = stored(deps, "SELECT * FROM decisions ORDER BY id DESC LIMIT 1")[0]
    misses = made["explanation"]["expected_misses"]
    assert 0.002 < misses["floor"] < 0.05
    assert "% at any count" in made["explanation"]["summary"]
    assert replay(loop.deps, made["id"]).is_identical


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TimeFraction", "DemandFraction"])
def test_errors_at_low_load_add_no_replica(deps: DecisionDeps, kind: str) -> None:
    """A fifth of the requests is lost from step 20 on, at 2.5 of the stated load of 10."""
    loop = Loop(deps, lambda _t: 40.0)
    sla = promise(kind, objective=OBJECTIVE)
    one = loop.add("w", truth(10.0), capacity={"per_replica": 10.0}, min_replicas=16, sla=sla)
    one.lost = lambda t: 0.2 if t >= 20 else 0.0
    one.count = 16
    loop.run(45)

    assert max(one.counts[20:]) <= max(one.counts[:20])
    (state,) = (row["state"] for row in stored(deps, "SELECT state FROM risk_states"))
    assert state["measured_ratio"] > 0.09, "the ledger counts what was promised"
    assert state["goal_unreachable_message"].endswith("a bad release")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TimeFraction", "DemandFraction"])
def test_overload_adds_replicas_until_it_is_cured(deps: DecisionDeps, kind: str) -> None:
    """The same demand and share of misses, but of load: a replica truly serves 5, not 10."""
    loop = Loop(deps, lambda _t: 40.0)
    sla = promise(kind, objective=OBJECTIVE)
    one = loop.add("w", truth(5.0), capacity={"per_replica": 10.0}, sla=sla)
    loop.run(45)

    assert one.counts[4] <= 6
    assert min(one.counts[-20:]) >= 8
    assert bad_share(one, 20) < 0.3
    (state,) = (row["state"] for row in stored(deps, "SELECT state FROM risk_states"))
    assert state["goal_unreachable_message"] == ""
