"""What people hold or set beside the object, and how that is ended, as the object tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.operator.report.controls import override_left_out, paused
from services.operator.report.facts import AutoscalerFacts
from services.operator.resource.autoscaler import Pause
from tests.unit.operator.examples import NOW, STEP, decision
from tests.unit.operator.reports import facts


def with_pause(pause: Pause) -> AutoscalerFacts:
    given = facts(decision())
    return replace(given, autoscaler=replace(given.autoscaler, pause=pause))


def test_nothing_is_said_to_be_left_out_where_nothing_is() -> None:
    found = override_left_out(facts(decision()))
    assert (found.type, found.status, found.reason) == (
        "OverrideLeftOut", "False", "EveryOverrideFits",
    )  # fmt: skip


def test_every_field_that_is_left_out_is_told_with_what_to_do() -> None:
    given = facts(decision())
    left_out = ("min_replicas=5 must be <= max_replicas=3", "price_usd_per_gpu_hour=9: no")
    found = override_left_out(
        replace(given, autoscaler=replace(given.autoscaler, left_out=left_out))
    )
    assert (found.status, found.reason) == ("True", "DoesNotFit")
    for words in (*left_out, "the rest that was set holds", "PATCH /v1/workloads/"):
        assert words in found.message


@pytest.mark.parametrize(
    ("source", "reason", "end"),
    [
        ("annotation", "PausedByAnnotation", "`kubectl harmony resume"),
        ("the API", "PausedByApi", "DELETE /v1/workloads/"),
        ("a freeze", "PausedByFreeze", "lifting the freeze"),
        ("unreadable controls", "UnreadableControls", "an operator as new as the API"),
    ],
)
def test_a_pause_is_told_with_whose_it_is_and_what_ends_it(
    source: str, reason: str, end: str
) -> None:
    found = paused(with_pause(Pause(is_all=True, until=NOW + STEP, source=source)), NOW)
    assert (found.status, found.reason) == ("True", reason)
    assert end in found.message
    assert paused(with_pause(Pause(is_all=True, until=NOW, source=source)), NOW).status == "False"


@pytest.mark.parametrize(
    ("pause", "reason", "words"),
    [
        (Pause(is_scale_in=True), "ScaleInPaused", "added only"),
        (Pause(is_scale_out=True), "ScaleOutPaused", "removed only"),
        (Pause(problem="soon is no time"), "UnreadableAnnotation", "soon is no time"),
    ],
)
def test_half_a_pause_and_one_that_cannot_be_read_are_told(
    pause: Pause, reason: str, words: str
) -> None:
    found = paused(with_pause(pause), NOW)
    assert (found.status, found.reason) == ("True", reason)
    assert words in found.message
