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


def hang(bench: Bench, kind: str) -> None:
    """A new template whose pods never become ready."""
    annotations = {"lab.harmony.dev/startup-median": "1000h"}
    bench.lab.patch(paths(kind), {"spec": {"template": {"metadata": {"annotations": annotations}}}})


@pytest.mark.parametrize(
    ("kind", "minutes", "words"),
    [
        ("Deployment", 11, "replicas are available when progressDeadlineSeconds end"),
        ("StatefulSet", 31, "replicas are of the new revision, as it has been since 2026-"),
    ],
)
def test_a_roll_out_that_hangs_holds_scaling_in_for_a_while_only(
    bench: Bench, kind: str, minutes: int, words: str
) -> None:
    bench.lab.deploy("llama", replicas=4, kind=kind)
    bench.lab.autoscale("llama", scaleTargetRef={"kind": kind, "name": "llama"})
    bench.reconcile()
    hang(bench, kind)
    for _ in range(minutes - 2):
        bench.step()
    bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1][2] == "paused"
    bench.deps.memory.forget()  # as after a pass that failed: what time has shown is kept
    for _ in range(3):
        bench.step()
    decision = bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "applied")
    resolved = bench.lab.condition("llama", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("True", "RolloutHangs")
    assert f"the roll-out of {kind}/llama hangs" in resolved["message"]
    assert words in resolved["message"]
    assert [e["reason"] for e in bench.lab.events()].count("RolloutHangs") == 1
    assert bench.lab.condition("llama", "Ready")["status"] == "True"


def test_a_roll_out_that_moves_slowly_is_waited_for(bench: Bench) -> None:
    """One pod in 25 minutes: as long as it moves, it does not hang."""
    bench.lab.deploy("llama", replicas=3, kind="StatefulSet")
    target = {"kind": "StatefulSet", "name": "llama"}
    bench.lab.autoscale("llama", scaleTargetRef=target)
    bench.reconcile()
    annotations = {"lab.harmony.dev/startup-median": "25m"}
    template = {"metadata": {"annotations": annotations}}
    bench.lab.patch(paths("StatefulSet"), {"spec": {"template": template}})
    for _ in range(45):
        bench.step()
    bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1][2] == "paused"
    assert bench.lab.condition("llama", "TargetResolved")["reason"] == "TargetFound"


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
