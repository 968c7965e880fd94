"""Pauses hold the changes that they are about; versions of a group name the same target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.operator.resource.autoscaler import PartTarget, Pause, ScaleTarget
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, STEP, resource


@pytest.mark.parametrize(
    ("pause", "up", "down"),
    [
        (Pause(), False, False),
        (Pause(is_all=True), True, True),
        (Pause(is_all=True, until=NOW), False, False),
        (Pause(is_all=True, until=NOW + STEP), True, True),
        (Pause(is_scale_in=True), False, True),
        (Pause(is_scale_out=True), True, False),
    ],
)
def test_a_pause_holds_its_direction_until_its_end(pause: Pause, up: bool, down: bool) -> None:
    assert (pause.holds(2, 3, NOW), pause.holds(3, 2, NOW)) == (up, down)
    assert pause.is_partial is (up != down)
    assert pause.holds(2, 2, NOW) is pause.is_active(NOW)


def test_a_target_is_the_same_in_every_version_of_its_group() -> None:
    old, new = (ScaleTarget(f"apps/{v}", "Deployment", "a", "b") for v in ("v1beta1", "v1"))
    assert old.key == new.key == ("apps", "Deployment", "a", "b")
    assert ScaleTarget("v1", "Pod", "a", "b").key[0] == ""
    assert new.label == "Deployment/b"


def test_the_targets_are_those_of_the_variants_where_there_are_some() -> None:
    autoscaler = to_autoscaler(resource(), {})
    assert autoscaler.key == ("serving", "llama")
    assert autoscaler.targets == (autoscaler.target,)
    other = ScaleTarget("apps/v1", "Deployment", "serving", "llama-l4")
    variant = PartTarget("l4", other, None)  # type: ignore[arg-type]
    assert replace(autoscaler, parts=(variant,)).targets == (other,)
