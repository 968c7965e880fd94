"""Pauses: what the options ask for, what is written, and the words of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.cli.kubectl.pause import (
    WantedPause,
    describe_pause,
    pause_annotations,
    pause_changes,
    resume_changes,
    to_wanted_pause,
)
from services.kernel.errors import InvalidInput
from services.operator.resource.autoscaler import (
    PAUSED,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
    PAUSED_UNTIL,
)
from services.operator.resource.translate import to_pause

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BOTH = (False, False)


def written(request: WantedPause, before: dict[str, str] | None = None) -> dict[str, str]:
    after = {**(before or {}), **pause_changes(request)}
    return {name: value for name, value in after.items() if value is not None}


@pytest.mark.parametrize(
    ("until", "for_", "expected"),
    [
        ("2026-01-05T18:00:00Z", None, "2026-01-05T18:00:00Z"),
        ("2026-01-05T18:00:00+02:00", None, "2026-01-05T16:00:00Z"),
        (None, "1h30m", "2026-01-05T13:30:00Z"),
        (None, "2d", "2026-01-07T12:00:00Z"),
    ],
)
def test_an_end_is_read_and_written_in_utc(
    until: str | None, for_: str | None, expected: str
) -> None:
    request = to_wanted_pause(until, for_, *BOTH, NOW)
    assert written(request, {PAUSED: "true"}) == {PAUSED_UNTIL: expected}
    assert describe_pause(written(request), NOW) == f"paused until {expected}"


@pytest.mark.parametrize(
    ("until", "for_", "directions", "message"),
    [
        ("2026-01-05T18:00:00", None, BOTH, "has no time zone"),
        ("tomorrow", None, BOTH, "--until=tomorrow cannot be read"),
        ("2026-01-05T12:00:00Z", None, BOTH, "is not after now"),
        (None, "90", BOTH, "must be a duration with its unit"),
        (None, "0s", BOTH, "is not after now"),
        (None, "9999999999d", BOTH, "--for=9999999999d"),
        ("2026-01-05T18:00:00Z", "2h", BOTH, "give one of them"),
        (None, None, (True, True), "leave both out to hold both"),
        (None, "2h", (True, False), "hold both directions"),
    ],
)
def test_what_cannot_be_asked_for(
    until: str | None, for_: str | None, directions: tuple[bool, bool], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        to_wanted_pause(until, for_, *directions, NOW)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (WantedPause(), PAUSED),
        (WantedPause(is_scale_in=True), PAUSED_SCALE_IN),
        (WantedPause(is_scale_out=True), PAUSED_SCALE_OUT),
    ],
)
def test_what_is_written_is_what_the_operator_reads(request_: WantedPause, name: str) -> None:
    before = {PAUSED_UNTIL: "2026-01-06T00:00:00Z", PAUSED_SCALE_IN: "true", "team": "ml"}
    after = written(request_, before)
    assert after == {"team": "ml", name: "true"}
    pause = to_pause(after)
    assert (pause.is_all, pause.is_scale_in, pause.is_scale_out) == (
        name == PAUSED,
        request_.is_scale_in,
        request_.is_scale_out,
    )


def test_resuming_leaves_other_annotations_alone() -> None:
    assert set(resume_changes()) == {
        PAUSED,
        PAUSED_UNTIL,
        PAUSED_SCALE_IN,
        PAUSED_SCALE_OUT,
    }
    assert set(resume_changes().values()) == {None}
    assert pause_annotations({"team": "ml", PAUSED: "true"}) == {PAUSED: "true"}


def test_a_lapsed_pause_reads_as_none() -> None:
    assert describe_pause({PAUSED_UNTIL: "2026-01-05T11:00:00Z"}, NOW) == "not paused"
