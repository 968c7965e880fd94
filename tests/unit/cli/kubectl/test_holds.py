"""Holds of the API in words; what holds another workload, or holds no longer, is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.admin.controls.schemas import PauseView
from services.admin.freezes.schemas import FreezeView
from services.cli.kubectl.holds import to_holds
from tests.unit.cli.kubectl.views import NOW

END = NOW + timedelta(hours=1)


def pause(**changes: Any) -> PauseView:
    values = {"namespace": "serving", "cluster": "default", "workload": "llama", "version": 1}
    values |= {"is_paused": False, "is_in_force": True}
    return PauseView.model_validate(values | changes)


def freeze(**changes: Any) -> FreezeView:
    values = {"id": 7, "cluster": "default", "namespace": "serving", "workload": None}
    values |= {"direction": "Both", "from_at": NOW, "until_at": END, "reason": ""}
    values |= {"is_in_force": True, "created_by": "ada", "created_at": NOW}
    return FreezeView.model_validate(values | changes)


def test_what_an_annotation_holds_is_no_hold_of_the_api() -> None:
    held = pause(is_paused=True, direction="Both", source="kubernetes")
    assert to_holds(held, []) == []
    assert to_holds(pause(), []) == []


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        ("Both", "paused through the API (load test); DELETE /v1/workloads/serving/llama/pause"),
        ("ScaleIn", "scaling in paused through the API"),
        ("ScaleOut", "scaling out paused through the API"),
    ],
)
def test_a_pause_of_the_api_is_told_with_its_direction(direction: str, words: str) -> None:
    made = pause(is_paused=True, direction=direction, source="api", reason="load test")
    (found,) = to_holds(made, [])
    assert found.direction == direction
    assert found.words.startswith(words)


@pytest.mark.parametrize(
    ("changes", "is_meant"),
    [
        ({}, True),
        ({"workload": "llama"}, True),
        ({"namespace": None}, True),
        ({"workload": "qwen"}, False),
        ({"namespace": "other"}, False),
        ({"is_in_force": False}, False),
    ],
)
def test_a_freeze_is_told_where_it_is_in_force_and_means_the_workload(
    changes: dict[str, Any], is_meant: bool
) -> None:
    found = to_holds(pause(), [freeze(**changes)])
    assert [hold.words.split(";")[0] for hold in found] == (
        ["held by freeze 7 until 2026-01-06T13:00:00Z"] if is_meant else []
    )


def test_a_freeze_that_lasts_longer_than_the_pause_is_told_beside_it() -> None:
    """Nobody is to read the end of the pause as that of what is held."""
    until = NOW + timedelta(minutes=5)
    made = pause(is_paused=True, direction="Both", source="api", until_at=until)
    found = [hold.words.split(";")[0] for hold in to_holds(made, [freeze()])]
    assert found == [
        "paused through the API until 2026-01-06T12:05:00Z",
        "held by freeze 7 until 2026-01-06T13:00:00Z",
    ]
