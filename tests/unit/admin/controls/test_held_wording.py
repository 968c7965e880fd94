"""What is held, as the console says it: the time at which scaling goes on, never an earlier one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.admin.controls.held_wording import held_words
from services.admin.controls.schemas import HeldView, PauseView

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def hold(direction: Any, n_hours: int | None, source: Any = "pause", **changes: Any) -> HeldView:
    until = None if n_hours is None else NOW + timedelta(hours=n_hours)
    return HeldView(direction=direction, until_at=until, source=source, **changes)


def both(n_hours: int | None, source: Any = "pause", **changes: Any) -> list[HeldView]:
    return [hold(direction, n_hours, source, **changes) for direction in ("ScaleIn", "ScaleOut")]


def pause(held: list[HeldView], **changes: Any) -> PauseView:
    values = {"namespace": "prod", "cluster": "default", "workload": "llama", "version": 1}
    values |= {"is_paused": bool(held), "is_in_force": True, "held": held}
    return PauseView.model_validate(values | changes)


def made_here(held: list[HeldView], n_hours: int | None = 1) -> PauseView:
    until = None if n_hours is None else NOW + timedelta(hours=n_hours)
    return pause(held, source="api", direction="Both", until_at=until)


def test_nothing_is_said_where_nothing_is_held() -> None:
    assert held_words(pause([])) is None


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (both(1), "Scaling is paused until 5 Jan 13:00 UTC"),
        (both(None), "Scaling is paused until resumed"),
        ([hold("ScaleIn", 1)], "Scale-in is held: it may grow, not shrink until 5 Jan 13:00 UTC"),
        ([hold("ScaleOut", 1)], "Scale-out is held: it may shrink, not grow until 5 Jan 13:00 UTC"),
    ],
)
def test_a_pause_that_alone_holds_is_told_in_one_line(held: list[HeldView], said: str) -> None:
    found = held_words(made_here(held))
    assert found is not None
    assert (found.headline + found.until, found.lines, found.pause) == (said, [], "")


@pytest.mark.parametrize(
    ("held", "until", "lines"),
    [
        (
            both(6, "freeze", freeze_id=7, reason="holiday"),
            " until 5 Jan 18:00 UTC",
            ["Scaling is held until 5 Jan 18:00 UTC by change freeze 7 “holiday”."],
        ),
        (
            [hold("ScaleIn", 6, "schedule", schedule="night"), hold("ScaleOut", 1)],
            "",
            [
                "Scale-in is held until 5 Jan 18:00 UTC by schedule night.",
                "Scale-out is held until 5 Jan 13:00 UTC by the pause.",
            ],
        ),
        (
            both(None, "annotation"),
            " without an end",
            ["Scaling is held without an end by an annotation of the GPUAutoscaler."],
        ),
    ],
)
def test_what_holds_longer_than_the_pause_says_until_when(
    held: list[HeldView], until: str, lines: list[str]
) -> None:
    found = held_words(made_here(held))
    assert found is not None
    assert (found.headline, found.until, found.lines) == ("Scaling is paused", until, lines)
    assert found.pause == "The pause that was made here ends 5 Jan 13:00 UTC."
    endless = held_words(made_here(held, None))
    assert endless is not None
    assert endless.pause == "The pause that was made here lasts until resumed."
    alone = held_words(pause(held, source="kubernetes", direction="Both"))
    assert alone is not None
    assert (alone.lines, alone.pause) == (lines, "")


def test_what_nobody_asks_for_any_longer_is_told_as_that() -> None:
    found = held_words(pause([], is_paused=True, direction="ScaleIn", source="kubernetes"))
    assert found is not None
    assert found.headline == "Scale-in is held: it may grow, not shrink"
    assert "the operator's next pass lets it go" in found.lines[0]
