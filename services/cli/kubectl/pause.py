"""Pauses and resumptions as annotations of a GPUAutoscaler, and in words; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.kernel.errors import InvalidInput
from services.operator.resource.autoscaler import (
    PAUSED,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
    PAUSED_UNTIL,
)
from services.operator.resource.quantities import parse_duration_s
from services.operator.resource.translate import parse_time, to_pause

PAUSE_ANNOTATIONS = (PAUSED, PAUSED_UNTIL, PAUSED_SCALE_IN, PAUSED_SCALE_OUT)
Changes = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class WantedPause:
    """A pause that a user asks for; without a direction everything is held."""

    until: datetime | None = None
    is_scale_in: bool = False
    is_scale_out: bool = False


def stamp(at: datetime) -> str:
    """A time as the operator reads it, in UTC to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def to_wanted_pause(
    until: str | None, for_: str | None, is_scale_in: bool, is_scale_out: bool, now: datetime
) -> WantedPause:
    """The pause that the options ask for.

    Args:
        until: RFC 3339 with an offset.
        for_: A duration with its unit, e.g. `2h`.
        is_scale_in: Only scaling in is held.
        is_scale_out: Only scaling out is held.
        now: Aware.

    Raises:
        InvalidInput: They cannot be read, contradict each other, or lie in the past.
    """
    if is_scale_in and is_scale_out:
        raise InvalidInput("--scale-in-only and --scale-out-only: leave both out to hold both")
    if until is not None and for_ is not None:
        raise InvalidInput("--until and --for: give one of them")
    end = _end(until, for_, now)
    if end is not None and (is_scale_in or is_scale_out):
        raise InvalidInput(
            "--until and --for hold both directions; with --scale-in-only or --scale-out-only the "
            "pause lasts until `kubectl harmony resume`"
        )
    return WantedPause(end, is_scale_in, is_scale_out)


def _end(until: str | None, for_: str | None, now: datetime) -> datetime | None:
    try:
        if until is not None:
            option, end = f"--until {until}", parse_time(until)
        elif for_ is not None:
            option, end = f"--for {for_}", now + timedelta(seconds=parse_duration_s(for_))
        else:
            return None
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"--until={until} cannot be read: {error}" if until else f"--for={for_}: {error}"
        ) from error
    if end <= now:
        raise InvalidInput(f"{option}: {stamp(end)} is not after now ({stamp(now)})")
    return end


def pause_changes(request: WantedPause) -> Changes:
    """Annotations that make the pause exactly what was asked, whatever was there before."""
    changes: Changes = dict.fromkeys(PAUSE_ANNOTATIONS)
    if request.until is not None:
        changes[PAUSED_UNTIL] = stamp(request.until)
    elif request.is_scale_in:
        changes[PAUSED_SCALE_IN] = "true"
    elif request.is_scale_out:
        changes[PAUSED_SCALE_OUT] = "true"
    else:
        changes[PAUSED] = "true"
    return changes


def resume_changes() -> Changes:
    """Annotations of a pause taken away."""
    return dict.fromkeys(PAUSE_ANNOTATIONS)


def pause_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that are about pausing."""
    return {name: annotations[name] for name in PAUSE_ANNOTATIONS if name in annotations}


def describe_pause(annotations: Mapping[str, str], now: datetime) -> str:
    """The pause in words, as the operator reads it at `now`."""
    try:
        pause = to_pause(annotations)
    except ValueError as error:
        return f"unreadable ({error})"
    if pause.is_active(now):
        return "paused" if pause.until is None else f"paused until {stamp(pause.until)}"
    if pause.is_scale_in and pause.is_scale_out:
        return "paused in both directions"
    if pause.is_scale_in:
        return "scaling in paused, replicas are added only"
    if pause.is_scale_out:
        return "scaling out paused, replicas are removed only"
    return "not paused"
