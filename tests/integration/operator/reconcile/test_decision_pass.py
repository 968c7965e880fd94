"""Decisions between two reconcile passes are applied at once, on what holds by then."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.operator.plan.plan import MAX_ATTEMPTS, Result
from services.operator.reconcile.decision_pass import decision_pass
from tests.integration.operator.conftest import Bench
from tests.integration.operator.reconcile.test_apply_parts import (
    autoscale,
    decide,
    deploy,
    replicas,
)

pytestmark = pytest.mark.integration


def test_a_decision_is_applied_and_stored_once(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    fleet = bench.reconcile().fleet
    assert decision_pass(bench.deps, fleet, bench.clock.now()) == []
    decision = bench.decide("llama", 5)
    (action,) = decision_pass(bench.deps, fleet, bench.clock.now())
    assert (action.result, action.from_replicas, action.to_replicas) == (Result.APPLIED, 2, 5)
    assert decision_pass(bench.deps, fleet, bench.clock.now()) == []
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("llama") == 5


def test_what_changed_since_the_last_pass_counts(bench: Bench) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    fleet = bench.reconcile().fleet
    bench.lab.annotate("llama", {"scaling.harmony.dev/paused": "true"})
    bench.lab.delete_autoscaler("qwen")
    bench.decide("llama", 5)
    bench.decide("qwen", 5)
    (action,) = decision_pass(bench.deps, fleet, bench.clock.now())
    assert action.result is Result.PAUSED
    assert (bench.lab.replicas("llama"), bench.lab.replicas("qwen")) == (2, 2)
    assert bench.reconcile().results == {"target_missing": 1}, "qwen's waits for a pass"


def test_a_workload_that_no_pass_knows_waits_for_one(bench: Bench) -> None:
    fleet = bench.reconcile().fleet
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 5)
    assert decision_pass(bench.deps, fleet, bench.clock.now()) == []
    assert bench.reconcile().results == {"applied": 1}


def test_variants_change_together(bench: Bench) -> None:
    deploy(bench.lab)
    autoscale(bench.lab)
    for _ in range(3):
        fleet = bench.step().fleet
    decide(bench, (2, 3), (0, 2))
    (action,) = decision_pass(bench.deps, fleet, bench.clock.now())
    assert replicas(bench) == (3, 2)
    assert (action.from_replicas, action.to_replicas) == (2, 4)


_EXPIRED = (
    "INSERT INTO actions (id, origin_at, decision_id, workload_id, attempt, result, reason, "
    "applied_at) SELECT nextval('actions_id_seq'), origin_at, id, workload_id, 1, 'expired', '', "
    ":now FROM decisions ORDER BY id DESC LIMIT 1"
)


def test_after_its_object_was_away_an_older_decision_is_not_the_newest(bench: Bench) -> None:
    """Not although the newest has its action, and the older one may be tried again."""
    bench.lab.deploy("llama", replicas=3)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.change("llama", {"sla": {"class": "none-such", "risk": None}})
    bench.decide("llama", 4, current_replicas=3)
    for _ in range(MAX_ATTEMPTS):
        bench.reconcile()
    bench.lab.delete_autoscaler("llama")
    bench.clock.advance(1)
    bench.decide("llama", 5, current_replicas=3, valid_until=bench.clock.now())
    with bench.engine.begin() as connection:  # the pass that saw it ended before the older one's
        connection.execute(text(_EXPIRED), {"now": bench.clock.now()})
    bench.fresh_operator()
    bench.reconcile()
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert bench.lab.replicas("llama") == 3
