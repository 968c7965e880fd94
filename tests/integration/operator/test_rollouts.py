"""While a target is rolled out it is never scaled in; the reason is shown."""

from __future__ import annotations

import pytest

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def roll(bench: Bench, path: str) -> None:
    """Give a workload a new template."""
    template = {"metadata": {"annotations": {"revision": "2"}}}
    bench.lab.patch(path, {"spec": {"template": template}})


def paths(kind: str) -> str:
    return f"apps/v1/{kind.lower()}s/llama"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_roll_out_holds_scaling_in_until_it_ends(bench: Bench, kind: str) -> None:
    bench.lab.deploy("llama", replicas=4, kind=kind)
    bench.lab.autoscale("llama", scaleTargetRef={"kind": kind, "name": "llama"})
    bench.reconcile()
    roll(bench, paths(kind))
    decision = bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "paused")]
    (action,) = bench.rows("actions")
    assert "waits for the roll-out to end" in action["reason"]
    assert "of the new revision" in action["reason"]
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "RolloutInProgress")
    assert bench.lab.replicas("llama", kind) == 4
    for _ in range(6):
        bench.step()
    later = bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1] == (later, 1, "applied")
    assert bench.lab.replicas("llama", kind) == 2


def test_a_roll_out_does_not_hold_scaling_out(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=4)
    bench.lab.autoscale("llama")
    bench.reconcile()
    roll(bench, paths("Deployment"))
    decision = bench.decide("llama", 6)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("llama") == 6


def test_pods_of_both_revisions_are_counted(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=4)
    bench.lab.autoscale("llama")
    bench.reconcile()
    roll(bench, paths("Deployment"))
    bench.clock.advance(10)
    bench.lab.advance(bench.clock.now())
    bench.reconcile()
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    pods = bench.lab.pods("llama")
    assert len({pod["metadata"]["ownerReferences"][0]["uid"] for pod in pods}) == 2
    # a surge of one, one may lack: three of the old serve, two of the new start
    counted = (state["ready_replicas"], state["starting_replicas"], state["pending_replicas"])
    assert counted == (3, 2, 0)


def test_scaling_out_alone_holds_nothing(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.condition("llama", "ScalingLimited")["status"] == "False"
    bench.clock.advance(bench.step_s)
    decision = bench.decide("llama", 3)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "applied")
