"""Two operators in one process, on one cluster and one database, with clocks set by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client

from services.operator.kube.client import KubeClient
from services.operator.leadership.leader import Elector, Timing
from services.operator.leadership.lease import Fence, LeaseKeeper, LeaseStore
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.rights import OWN_NAMESPACE_RIGHTS
from services.operator.wire.http import KubeHttp, RequestSettings
from tests.integration.operator.conftest import EAGER, Bench

pytestmark = pytest.mark.integration

TIMING = Timing(duration_s=15, deadline_s=10.0, retry_s=2.0)


class Stopwatch:
    """Monotonic time that a test sets."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@dataclass
class Replica:
    """One operator of several."""

    keeper: LeaseKeeper
    fence: Fence
    loop: ReconcileLoop
    deps: OperatorDeps
    kube: KubeClient

    def turn(self) -> None:
        """One attempt at the Lease and one turn of the loop."""
        self.keeper.turn()
        self.loop.reconcile_once()

    def before_list(self, kind: str, action: Callable[[], None]) -> None:
        """Do something once, in the middle of a pass."""
        listed, todo = self.kube.list_objects, [action]

        def list_objects(wanted: str) -> list[Any]:
            if wanted == kind and todo:
                todo.pop()()
            return listed(wanted)

        self.kube.list_objects = list_objects  # type: ignore[method-assign]


@dataclass
class Pair:
    """Two operators."""

    a: Replica
    b: Replica
    time: Stopwatch


@pytest.fixture
def pair(bench: Bench) -> Iterator[Pair]:
    time, opened = Stopwatch(), []

    def make(identity: str) -> Replica:
        configuration = client.Configuration()
        configuration.host = bench.lab.url
        lease_http = KubeHttp(configuration, lambda _: None, RequestSettings(pauses_s=()))
        store = LeaseStore(lease_http, bench.lab.namespace, "harmony-operator")
        keeper = LeaseKeeper(store, Elector(identity, TIMING), monotonic=time, cluster="eu-west")
        fence = Fence(keeper)
        http = KubeHttp(configuration, lambda _: None, RequestSettings(may_send=fence.is_open))
        opened.extend((lease_http, http))
        kube = KubeClient(http)
        deps = OperatorDeps(
            bench.engine, kube, bench.clock, bench.deps.settings, pace=EAGER,
            may_write=fence.is_open,
        )  # fmt: skip
        return Replica(keeper, fence, ReconcileLoop(deps, fence), deps, kube)

    yield Pair(make("a"), make("b"), time)
    for http in opened:
        http.close()


def lease(bench: Bench) -> dict[str, Any]:
    path = "/apis/coordination.k8s.io/v1/namespaces"
    found = bench.lab.http.get(f"{path}/{bench.lab.namespace}/leases/harmony-operator")
    return dict(found.json()["spec"])


def ready(bench: Bench, pair: Pair) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    pair.a.turn()
    pair.b.turn()


def writes(bench: Bench) -> int:
    counted = bench.lab.http.get("/lab/requests").json()["requests"]
    return sum(
        c["count"]
        for c in counted
        if c["verb"] in ("create", "patch", "update") and c["resource"] != "leases"
    )


def test_one_leads_and_the_other_neither_reads_nor_writes(bench: Bench, pair: Pair) -> None:
    ready(bench, pair)
    assert (pair.a.keeper.term(), pair.b.keeper.term()) == (1, None)
    found = lease(bench)
    assert (found["holderIdentity"], found["leaseTransitions"]) == ("a", 0)
    assert found["leaseDurationSeconds"] == 15
    decision = bench.decide("llama", 5)
    bench.lab.http.delete("/lab/requests")
    for _ in range(3):
        pair.time.s += 2
        pair.b.turn()
    assert bench.results() == []
    assert writes(bench) == 0
    assert pair.b.kube.n_calls == 0
    pair.a.turn()
    assert bench.results() == [(decision, 1, "applied")]


def test_the_other_takes_over_from_one_that_is_gone(bench: Bench, pair: Pair) -> None:
    ready(bench, pair)
    first = bench.decide("llama", 5)
    pair.a.turn()
    pair.b.keeper.turn()
    second = bench.decide("llama", 7)
    for passed_s in (2.0, 9.0, 14.9):
        pair.time.s = 1000.0 + passed_s
        pair.b.turn()
        assert pair.b.keeper.term() is None
    assert pair.a.keeper.term() is None, "it had to stop before"
    pair.time.s = 1015.0
    pair.b.turn()
    assert pair.b.keeper.term() == 1
    assert lease(bench)["leaseTransitions"] == 1
    assert bench.results() == [(first, 1, "applied"), (second, 1, "applied")]
    assert bench.lab.replicas("llama") == 7
    pair.a.turn()
    assert pair.a.keeper.term() is None


def test_a_release_needs_no_waiting(bench: Bench, pair: Pair) -> None:
    ready(bench, pair)
    pair.a.fence.close()
    pair.a.keeper.stop(0.0)
    assert lease(bench)["holderIdentity"] == ""
    decision = bench.decide("llama", 5)
    pair.a.loop.reconcile_once()
    assert bench.results() == []
    pair.b.turn()
    assert bench.results() == [(decision, 1, "applied")]


def test_a_pass_ends_before_its_next_write_when_leadership_ends(bench: Bench, pair: Pair) -> None:
    ready(bench, pair)
    decision = bench.decide("llama", 5)
    n_states = len(bench.rows("replica_states"))
    bench.clock.advance(bench.step_s)

    def hang() -> None:
        pair.time.s += 10.0

    pair.a.before_list("Node", hang)
    pair.a.loop.reconcile_once()
    assert bench.lab.replicas("llama") == 2
    assert bench.results() == []
    assert len(bench.rows("replica_states")) == n_states
    assert "does not lead" in pair.a.loop.health.problem
    pair.a.turn()
    assert pair.a.keeper.term() == 2, "nobody else took it"
    assert bench.results() == [(decision, 1, "applied")]


def test_what_was_patched_in_time_is_written_down_and_the_rest_left_open(
    bench: Bench, pair: Pair
) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    pair.a.turn()
    pair.b.turn()
    decided = [bench.decide(name, 5) for name in ("llama", "qwen")]
    patched = pair.a.kube.patch_scale

    def patch_then_hang(*arguments: Any) -> Any:
        answer = patched(*arguments)
        pair.time.s += 10.0
        return answer

    pair.a.kube.patch_scale = patch_then_hang  # type: ignore[method-assign]
    pair.a.loop.reconcile_once()
    assert bench.results() == [(decided[0], 1, "applied")]
    pair.time.s += 5.0
    pair.b.turn()
    assert bench.results() == [(id_, 1, "applied") for id_ in decided]
    assert [bench.lab.replicas(name) for name in ("llama", "qwen")] == [5, 5]


def test_a_pass_of_an_earlier_term_does_not_go_on_in_a_later_one(bench: Bench, pair: Pair) -> None:
    """It hangs; the other leads, follows two decisions and goes; this one leads again."""
    ready(bench, pair)
    old = bench.decide("llama", 5)
    newer: list[int] = []
    terms: list[int | None] = []

    def meanwhile() -> None:
        pair.time.s += 15.0
        pair.b.turn()
        newer.append(bench.decide("llama", 8))
        pair.b.turn()
        pair.b.keeper.stop(0.0)
        pair.a.keeper.turn()
        terms.append(pair.a.keeper.term())

    patch = pair.a.kube.patch_scale
    todo = [meanwhile]

    def wait_then_patch(*arguments: Any) -> Any:
        if todo:
            todo.pop()()
        return patch(*arguments)

    pair.a.kube.patch_scale = wait_then_patch  # type: ignore[method-assign]
    pair.a.loop.reconcile_once()
    assert terms == [2]
    assert bench.lab.replicas("llama") == 8
    # the other one found the first one's intent, and the target as it had been
    expected = [(old, 1, "failed"), (old, 2, "applied"), (newer[0], 1, "applied")]
    assert bench.results() == expected
    pair.a.turn()
    assert bench.lab.replicas("llama") == 8
    assert bench.results() == expected


def test_an_api_server_that_is_away_costs_the_leadership_and_gives_it_back(
    bench: Bench, pair: Pair
) -> None:
    ready(bench, pair)
    decision = bench.decide("llama", 5)
    bench.lab.fault(kind="unavailable", times=1000)
    for _ in range(5):
        pair.time.s += 2.0
        pair.a.turn()
    assert pair.a.keeper.term() is None
    bench.lab.http.delete("/lab/faults")
    pair.a.turn()
    assert pair.a.keeper.term() == 2
    assert bench.results() == [(decision, 1, "applied")]


@pytest.mark.parametrize("kind", ["conflict", "error", "throttle"])
def test_one_refusal_does_not_cost_the_leadership(bench: Bench, pair: Pair, kind: str) -> None:
    ready(bench, pair)
    pair.time.s += 8.0
    bench.lab.fault(kind=kind, verb="update", resource="leases", times=1)
    pair.a.keeper.turn()
    pair.time.s += 1.9
    pair.a.keeper.turn()
    pair.time.s += 9.9
    assert pair.a.keeper.term() == 1


def test_two_that_try_at_once_are_told_apart_by_the_version(bench: Bench, pair: Pair) -> None:
    for replica in (pair.a, pair.b):
        replica.keeper._read()
    pair.b.keeper._write()
    pair.a.keeper.turn()
    assert (pair.a.keeper.term(), pair.b.keeper.term()) == (None, 1)


def test_the_rights_to_the_lease_are_those_declared(bench: Bench, pair: Pair) -> None:
    bench.lab.http.delete("/lab/requests")
    ready(bench, pair)
    pair.a.keeper.stop(0.0)
    pair.b.turn()
    counted = bench.lab.http.get("/lab/requests").json()["requests"]
    used = {(c["group"], c["resource"], c["verb"]) for c in counted if c["resource"] == "leases"}
    assert used == {
        (right.api_group, resource, verb)
        for right in OWN_NAMESPACE_RIGHTS
        for resource in right.resources
        for verb in right.verbs
    }
