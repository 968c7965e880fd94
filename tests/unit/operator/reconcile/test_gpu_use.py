"""What targets hold, also where they cannot be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.ownership import PodIndex
from services.operator.cluster.targets import TargetState, missing, unreadable
from services.operator.plan.gpu_room import TargetUse
from services.operator.plan.plan import StoredDecision
from services.operator.reconcile import gpu_use
from services.operator.reconcile.budgets import _used
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.gpu_use import (
    FleetAtHand,
    gpus_in_use,
    target_uses,
    with_cell_parts,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, decision, resource


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_use.repository, "load_left_behind", lambda connection, since: [])


AUTOSCALER = to_autoscaler(resource(), {})
KEY = AUTOSCALER.target.key


def use_of(found: Targets, newest: StoredDecision | None = None, **changes: Any) -> list[TargetUse]:
    seen = View([AUTOSCALER], [None], found, PodIndex(), set(), FreeGpus(()), {})
    seen = replace(seen, **changes)
    deps = OperatorDeps(None, None, FixedClock(NOW), Settings())  # type: ignore[arg-type]
    fleet = FleetAtHand(seen, {AUTOSCALER.key: 1}, lambda: seen, seen)
    connection: Any = None
    known = {} if newest is None else {1: newest}
    return list(target_uses(connection, deps, fleet, known).values())


def test_a_target_that_is_seen() -> None:
    found = Targets({KEY: TargetState("u", "1", 4)})
    assert use_of(found, decision(desired=9)) == [TargetUse("H100", 2, 4, least=1)]


def test_a_target_that_is_gone_holds_nothing() -> None:
    gone = Targets({}, {KEY: missing(AUTOSCALER.target)})
    assert use_of(gone, decision(desired=9)) == [TargetUse("H100", 2, 0, least=1)]


def test_a_target_that_cannot_be_read_holds_what_was_decided_last(monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu_use.repository, "load_last_seen", lambda *given: {(1, ""): 3})
    unread = Targets({}, {KEY: unreadable("timed out")})
    assert use_of(unread, decision(desired=9)) == [TargetUse("H100", 2, 9, least=1)]
    assert use_of(unread, decision(desired=2)) == [TargetUse("H100", 2, 4, least=1)]


def test_what_was_never_seen_may_be_as_large_as_it_may(monkeypatch: Any) -> None:
    """A decision that was made without having seen it says nothing of what is there."""
    monkeypatch.setattr(gpu_use.repository, "load_last_seen", lambda *given: {})
    unread = Targets({}, {KEY: unreadable("timed out")})
    assert use_of(unread) == [TargetUse("H100", 2, 10, least=1)]
    assert use_of(unread, decision(desired=2)) == [TargetUse("H100", 2, 10, least=1)]


def test_a_target_that_cannot_be_read_holds_at_least_what_was_last_seen(monkeypatch: Any) -> None:
    asked: list[Any] = []

    def load(connection: Any, ids: list[int], parts: list[str]) -> dict[tuple[int, str], int]:
        asked.append((ids, parts))
        return {(1, ""): 6} if ids else {}

    monkeypatch.setattr(gpu_use.repository, "load_last_seen", load)
    unread = Targets({}, {KEY: unreadable("timed out")})
    assert use_of(unread) == [TargetUse("H100", 2, 6, least=1)]
    assert use_of(unread, decision(desired=9)) == [TargetUse("H100", 2, 9, least=1)]
    assert use_of(unread, decision(desired=2)) == [TargetUse("H100", 2, 6, least=1)]
    use_of(Targets({KEY: TargetState("u", "1", 4)}))
    use_of(Targets({}, {KEY: missing(AUTOSCALER.target)}))
    assert asked == [([1], [""])] * 3 + [([], [])] * 2, "of the unreadable ones only"


def test_a_spec_that_went_bad_holds_by_its_last_good_one(monkeypatch: Any) -> None:
    assert AUTOSCALER.spec is not None
    stored = {1: AUTOSCALER.spec.model_dump(mode="json")}
    monkeypatch.setattr(gpu_use.repository, "load_specs", lambda connection, ids: stored)
    found = Targets({KEY: TargetState("u", "1", 4)})
    bad = [replace(AUTOSCALER, spec=None, problem="no such class")]
    assert use_of(found, autoscalers=bad) == [TargetUse("H100", 2, 4, least=1)]


def test_a_stored_spec_that_was_spoilt_holds_by_what_can_be_told_of_it(monkeypatch: Any) -> None:
    """It keeps no other workload from its rise, and what it runs is not free either."""
    assert AUTOSCALER.spec is not None
    spoilt = AUTOSCALER.spec.model_dump(mode="json") | {"demand": "none such", "min_replicas": "x"}
    monkeypatch.setattr(gpu_use.repository, "load_specs", lambda connection, ids: {1: spoilt})
    found = Targets({KEY: TargetState("u", "1", 4)})
    bad = [replace(AUTOSCALER, spec=None, problem="no such class")]
    assert use_of(found, autoscalers=bad) == [TargetUse("H100", 2, 4, least=1)]
    monkeypatch.setattr(gpu_use.repository, "load_last_seen", lambda *given: {})
    unread = Targets({}, {KEY: unreadable("timed out")})
    assert use_of(unread, autoscalers=bad) == [TargetUse("H100", 2, 10, least=1)]


def test_a_spec_that_was_spoilt_before_its_object_went_holds_too(monkeypatch: Any) -> None:
    assert AUTOSCALER.spec is not None
    spoilt = AUTOSCALER.spec.model_dump(mode="json") | {"demand": 5}
    row = {"id": 1, "namespace": "serving", "name": "llama", "spec": spoilt}
    monkeypatch.setattr(gpu_use.repository, "load_left_behind", lambda connection, since: [row])
    found = Targets({KEY: TargetState("u", "1", 4)})
    assert use_of(found, autoscalers=[]) == [TargetUse("H100", 2, 4, least=1)]


@pytest.mark.parametrize(
    ("known", "parts", "held"),
    [
        ({"H100": 8}, {}, {"H100": 8}),
        ({"H100": 8}, {"H100": 5}, {"H100": 5}),
        ({"H100": 8}, {"H100": 12}, {"H100": 8}),
        ({}, {"H100": 5}, {"H100": 5}),
        ({}, {"H100": None}, {"H100": None}),
        ({"H100": None}, {"H100": 5}, {"H100": None}),
        ({"H100": 8}, {"H100": None}, {"H100": None}),
        ({"*": None}, {"H100": 5}, {"*": None, "H100": None}),
        ({"L4": 3}, {"H100": 0}, {"L4": 3, "H100": 0}),
    ],
)
def test_a_budget_holds_the_part_of_its_cluster(
    known: dict[str, int | None], parts: dict[str, int | None], held: dict[str, int | None]
) -> None:
    assert with_cell_parts(known, parts) == held


def shared() -> View:
    """Two autoscalers of one target; the younger one is listed first and errs in its hardware."""
    written = resource(gpuType="L4", gpusPerReplica=1)
    written["metadata"] |= {"name": "a-copy", "uid": "u2"}
    written["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    found = Targets({KEY: TargetState("u", "1", 4)})
    autoscalers = [to_autoscaler(written, {}), AUTOSCALER]
    return View(autoscalers, [None, None], found, PodIndex(), set(), FreeGpus(()), {})


def test_a_target_holds_what_the_autoscaler_says_that_keeps_it() -> None:
    seen = shared()
    ids = {each.key: id_ for id_, each in enumerate(seen.autoscalers)}
    deps = OperatorDeps(None, None, FixedClock(NOW), Settings())  # type: ignore[arg-type]
    connection: Any = None
    found = target_uses(connection, deps, FleetAtHand(seen, ids, lambda: seen, seen), {})
    assert found == {KEY: TargetUse("H100", 2, 4, least=1)}


def test_a_target_of_two_autoscalers_is_counted_once() -> None:
    seen = shared()
    assert [_used(seen, gpu_type) for gpu_type in ("H100", "L4")] == [(8, 1), (0, 0)]
    twice = replace(seen, autoscalers=[AUTOSCALER, replace(AUTOSCALER, name="b", uid="u3")])
    assert _used(twice, "H100") == (8, 1)
    deps = OperatorDeps(None, None, FixedClock(NOW), Settings())  # type: ignore[arg-type]
    assert gpus_in_use(deps, twice, "H100", twice.members(), {}).asked == 8
