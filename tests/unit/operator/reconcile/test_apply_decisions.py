"""Patches under conflicts, broken answers and other hands; what has been seen is remembered."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.ownership import PodIndex
from services.operator.cluster.placement import FreeGpus
from services.operator.cluster.targets import TargetState
from services.operator.kube.client import Object, Scale
from services.operator.plan.plan import PlannedAction, Result
from services.operator.reconcile.apply_decisions import (
    OpenDecisions,
    ScalePatch,
    apply_decisions,
    remember_decisions,
)
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.resource.translate import to_autoscaler
from services.operator.wire.http import KubeError
from tests.unit.operator.examples import NOW, decision, resource, situation

CONFLICT = KubeError(409, "Conflict", "the object has been modified")
BROKEN = KubeError(500, "InternalError", "broken")
AWAY = KubeError(0, "NewConnectionError", "refused")
FORBIDDEN = KubeError(403, "Forbidden", "not allowed")
MISSING = KubeError(404, "NotFound", "gone")


class FakeKube:
    """A target with versions; each patch first meets the next of `troubles`.

    A trouble is an error, or a pair of an error and a number: the number is what the target has
    afterwards, whoever wrote it.
    """

    def __init__(self, replicas: int, troubles: list[Any] | None = None) -> None:
        self.replicas, self.version = replicas, 1
        self.troubles = troubles or []
        self.n_calls = 0
        self.n_applied = 0
        self.is_away = False

    def list_objects(self, kind: str) -> list[Object]:
        return []

    def get_scale(self, target: ScaleTarget) -> Scale:
        if self.is_away:
            raise AWAY
        return Scale(self.replicas, str(self.version))

    def patch_scale(self, target: ScaleTarget, replicas: int, resource_version: str) -> Scale:
        if self.troubles:
            trouble = self.troubles.pop(0)
            if isinstance(trouble, tuple):
                self.write(trouble[1])
                raise trouble[0]
            self.is_away = trouble is AWAY
            raise trouble
        if resource_version != str(self.version):
            raise CONFLICT
        self.n_applied += 1
        self.write(replicas)
        return Scale(replicas, str(self.version))

    def write(self, replicas: int) -> None:
        self.replicas = replicas
        self.version += 1

    def patch_status(self, namespace: str, name: str, status: Object) -> None: ...

    def post_event(self, namespace: str, event: Object) -> None: ...


def deps(kube: FakeKube) -> OperatorDeps:
    return OperatorDeps(None, kube, FixedClock(NOW), Settings())  # type: ignore[arg-type]


def send(kube: FakeKube, desired: int = 6, **changes: Any) -> PlannedAction | None:
    where = situation(4, **changes)
    action = PlannedAction(decision(desired=desired), Result.APPLIED, "why", 4, desired)
    target = ScaleTarget("apps/v1", "Deployment", "serving", "llama")
    return ScalePatch(deps(kube), target, where, NOW).send(action, TargetState("d", "1", 4))


def result_of(action: PlannedAction | None) -> Result:
    assert action is not None
    return action.result


def test_a_patch() -> None:
    kube = FakeKube(4)
    assert result_of(send(kube)) is Result.APPLIED
    assert kube.replicas == 6


def test_a_conflict_of_another_field_is_tried_again() -> None:
    kube = FakeKube(4, [(CONFLICT, 4), (CONFLICT, 4)])
    assert result_of(send(kube)) is Result.APPLIED
    assert (kube.replicas, kube.n_applied) == (6, 1)


def test_conflicts_without_end_fail() -> None:
    kube = FakeKube(4, [(CONFLICT, 4)] * 9)
    assert result_of(send(kube)) is Result.FAILED
    assert len(kube.troubles) == 5


def test_another_hand_is_seen_and_planned_against() -> None:
    kube = FakeKube(4, [(CONFLICT, 9)])
    action = send(kube)
    assert result_of(action) is Result.APPLIED
    assert action is not None
    assert (action.from_replicas, action.to_replicas) == (9, 6)
    kube = FakeKube(4, [(CONFLICT, 6)])
    assert result_of(send(kube)) is Result.UNCHANGED
    kube = FakeKube(4, [(CONFLICT, 0)])
    assert result_of(send(kube)) is Result.PAUSED
    assert kube.replicas == 0


def test_a_broken_answer_after_success_is_not_applied_twice() -> None:
    kube = FakeKube(4, [(BROKEN, 6)])
    action = send(kube)
    assert result_of(action) is Result.APPLIED
    assert action is not None
    assert action.reason.endswith("confirmed after a broken answer")
    assert kube.n_applied == 0


def test_a_broken_answer_without_success_is_tried_again() -> None:
    kube = FakeKube(4, [BROKEN])
    assert result_of(send(kube)) is Result.APPLIED
    assert kube.n_applied == 1


def test_refusals() -> None:
    action = send(FakeKube(4, [FORBIDDEN]))
    assert result_of(action) is Result.FAILED
    assert action is not None
    assert action.reason == "not allowed"
    assert result_of(send(FakeKube(4, [MISSING]))) is Result.TARGET_MISSING


def test_a_server_that_is_away_leaves_the_decision_open() -> None:
    assert send(FakeKube(4, [AWAY])) is None


troubles = st.lists(
    st.sampled_from([BROKEN, (CONFLICT, 4), (BROKEN, 6), (CONFLICT, 6), (CONFLICT, 9)]), max_size=5
)


@given(troubles)
def test_whatever_happens_it_is_written_at_most_once(found: list[Any]) -> None:
    kube = FakeKube(4, found)
    action = send(kube)
    assert kube.n_applied <= 1
    if result_of(action) in (Result.APPLIED, Result.UNCHANGED):
        assert kube.replicas == 6


def view(n: int) -> View:
    autoscalers, targets = [], {}
    for i in range(n):
        given_resource = resource()
        name = f"w{i}"
        given_resource["metadata"] |= {"name": name, "uid": name}
        given_resource["spec"]["scaleTargetRef"]["name"] = name
        autoscalers.append(to_autoscaler(given_resource, {}))
        targets["apps", "Deployment", "serving", name] = TargetState(name, "1", 4)
    return View(autoscalers, [None] * n, Targets(targets), PodIndex(), set(), FreeGpus(()), {})


def test_once_the_server_is_away_the_rest_is_left_open_too() -> None:
    kube = FakeKube(4, [AWAY])
    decisions = {i: [decision(i + 1, workload_id=i)] for i in range(3)}
    found = OpenDecisions(decisions, {i: d[0] for i, d in decisions.items()}, 3)
    ids = {("serving", f"w{i}"): i for i in range(3)}
    ours = deps(kube)
    assert apply_decisions(ours, view(3), ids, found, NOW) == []
    remember_decisions(ours, found, [])
    assert ours.memory.watermark.after_id == 0
    assert list(ours.memory.watermark._seen) == []


def test_decisions_of_a_deleted_autoscaler_are_answered() -> None:
    found = OpenDecisions({7: [decision(1, workload_id=7)]}, {}, 1)
    (action,) = apply_decisions(deps(FakeKube(4)), view(1), {}, found, NOW)
    assert action.result is Result.TARGET_MISSING
    assert "deleted" in action.reason
