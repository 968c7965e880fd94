"""Of several that hold the same, the one that lasts longest is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st
from sqlalchemy import RowMapping

from services.admin.controls.held_translate import Holders, held_of, paused_until
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.domain.controls import (
    Direction,
    Freeze,
    PauseControl,
    held_until,
    pause_changes,
)
from services.kernel.domain.workload import ScheduleSpec

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday
ENDLESS = datetime.max.replace(tzinfo=UTC)
END = st.one_of(st.none(), st.integers(1, 5))
Own = tuple[bool, int | None, bool, bool]


def at(n_hours: int | None) -> datetime | None:
    return None if n_hours is None else NOW + timedelta(hours=n_hours)


def spec(**changes: Any) -> WorkloadSpec:
    values: dict[str, Any] = {
        "target": "Deployment/llama",
        "demand": "request_rate_rps",
        "indicators": (IndicatorSpec(name="request_rate_rps", level=1),),
        "capacity": CapacitySpec(per_replica=10.0),
    }
    return WorkloadSpec.model_validate(values | changes)


def freeze(id_: int, direction: str, until: int, begins: int = -1) -> RowMapping:
    row = {"id": id_, "direction": direction, "from_at": at(begins), "until_at": at(until)}
    return cast(RowMapping, row | {"reason": "holiday"})


def stored(own: WorkloadSpec, pause: PauseControl | None, rows: Sequence[RowMapping]) -> Any:
    """What the operator stores of an object, and of what it says by itself."""
    freezes = [
        Freeze(direction=row["direction"], from_at=row["from_at"], until_at=row["until_at"])
        for row in rows
    ]
    held = held_until(pause, [one for one in freezes if one.covers("prod", "llama", NOW)], NOW)
    holds = own.model_copy(update=pause_changes(own, held))
    is_held = own.paused or own.scale_in_only or own.scale_out_only
    return Holders(holds, own if held and is_held else None, pause, rows)


def told(holders: Holders) -> dict[str, tuple[str, datetime | None]]:
    return {one.direction: (one.source, one.until_at) for one in held_of(holders, NOW)}


def test_nothing_holds_where_nobody_asked_for_it() -> None:
    assert held_of(Holders(spec(), None, None, []), NOW) == []
    over = PauseControl(until_at=NOW)
    assert held_of(Holders(spec(), None, over, [freeze(1, "Both", 0)]), NOW) == []


def test_who_holds_is_named() -> None:
    pause = PauseControl(direction="ScaleOut", until_at=at(1), reason="load test")
    found = held_of(stored(spec(), pause, [freeze(7, "ScaleDown", 2)]), NOW)
    assert [(h.direction, h.source, h.reason, h.freeze_id, h.schedule) for h in found] == [
        ("ScaleIn", "freeze", "holiday", 7, None),
        ("ScaleOut", "pause", "load test", None, None),
    ]


@pytest.mark.parametrize(
    ("freezes", "source", "until"),
    [
        ([freeze(1, "Both", 6, begins=3)], "pause", 2),  # it begins later than that
        ([freeze(1, "Both", 6, begins=2)], "freeze", 6),
        ([freeze(1, "Both", 4, begins=1), freeze(2, "Both", 9, begins=4)], "freeze", 9),
        ([freeze(2, "Both", 9, begins=4), freeze(1, "Both", 4, begins=1)], "freeze", 9),
    ],
)
def test_freezes_that_follow_each_other_hold_on(
    freezes: list[RowMapping], source: str, until: int
) -> None:
    holders = stored(spec(), PauseControl(until_at=at(2)), freezes)
    assert told(holders) == dict.fromkeys(("ScaleIn", "ScaleOut"), (source, at(until)))


@pytest.mark.parametrize(
    ("kind", "directions"), [("ScaleDown", ["ScaleIn"]), ("Both", ["ScaleIn", "ScaleOut"])]
)
def test_a_schedule_holds_until_its_window_is_over(kind: Any, directions: list[str]) -> None:
    day = ScheduleSpec(name="day", start_time="08:00", end_time="18:00", freeze=kind)
    night = ScheduleSpec(name="night", start_time="22:00", end_time="06:00", freeze="Both")
    bounds = ScheduleSpec(name="most", start_time="08:00", end_time="23:00", max_replicas=4)
    found = held_of(stored(spec(schedules=(day, night, bounds)), None, []), NOW)
    assert [(h.direction, h.schedule, h.until_at) for h in found] == [
        (direction, "day", at(6)) for direction in directions
    ]


def test_what_the_operator_still_holds_is_told_as_the_objects() -> None:
    held = spec(paused=True, paused_until=(NOW + timedelta(hours=1)).isoformat())
    assert told(Holders(held, None, None, [])) == {
        "ScaleIn": ("annotation", at(1)),
        "ScaleOut": ("annotation", at(1)),
    }
    assert told(Holders(held, spec(), None, [])) == {}


@given(
    own=st.tuples(st.booleans(), END, st.booleans(), st.booleans()),
    pause=st.none() | st.tuples(st.sampled_from(("Both", "ScaleIn", "ScaleOut")), END),
    freezes=st.lists(st.tuples(st.sampled_from(("Both", "ScaleDown")), st.integers(1, 5))),
)
def test_a_direction_is_held_until_the_last_that_holds_it_is_over(
    own: Own,
    pause: tuple[Direction, int | None] | None,
    freezes: list[tuple[str, int]],
) -> None:
    is_paused, n_hours, in_only, out_only = own
    until = at(n_hours) if is_paused else None
    told_by_object = spec(
        paused=is_paused,
        paused_until=until and until.isoformat(),
        scale_in_only=in_only,
        scale_out_only=out_only,
    )
    control = pause and PauseControl(direction=pause[0], until_at=at(pause[1]))
    rows = [freeze(n, direction, end) for n, (direction, end) in enumerate(freezes)]
    ends: dict[str, list[datetime]] = {"ScaleIn": [], "ScaleOut": []}
    for direction, is_one_way in (("ScaleIn", out_only), ("ScaleOut", in_only)):
        ends[direction] += [ENDLESS] if is_one_way else []
        ends[direction] += [until or ENDLESS] if is_paused else []
        if pause is not None and pause[0] in ("Both", direction):
            ends[direction].append(at(pause[1]) or ENDLESS)
        for kind, end in freezes:
            if kind == "Both" or direction == "ScaleIn":
                ends[direction].append(NOW + timedelta(hours=end))
    found = told(stored(told_by_object, control, rows))
    assert {direction: end or ENDLESS for direction, (_, end) in found.items()} == {
        direction: max(every) for direction, every in ends.items() if every
    }


@pytest.mark.parametrize("text", [None, "", "soon", "2026-01-05T13:00:00"])
def test_an_end_that_cannot_be_read_is_none(text: str | None) -> None:
    assert paused_until(spec(paused=True, paused_until=text)) is None
