"""Patches under conflicts, broken answers and other hands; falls before rises."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.ownership import PodIndex
from services.operator.cluster.targets import TargetState
from services.operator.kube.client import Object, Scale
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import MadePart, PlannedAction, Result
from services.operator.plan.rates import TargetRates
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.reconcile import patch_scales
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.gpu_use import asked_for
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.reconcile.patch_scales import ScalePatch, patch_scalings
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.resource.translate import to_autoscaler
from services.operator.wire.http import KubeError
from tests.unit.operator.examples import NOW, decision, resource, situation

CONFLICT = KubeError(409, "Conflict", "the object has been modified")
BROKEN = KubeError(500, "InternalError", "broken")
AWAY = KubeError(0, "NewConnectionError", "refused")
FORBIDDEN = KubeError(403, "Forbidden", "not allowed")
SILENT = KubeError(0, "ReadTimeoutError", "no answer in time")
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
        self.is_unreadable = False

    def list_objects(self, kind: str) -> list[Object]:
        return []

    def get_scale(self, target: ScaleTarget) -> Scale:
        if self.is_away:
            raise AWAY
        if self.is_unreadable:
            raise BROKEN
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


def test_what_was_to_fall_and_would_rise_now_waits_for_a_look_at_the_budgets() -> None:
    kube = FakeKube(4, [(CONFLICT, 1)])
    assert result_of(send(kube, desired=3)) is Result.WAITING
    assert kube.replicas == 1


def test_a_broken_answer_after_success_is_not_applied_twice() -> None:
    kube = FakeKube(4, [(BROKEN, 6)])
    action = send(kube)
    assert result_of(action) is Result.APPLIED
    assert action is not None
    assert action.reason.endswith("confirmed after a broken answer")
    assert kube.n_applied == 0


def test_a_count_that_was_found_is_not_sure() -> None:
    """Another hand may have set it: it gives no room in a rate limit."""
    found = send(FakeKube(4, [(BROKEN, 6)]))
    assert found is not None
    autoscaler = to_autoscaler(resource(), {})
    change = PartChange(WHOLE, 1.0, 0, 0.0, found)
    scaling = Scaling(autoscaler, found.decision, {WHOLE: change}, {WHOLE: autoscaler})
    assert scaling.action().parts == (MadePart(WHOLE, 4, 6, is_sure=False),)
    answered = send(FakeKube(4))
    assert answered is not None
    scaling.changes[WHOLE] = PartChange(WHOLE, 1.0, 0, 0.0, answered)
    assert scaling.action().parts == ()


def test_a_broken_answer_without_success_is_tried_again() -> None:
    kube = FakeKube(4, [BROKEN])
    assert result_of(send(kube)) is Result.APPLIED
    assert kube.n_applied == 1


@pytest.mark.parametrize("trouble", [BROKEN, (BROKEN, 6)])
def test_a_broken_answer_that_nothing_confirms_is_unknown(trouble: Any) -> None:
    """It may have been applied: rates must count it."""
    kube = FakeKube(4, [trouble])
    kube.is_unreadable = True
    assert result_of(send(kube)) is Result.UNKNOWN
    kube = FakeKube(4, [(CONFLICT, 4)])
    kube.is_unreadable = True
    assert result_of(send(kube)) is Result.FAILED


@pytest.mark.parametrize("found", [9, 4, 0])
def test_what_another_hand_set_after_a_broken_answer_is_unknown(found: int) -> None:
    """It may have been applied before: nothing else may be told of it, nor may it be sent again."""
    kube = FakeKube(4, [(BROKEN, found)])
    assert result_of(send(kube)) is Result.UNKNOWN
    assert (kube.n_applied, kube.replicas) == (0, found)


def test_refusals() -> None:
    action = send(FakeKube(4, [FORBIDDEN]))
    assert result_of(action) is Result.FAILED
    assert action is not None
    assert action.reason == "not allowed"
    assert result_of(send(FakeKube(4, [MISSING]))) is Result.TARGET_MISSING


def test_a_server_that_is_away_leaves_the_decision_open() -> None:
    assert send(FakeKube(4, [AWAY])) is None


def test_a_custom_kind_that_does_not_answer_holds_up_no_other() -> None:
    """What converts its objects may be dead; the API server answers for all others."""

    class OneSilent(FakeKube):
        def patch_scale(self, target: ScaleTarget, replicas: int, resource_version: str) -> Scale:
            if target.kind == "Pool":
                raise SILENT
            return Scale(replicas, "2")

        def get_scale(self, target: ScaleTarget) -> Scale:
            raise SILENT

    scalings = [scaling(i, 6) for i in range(3)]
    pool = scalings[0].members[WHOLE]
    where = ScaleTarget("example.dev/v1", "Pool", "serving", "w0")
    scalings[0].members = {WHOLE: replace(pool, target=where)}
    view = fleet(3)
    view.targets.states[where.key] = TargetState("w0", "1", 4)
    found = patch_scalings(deps(OneSilent(4)), view, scalings, NOW)
    assert [each.result for each in found.actions] == [
        Result.UNKNOWN,
        Result.APPLIED,
        Result.APPLIED,
    ]
    assert found.settled == [each.key for each in scalings]


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


class SlowKube(FakeKube):
    """Each patch of a target named in `slow` takes so many seconds, and then meets its error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: dict[str, KubeError]) -> None:
        super().__init__(4)
        self.slow = slow
        self.now_s = 0.0
        self.asked: list[str] = []
        monkeypatch.setattr(patch_scales, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def patch_scale(self, target: ScaleTarget, replicas: int, resource_version: str) -> Scale:
        self.asked.append(target.name)
        if target.name in self.slow:
            self.now_s += 10.0
            raise self.slow[target.name]
        return Scale(replicas, "2")


HUNG = KubeError(500, "InternalError", "failed calling webhook: context deadline exceeded")


@pytest.mark.parametrize("trouble", [HUNG, FORBIDDEN, KubeError(503, "Unavailable", "no")])
def test_what_failed_slowly_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, trouble: KubeError
) -> None:
    kube, ours = SlowKube(monkeypatch, {"w0": trouble}), deps(FakeKube(4))
    ours = replace(ours, kube=kube)  # type: ignore[arg-type]
    found = patch_scalings(ours, fleet(1), [scaling(0, 6)], NOW)
    assert [(each.result, each.reason) for each in found.actions] == [
        (Result.FAILED, trouble.message)
    ]
    assert kube.asked == ["w0"]
    (failing,) = ours.memory.failing.values()
    assert (failing.message, failing.took_s) == (trouble.message, 10.0)
    kube.slow.clear()
    patch_scalings(ours, fleet(1), [scaling(0, 6)], NOW)
    assert ours.memory.failing == {}


def test_what_had_no_answer_keeps_its_intent_since_it_may_still_be_carried_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kube, ours = SlowKube(monkeypatch, {"w0": SILENT}), deps(FakeKube(4))
    found = patch_scalings(replace(ours, kube=kube), fleet(2), [scaling(0, 6)], NOW)  # type: ignore[arg-type]
    assert (found.actions, found.settled, kube.asked) == ([], [], ["w0"])
    ((key, failing),) = ours.memory.failing.items()
    assert (failing.message, failing.is_open) == ("no answer in time", True)
    assert asked_for(ours, key, TargetState("w0", "1", 4)) == 6, "budgets have to count it"


def test_after_a_slow_failure_others_of_its_namespace_are_left_and_all_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kube = SlowKube(monkeypatch, {"w0": HUNG, "w1": HUNG})
    scalings = [scaling(i, 6, "tenant" if i < 3 else "serving") for i in range(5)]
    view = fleet(5)
    for i in range(3):
        view.targets.states["apps", "Deployment", "tenant", f"w{i}"] = TargetState("d", "1", 4)
    ours = replace(deps(FakeKube(4)), kube=kube)  # type: ignore[arg-type]
    found = patch_scalings(ours, view, scalings, NOW)
    assert kube.asked == ["w0", "w3", "w4"]
    assert [each.result for each in found.actions] == [
        Result.FAILED,
        Result.APPLIED,
        Result.APPLIED,
    ]
    assert found.settled == [each.key for each in scalings], "what was not tried stays open"


def fleet(n: int) -> View:
    targets = {
        ("apps", "Deployment", "serving", f"w{i}"): TargetState(f"w{i}", "1", 4) for i in range(n)
    }
    return View([], [], Targets(targets), PodIndex(), set(), FreeGpus(()), {})


def scaling(number: int, desired: int, namespace: str = "serving") -> Scaling:
    given_resource = resource()
    given_resource["metadata"] |= {"name": f"w{number}", "uid": f"w{number}"}
    given_resource["metadata"]["namespace"] = namespace
    given_resource["spec"]["scaleTargetRef"]["name"] = f"w{number}"
    autoscaler = to_autoscaler(given_resource, {})
    wanted = decision(number + 1, desired=desired, workload_id=number)
    change = PartChange(WHOLE, 1.0, 0, 0.0, PlannedAction(wanted, Result.APPLIED, "", 4, desired))
    return Scaling(autoscaler, wanted, {WHOLE: change}, {WHOLE: autoscaler})


def test_what_goes_down_is_patched_before_what_goes_up() -> None:
    kube = FakeKube(4)
    sent: list[int] = []

    def note(target: ScaleTarget, replicas: int, version: str) -> Scale:
        sent.append(replicas)
        return Scale(replicas, "2")

    kube.patch_scale = note  # type: ignore[method-assign]
    scalings = [scaling(0, 7), scaling(1, 2), scaling(2, 6), scaling(3, 1)]
    found = patch_scalings(deps(kube), fleet(4), scalings, NOW)
    assert sent == [2, 1, 7, 6]
    assert [action.to_replicas for action in found.actions] == [7, 2, 6, 1]
    assert found.settled == [each.key for each in scalings]


def test_once_the_server_is_away_the_rest_is_left_open_too() -> None:
    """The one that was tried keeps its intent; the others were never tried, and theirs go."""
    scalings = [scaling(i, 6) for i in range(3)]
    found = patch_scalings(deps(FakeKube(4, [AWAY])), fleet(3), scalings, NOW)
    assert found.actions == []
    assert found.settled == [(2, 1), (3, 1)]


def test_what_a_former_leader_sent_late_is_applied_and_not_unchanged() -> None:
    kube = FakeKube(4, [(CONFLICT, 6)])
    where, wanted = situation(4), decision(desired=6, last_result="failed", n_attempts=1)
    action = PlannedAction(wanted, Result.APPLIED, "why", 4, 6)
    patch = ScalePatch(deps(kube), ScaleTarget("apps/v1", "Deployment", "s", "l"), where, NOW)
    assert result_of(patch.send(action, TargetState("d", "1", 4))) is Result.APPLIED
    assert kube.n_applied == 0


def test_a_rate_limit_holds_from_where_another_hand_left_the_target() -> None:
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    where = situation(4, behavior=behavior)
    assert where.spec is not None
    kube = FakeKube(4, [(CONFLICT, 2)])
    limit = TargetRates(where.spec, [], NOW)
    target = ScaleTarget("apps/v1", "Deployment", "serving", "llama")
    action = PlannedAction(decision(desired=6), Result.APPLIED, "why", 4, 6)
    done = ScalePatch(deps(kube), target, where, NOW, limit).send(action, TargetState("d", "1", 4))
    assert done is not None
    assert (done.from_replicas, done.to_replicas, kube.replicas) == (2, 4, 4)


def test_a_list_that_is_older_than_a_patch_is_known_to_be() -> None:
    ours = deps(FakeKube(4))
    target = ScaleTarget("apps/v1", "Deployment", "serving", "llama")
    action = PlannedAction(decision(desired=6), Result.APPLIED, "why", 4, 6)
    ScalePatch(ours, target, situation(4), NOW).send(action, TargetState("d", "1", 4))
    assert asked_for(ours, target.key, TargetState("d", "1", 4)) == 6
    assert asked_for(ours, target.key, TargetState("d", "3", 5)) == 5


def test_a_patch_that_was_refused_holds_nothing() -> None:
    ours = deps(FakeKube(4, [FORBIDDEN]))
    target = ScaleTarget("apps/v1", "Deployment", "serving", "llama")
    action = PlannedAction(decision(desired=6), Result.APPLIED, "why", 4, 6)
    ScalePatch(ours, target, situation(4), NOW).send(action, TargetState("d", "1", 4))
    assert asked_for(ours, target.key, TargetState("d", "1", 4)) == 4
