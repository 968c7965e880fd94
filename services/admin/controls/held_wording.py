"""What is held of a workload, in words: until when really, and what holds it beside the pause."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.admin.controls.schemas import HeldView, PauseView
from services.admin.rest import formats

_HEADLINES = {
    "Both": "Scaling is paused",
    "ScaleIn": "Scale-in is held: it may grow, not shrink",
    "ScaleOut": "Scale-out is held: it may shrink, not grow",
}
_WHAT = {"Both": "Scaling", "ScaleIn": "Scale-in", "ScaleOut": "Scale-out"}


@dataclass(frozen=True, slots=True)
class HeldWords:
    """What is held.

    Attributes:
        headline: The directions.
        until: When scaling goes on, where that is one time; else the lines say it.
        lines: What holds it, where that is more than the pause that was made here.
        pause: When that pause ends, where something else holds longer; else empty.
    """

    headline: str
    until: str
    lines: Sequence[str]
    pause: str


def held_words(pause: PauseView) -> HeldWords | None:
    """What is held of a workload, in words; None: nothing is."""
    if not pause.held:
        if pause.direction is None:
            return None
        line = "Nothing asks for that any longer: the operator's next pass lets it go."
        return HeldWords(_HEADLINES[pause.direction], "", [line], "")
    is_pause = {one.source for one in pause.held} == {"pause"}
    until = {_until(one) for one in pause.held}
    ends = "" if pause.until_at is None else f" ends {formats.clock_time(pause.until_at)} UTC"
    return HeldWords(
        headline=_HEADLINES[_direction(pause.held)],
        until=f" {next(iter(until))}" if len(until) == 1 else "",
        lines=_lines(pause.held),
        pause=""
        if is_pause or pause.source != "api"
        else f"The pause that was made here{ends or ' lasts until resumed'}.",
    )


def _direction(held: Collection[HeldView]) -> str:
    return "Both" if len(held) > 1 else next(one.direction for one in held)


def _lines(held: Sequence[HeldView]) -> list[str]:
    """A sentence for each direction, or one for both; none where the pause alone holds."""
    said = {one.direction: f"is held {_until(one)} by {_by(one)}." for one in held}
    if all(one.source == "pause" for one in held):
        return []
    if len(held) > 1 and len(set(said.values())) == 1:
        return [f"{_WHAT['Both']} {said['ScaleIn']}"]
    return [f"{_WHAT[direction]} {words}" for direction, words in said.items()]


def _until(one: HeldView) -> str:
    if one.until_at is not None:
        return f"until {formats.clock_time(one.until_at)} UTC"
    return "until resumed" if one.source == "pause" else "without an end"


def _by(one: HeldView) -> str:
    reason = f" “{one.reason}”" if one.reason else ""
    if one.source == "freeze":
        return f"change freeze {one.freeze_id}{reason}"
    if one.source == "schedule":
        return f"schedule {one.schedule}"
    if one.source == "annotation":
        return "an annotation of the GPUAutoscaler"
    return f"the pause{reason}"
