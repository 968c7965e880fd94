"""Until when each direction of scaling is held, and by what; pure.

Several may hold the same: a pause that was made through the API, annotations of the GPUAutoscaler,
schedules and change freezes. The one that lasts longest says when scaling goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import RowMapping

from services.admin.controls.schemas import HeldBy, HeldView
from services.admin.workloads.translate import is_paused
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.controls import Direction, PauseControl
from services.kernel.domain.schedules import end_of, is_in_force

OneWay = Literal["ScaleIn", "ScaleOut"]
BOTH: tuple[OneWay, OneWay] = ("ScaleIn", "ScaleOut")
_ENDLESS = datetime.max.replace(tzinfo=UTC)


class _Hold(NamedTuple):
    """Something that holds a direction, or will.

    Attributes:
        begins_at: None: it holds now.
        until_at: None: it has no end of its own.
    """

    direction: Direction
    until_at: datetime | None
    source: HeldBy
    reason: str = ""
    schedule: str | None = None
    freeze_id: int | None = None
    begins_at: datetime | None = None

    @property
    def end(self) -> datetime:
        """To compare by."""
        return self.until_at or _ENDLESS

    def is_of(self, direction: OneWay) -> bool:
        """Check whether it holds a direction."""
        return self.direction in ("Both", direction)

    def to_view(self, direction: OneWay) -> HeldView:
        """It as the API returns it, for one direction."""
        return HeldView(
            direction=direction,
            until_at=self.until_at,
            source=self.source,
            reason=self.reason,
            schedule=self.schedule,
            freeze_id=self.freeze_id,
        )


class Holders(NamedTuple):
    """All that may hold a workload.

    Attributes:
        spec: What holds, as the operator stored it last.
        own: What the GPUAutoscaler says by itself; None: it is not stored beside that.
        pause: That was made through the API.
        freezes: Those that cover the workload and are not over.
    """

    spec: WorkloadSpec
    own: WorkloadSpec | None
    pause: PauseControl | None
    freezes: Sequence[RowMapping]


def held_of(holders: Holders, now: datetime) -> list[HeldView]:
    """What holds each direction for longest; a direction that nothing holds is left out."""
    made = [*_of_pause(holders.pause, now), *_of_freezes(holders.freezes, now)]
    every = [*_of_annotations(holders, made, now), *made, *_of_schedules(holders.spec, now)]
    found = [(direction, _longest(direction, every)) for direction in BOTH]
    return [hold.to_view(direction) for direction, hold in found if hold is not None]


def _longest(direction: OneWay, every: Iterable[_Hold]) -> _Hold | None:
    """What holds a direction last, by what holds it now and what begins before that is over."""
    own = [hold for hold in every if hold.is_of(direction)]
    last = max((h for h in own if h.begins_at is None), key=lambda h: h.end, default=None)
    if last is None:
        return None
    later = [hold for hold in own if hold.begins_at is not None]
    for hold in sorted(later, key=lambda one: one.begins_at or _ENDLESS):
        if (hold.begins_at or _ENDLESS) <= last.end < hold.end:
            last = hold
    return last


def _of_pause(pause: PauseControl | None, now: datetime) -> Iterator[_Hold]:
    if pause is not None and pause.is_active(now):
        yield _Hold(pause.direction, pause.until_at, "pause", pause.reason)


def _of_freezes(rows: Iterable[RowMapping], now: datetime) -> Iterator[_Hold]:
    for row in rows:
        if now < row["until_at"]:
            yield _Hold(
                # as the operator has it: a direction that it does not know holds both
                "ScaleIn" if row["direction"] == "ScaleDown" else "Both",
                row["until_at"],
                "freeze",
                row["reason"],
                freeze_id=row["id"],
                begins_at=None if row["from_at"] <= now else row["from_at"],
            )


def _of_annotations(holders: Holders, made: Sequence[_Hold], now: datetime) -> Iterator[_Hold]:
    """Holds of the object: what is stored of it, but for what was made through the API.

    Where the object holds anything beside those, the operator stores what it says by itself.
    """
    spec = holders.spec if holders.own is None else holders.own
    known = made if holders.own is None else []
    if is_paused(spec, now):
        end = paused_until(spec)
        if not any(hold.direction == "Both" and hold.until_at == end for hold in known):
            yield _Hold("Both", end, "annotation")
    flags: tuple[tuple[OneWay, bool], ...] = (
        ("ScaleIn", spec.scale_out_only),
        ("ScaleOut", spec.scale_in_only),
    )
    for direction, is_held in flags:
        if is_held and not any(hold.direction == direction for hold in known):
            yield _Hold(direction, None, "annotation")


def _of_schedules(spec: WorkloadSpec, now: datetime) -> Iterator[_Hold]:
    for one in spec.schedules:
        if one.freeze is not None and is_in_force(one, now):
            direction: Direction = "Both" if one.freeze == "Both" else "ScaleIn"
            yield _Hold(direction, end_of(one, now), "schedule", schedule=one.name)


def paused_until(spec: WorkloadSpec) -> datetime | None:
    """When the pause of a spec ends; None: it has no end that can be read."""
    try:
        at = datetime.fromisoformat(spec.paused_until or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
