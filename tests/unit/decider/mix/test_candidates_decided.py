"""Decisions keep to what can be scheduled and changed."""

from __future__ import annotations

from tests.unit.decider.mix.decided import counts, one
from tests.unit.decider.variant_sets import h100, l4, mixed


def test_what_cannot_be_scheduled_is_not_asked_for() -> None:
    states = (h100(10, schedulable_gpus=1), l4(schedulable_gpus=2))
    decision = one(mixed("m", *states), level=300.0)
    assert counts(decision) == {"h100": 11, "l4": 2}
    assert decision.binding_constraint == "schedulable"
    assert str(decision.reason) == "scale_up_risk"
    assert "no more GPUs can be scheduled" in (decision.mix.detail if decision.mix else "")


def test_a_variant_that_is_held_stays_and_the_other_one_serves() -> None:
    decision = one(mixed("m", h100(10, held="HorizontalPodAutoscaler/x scales it"), l4()), 120.0)
    assert counts(decision)["h100"] == 10
    assert counts(decision)["l4"] > 0
    assert "HorizontalPodAutoscaler/x" in (decision.mix.detail if decision.mix else "")
