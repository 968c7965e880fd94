"""A scaling of one target or of several, capped, and the action that it comes to."""

from __future__ import annotations

from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import PlannedAction, Result
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import decision, resource

AUTOSCALER = to_autoscaler(resource(), {})


def scaling(**counts: tuple[int, int]) -> Scaling:
    made = decision(7, desired=6, n_attempts=2)
    changes = {
        name: PartChange(name, 1.0, 0, 1.0, PlannedAction(made, Result.APPLIED, "why", *pair))
        for name, pair in counts.items()
    }
    return Scaling(AUTOSCALER, made, changes, dict.fromkeys(changes, AUTOSCALER))


def one() -> Scaling:
    return scaling(**{WHOLE: (4, 6)})


def test_its_key_is_that_of_the_action() -> None:
    assert one().key == (7, 3) == (7, one().action().attempt)


def test_a_cap_is_applied_as_far_as_it_goes_and_says_why() -> None:
    found = one()
    found.cap(WHOLE, 5, "no room")
    action = found.action()
    assert (action.result, action.to_replicas) == (Result.APPLIED, 5)
    assert action.reason == "why; 5 of 6 for now: no room"
    assert found.changes[WHOLE].action.decision.desired == 5  # for a plan after a conflict
    assert action.decision.desired == 6


def test_a_cap_at_what_is_there_waits() -> None:
    found = one()
    found.cap(WHOLE, 4, "no room")
    assert found.patches == []
    assert (found.action().result, found.action().reason) == (Result.WAITING, "no room")


def test_of_several_targets_what_goes_is_applied_and_the_rest_is_named() -> None:
    found = scaling(prefill=(4, 2), decode=(2, 4))
    found.cap("decode", 2, "no room")
    action = found.action()
    assert (action.result, action.from_replicas, action.to_replicas) == (Result.APPLIED, 6, 4)
    assert action.reason.endswith("decode: no room")
    found.cap("prefill", 4, "no room")
    assert found.action().result is Result.WAITING
