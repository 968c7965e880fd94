"""Pods of targets, found through owners that are remembered; kinds that do not answer."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.listed import ListedTarget, read_target
from services.operator.cluster.ownership import Links, OwnedPod, Owner, PodIndex, index
from services.operator.cluster.targets import TargetState
from services.operator.kube.client import Scale
from services.operator.reconcile.find_targets import (
    Targets,
    find_targets,
    list_pods,
    waiting_of_others,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.discovery import ServedKind
from services.operator.wire.http import KubeError
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import pod, shape

POOL = ScaleTarget("example.dev/v1", "Pool", "serving", "pool")
LLAMA = ScaleTarget("apps/v1", "Deployment", "serving", "llama")


class FakeKube:
    """Two pods of one ReplicaSet, and who owns that."""

    def __init__(self) -> None:
        self.owner: Owner | None = Owner("Deployment", "old")
        self.listed: list[str] = []

    def list_objects(self, kind: str) -> list[Any]:
        self.listed.append(kind)
        if kind == "Pod":
            return [OwnedPod(pod(name), Owner("ReplicaSet", "rs")) for name in ("a", "b")]
        return [ListedTarget("serving", "llama-1", TargetState("rs", "1", 2), self.owner)]


def of(uid: str, replicas: int = 2) -> Targets:
    return Targets({LLAMA.key: TargetState(uid, "1", replicas)})


def deps(kube: FakeKube) -> OperatorDeps:
    return OperatorDeps(None, kube, FixedClock(NOW), Settings())  # type: ignore[arg-type]


def test_a_replica_set_that_another_deployment_took_over_counts_as_its() -> None:
    """`kubectl delete --cascade=orphan` and `apply`: a new Deployment adopts the pods."""
    kube = FakeKube()
    operator = deps(kube)
    assert len(list_pods(operator, of("old")).owned_by("old")) == 2
    kube.owner = None
    assert list_pods(operator, of("new")).owned_by("new") == []
    kube.owner = Owner("Deployment", "new")
    found = list_pods(operator, of("new"))
    assert sorted(each.name for each in found.owned_by("new")) == ["a", "b"]
    assert found.owned_by("old") == []


def test_owners_are_not_listed_again_while_each_target_has_its_pods() -> None:
    kube = FakeKube()
    operator = deps(kube)
    list_pods(operator, of("old"))
    list_pods(operator, of("old"))
    list_pods(operator, of("stopped", replicas=0))
    assert kube.listed == ["Pod", "ReplicaSet", "Pod", "Pod"]


class Silent(FakeKube):
    """A cluster with a custom kind of which no list is answered."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def find_kind(self, api_version: str, kind: str) -> ServedKind:
        return ServedKind(api_version, kind, f"{kind.lower()}s")

    def list_objects(self, kind: str) -> list[Any]:
        return [ListedTarget("serving", "llama", TargetState("d", "1", 2), None)]

    def list_kind(self, kind: ServedKind) -> list[Any]:
        raise KubeError(0, self.reason, f"list {kind.resource}: {self.reason}")


@pytest.mark.parametrize("reason", ["ReadTimeoutError", "NotReadYet"])
def test_a_custom_kind_that_nobody_converts_costs_its_own_targets_only(reason: str) -> None:
    """The API server waits for a conversion webhook for longer than the operator does for it."""
    found = find_targets(deps(Silent(reason)), [POOL, LLAMA])
    assert list(found.states) == [LLAMA.key]
    problem = found.problems[POOL.key]
    assert (problem.reason, problem.is_known) == ("TargetUnreadable", False)


def test_a_deployment_that_cannot_be_read_costs_no_other() -> None:
    """Of any team's Deployments one may hold what nobody expects."""
    odd = {
        "metadata": {"namespace": "serving", "name": "odd", "uid": "o", "resourceVersion": "1"},
        "spec": {"template": {"spec": {"containers": [{}], "tolerations": "all"}}},
    }

    class Odd(Silent):
        def list_objects(self, kind: str) -> list[Any]:
            return [read_target(odd, kind), *super().list_objects(kind)]

    target = ScaleTarget("apps/v1", "Deployment", "serving", "odd")
    found = find_targets(deps(Odd("")), [target, LLAMA])
    assert list(found.states) == [LLAMA.key]
    problem = found.problems[target.key]
    assert (problem.reason, problem.is_known) == ("TargetUnreadable", False)
    assert "Deployment/odd has fields of other types" in problem.message


def test_an_api_server_that_is_away_costs_the_pass() -> None:
    with pytest.raises(KubeError):
        find_targets(deps(Silent("NewConnectionError")), [POOL, LLAMA])


class Unset(Silent):
    """A custom kind of which some objects have no replicas: the API server answers with 500."""

    def __init__(self) -> None:
        super().__init__("")
        self.version, self.asked = "1", 0
        self.answer: Scale | None = None

    def list_kind(self, kind: ServedKind) -> list[Any]:
        metadata = {"namespace": "serving", "name": "pool", "uid": "p"}
        return [{"metadata": metadata | {"resourceVersion": self.version}}]

    def get_scale(self, target: ScaleTarget, *, is_final_500: bool) -> Scale:
        assert is_final_500, "to wait for another answer costs each pass a second"
        self.asked += 1
        if self.answer is not None:
            return self.answer
        raise KubeError(500, "InternalError", 'replicas field ".spec.replicas" does not exist')


def look(operator: OperatorDeps, seconds: float) -> Targets:
    operator.clock.advance(seconds)  # type: ignore[attr-defined]
    return find_targets(operator, [POOL])


def test_a_scale_that_cannot_be_read_is_asked_for_ever_more_seldom() -> None:
    kube = Unset()
    operator = deps(kube)
    for _ in range(300):
        assert ".spec.replicas" in look(operator, 1.0).problems[POOL.key].message
    assert kube.asked == 7 + 8, "after 0, 1, 2, 4, 8, 16 and 32 s, and then each 30 s"


def test_a_scale_that_could_not_be_read_is_found_again() -> None:
    """A moment of trouble costs no more than one pass, and a change of the object is seen."""
    kube = Unset()
    operator = deps(kube)
    look(operator, 1.0)
    kube.answer = Scale(3, "1")
    assert look(operator, 1.0).states[POOL.key].replicas == 3
    kube.version, kube.answer = "2", None
    for _ in range(100):
        look(operator, 1.0)
    kube.version, kube.answer = "3", Scale(4, "3")
    assert look(operator, 1.0).states[POOL.key].replicas == 4


def test_of_a_kind_that_nothing_stood_between_nothing_is_listed() -> None:
    """The right to list it may be missing, and nobody needs it."""
    kube = FakeKube()
    found = of("new")
    found.has_custom = True
    operator = deps(kube)
    list_pods(operator, found)
    list_pods(operator, found)
    assert kube.listed.count("ReplicaSet") == 2
    assert "StatefulSet" not in kube.listed


def test_pods_of_targets_are_not_those_of_others() -> None:
    """Told by who owns them, or by the selector where nobody can be looked up."""
    given = [
        OwnedPod(pod(name, node="", labels={"app": label}), Owner(*owner), shape(1))
        for name, label, owner in (
            ("own", "", ("ReplicaSet", "rs")),
            ("selected", "llama", ("Job", "j")),
            ("other", "train", ("Job", "j")),
        )
    ]
    pods = index(given, Links({"rs": Owner("Deployment", "d")}))
    found = Targets({
        LLAMA.key: TargetState("d", "1", 2),
        POOL.key: TargetState("p", "1", 2, selector="app=llama"),
    })  # fmt: skip
    assert [each.state.name for each in waiting_of_others(found, pods)] == ["other"]
    assert waiting_of_others(found, PodIndex()) == []
