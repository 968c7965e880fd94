"""Controls as the API shows them: what was set, what holds, and whether the two agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import RowMapping

from services.admin.controls.translate import (
    Controlled,
    held_direction,
    to_pause,
    to_policy,
    to_schedules,
)
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.domain.controls import Controls, PauseControl, PolicyControl
from services.kernel.domain.workload import ScheduleSpec, SlaSpec

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday
LATER = NOW + timedelta(hours=1)
ROW = cast(
    RowMapping,
    {
        "cluster": "default",
        "namespace": "prod",
        "name": "llama",
        "spec_version": 3,
        "version": 7,
        "updated_by": "ops (0123456789)",
        "updated_at": NOW - timedelta(hours=3),
    },
)
DAY = ScheduleSpec(name="day", start_time="08:00", end_time="18:00", min_replicas=4)
NIGHT = ScheduleSpec(name="night", start_time="22:00", end_time="06:00", max_replicas=5)


def spec(**changes: Any) -> WorkloadSpec:
    """A workload of 2 to 24 replicas."""
    values: dict[str, Any] = {
        "target": "Deployment/llama",
        "min_replicas": 2,
        "max_replicas": 24,
        "demand": "request_rate_rps",
        "indicators": (IndicatorSpec(name="request_rate_rps", level=1),),
        "capacity": CapacitySpec(per_replica=10.0),
        "sla": SlaSpec(epsilon=0.02, kind="DemandFraction", window_s=3600.0, sla_class="gold"),
    }
    return WorkloadSpec.model_validate(values | changes)


def found(holds: WorkloadSpec, controls: Controls, own: WorkloadSpec | None = None) -> Controlled:
    """A workload of which `holds` is stored, as its object says unless `own` does."""
    return Controlled(ROW, holds, own or holds, controls)


def paused(direction: Any = "Both", until_at: datetime | None = LATER) -> Controls:
    """A pause made through the API."""
    return Controls(pause=PauseControl(direction=direction, until_at=until_at, reason="load test"))


def test_a_policy_shows_what_holds_and_what_was_set() -> None:
    controls = Controls(policy=PolicyControl(max_replicas=30))
    view = to_policy(found(spec(max_replicas=30), controls))
    assert (view.namespace, view.workload) == ("prod", "llama")
    assert view.in_force.model_dump() == {
        "mode": "Advisory",
        "min_replicas": 2,
        "max_replicas": 30,
        "epsilon": 0.02,
        "price_usd_per_gpu_hour": 2.5,
        "fallback_replicas": None,
    }
    assert view.overrides == {"max_replicas": 30}
    assert (view.sla_class, view.risk_kind, view.risk_window_s) == ("gold", "DemandFraction", 3600)
    assert view.behavior == spec().behavior.model_dump(mode="json")
    assert (view.spec_version, view.version) == (3, 7)
    assert (view.updated_by, view.updated_at) == (ROW["updated_by"], ROW["updated_at"])


@pytest.mark.parametrize(
    ("policy", "is_in_force"),
    [
        ({}, True),
        ({"max_replicas": 24}, True),
        ({"max_replicas": 30}, False),
        ({"epsilon": 0.01}, False),
        ({"mode": "Auto"}, False),
        ({"min_replicas": 25}, False),  # it does not fit and is left out
    ],
)
def test_a_policy_is_in_force_once_the_spec_follows_it(
    policy: dict[str, Any], is_in_force: bool
) -> None:
    controls = Controls(policy=PolicyControl.model_validate(policy))
    assert to_policy(found(spec(), controls)).is_in_force is is_in_force


def test_a_field_that_does_not_fit_the_object_is_named_and_keeps_the_whole_out_of_force() -> None:
    controls = Controls(policy=PolicyControl(mode="Auto", max_replicas=4))
    own = spec(min_replicas=5)
    view = to_policy(found(spec(min_replicas=5, mode="Auto"), controls, own))
    assert view.overrides == {"mode": "Auto", "max_replicas": 4}
    assert list(view.left_out) == ["max_replicas"]
    assert "min_replicas=5 must be <= max_replicas=4" in view.left_out["max_replicas"]
    assert not view.is_in_force


def test_what_was_taken_back_is_in_force_once_it_holds_no_longer() -> None:
    own = spec()
    assert not to_policy(found(spec(max_replicas=30), Controls(), own)).is_in_force
    assert to_policy(found(own, Controls(), own)).is_in_force


def test_schedules_that_were_taken_back_are_the_objects_own_before_the_spec_follows() -> None:
    view = to_schedules(found(spec(schedules=(NIGHT,)), Controls(), spec(schedules=(DAY,))), NOW)
    assert [one.name for one in view.schedules] == ["day"]
    assert (view.source, view.is_in_force) == ("kubernetes", False)


def test_nothing_is_held_where_nobody_paused() -> None:
    view = to_pause(found(spec(), Controls()), NOW)
    assert (view.is_paused, view.direction, view.until_at, view.source) == (False, None, None, None)
    assert (view.reason, view.is_in_force, view.version) == ("", True, 7)
    assert (view.updated_by, view.updated_at) == (None, None)


@pytest.mark.parametrize(
    ("held", "is_in_force"),
    [
        ({}, False),
        ({"scale_out_only": True}, True),
        ({"scale_in_only": True}, False),
        ({"paused": True}, True),
    ],
)
def test_a_pause_of_the_api_is_in_force_once_the_spec_holds_it(
    held: dict[str, Any], is_in_force: bool
) -> None:
    view = to_pause(found(spec(**held), paused("ScaleIn")), NOW)
    assert (view.is_paused, view.direction, view.source) == (True, "ScaleIn", "api")
    assert (view.until_at, view.reason) == (LATER, "load test")
    assert (view.updated_by, view.updated_at) == (ROW["updated_by"], ROW["updated_at"])
    assert view.is_in_force is is_in_force


@pytest.mark.parametrize(
    ("held", "direction", "is_both_held"),
    [
        ({"paused": True}, "ScaleIn", True),
        ({"paused": True}, "ScaleOut", True),
        ({"scale_in_only": True, "scale_out_only": True}, "ScaleIn", True),
        ({"paused": True}, "Both", False),
        ({"scale_out_only": True}, "ScaleIn", False),
        ({}, "ScaleIn", False),
    ],
)
def test_what_a_freeze_holds_beside_a_pause_in_one_direction_is_said(
    held: dict[str, Any], direction: str, is_both_held: bool
) -> None:
    view = to_pause(found(spec(**held), paused(direction)), NOW)
    assert (view.direction, view.is_both_held) == (direction, is_both_held)
    assert not to_pause(found(spec(**held), Controls()), NOW).is_both_held


def test_a_pause_of_the_api_that_is_over_is_none() -> None:
    over = to_pause(found(spec(), paused(until_at=NOW)), NOW)
    assert over == to_pause(found(spec(), Controls()), NOW)


@pytest.mark.parametrize(
    ("text", "until_at"),
    [
        (LATER.isoformat(), LATER),
        (None, None),
        ("soon", None),
        ("2026-01-05T13:00:00", None),  # without an offset it is no time
    ],
)
def test_a_pause_of_the_object_ends_when_its_annotation_says(
    text: str | None, until_at: datetime | None
) -> None:
    view = to_pause(found(spec(paused=True, paused_until=text), Controls()), NOW)
    assert (view.direction, view.source, view.until_at) == ("Both", "kubernetes", until_at)
    assert (view.is_in_force, view.reason, view.updated_by) == (True, "", None)


def test_half_a_pause_of_the_object_has_no_end() -> None:
    held = spec(scale_in_only=True, paused_until=NOW.isoformat())
    view = to_pause(found(held, Controls()), NOW)
    assert (view.direction, view.source, view.until_at) == ("ScaleOut", "kubernetes", None)


@given(is_paused=st.booleans(), in_only=st.booleans(), out_only=st.booleans())
def test_a_direction_is_held_unless_the_spec_leaves_it_open(
    is_paused: bool, in_only: bool, out_only: bool
) -> None:
    held = held_direction(
        spec(paused=is_paused, scale_in_only=in_only, scale_out_only=out_only), NOW
    )
    assert (held in ("Both", "ScaleOut")) == (is_paused or in_only)
    assert (held in ("Both", "ScaleIn")) == (is_paused or out_only)


def test_schedules_of_the_object_are_shown_with_what_holds_now() -> None:
    view = to_schedules(found(spec(schedules=(DAY, NIGHT)), Controls()), NOW)
    assert (view.namespace, view.workload, view.version) == ("prod", "llama", 7)
    assert (view.source, view.is_in_force) == ("kubernetes", True)
    assert [(one.name, one.is_in_force) for one in view.schedules] == [
        ("day", True),
        ("night", False),
    ]
    assert view.schedules[0].model_dump(exclude={"is_in_force"}) == DAY.model_dump() | {
        "days_of_week": list(range(7))
    }


def test_schedules_of_the_api_take_their_place_and_wait_for_the_spec() -> None:
    controls = Controls(schedules=(NIGHT,))
    view = to_schedules(found(spec(schedules=(DAY,)), controls), NOW)
    assert [one.name for one in view.schedules] == ["night"]
    assert (view.source, view.is_in_force) == ("api", False)
    assert to_schedules(found(spec(schedules=(NIGHT,)), controls), NOW).is_in_force


def test_no_schedules_can_be_set_too() -> None:
    view = to_schedules(found(spec(schedules=(DAY,)), Controls(schedules=())), NOW)
    assert (view.schedules, view.source, view.is_in_force) == ([], "api", False)
