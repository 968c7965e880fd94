"""Objectives: goals, their series of counts, and what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.kernel.domain import GoalSpec, ObjectiveSpec, SlaSpec, SliSeriesSpec
from services.kernel.domain.objective import counted_names, series_names

TTFT = GoalSpec(metric="ttft", threshold_s=0.5)
ERRORS = GoalSpec(metric="errors")


def refused(message: str, **given: object) -> None:
    with pytest.raises(ValidationError, match=message):
        ObjectiveSpec.model_validate(given)


def test_a_goal_names_its_series() -> None:
    names = [f"sli_ttft_{part}" for part in ("total", "good", "upto", "sum")]
    counted = [*names, "sli_errors_total", "sli_lost", "sli_waiting"]
    assert counted_names((TTFT, ERRORS)) == counted
    assert series_names((TTFT, ERRORS)) == [*counted, "sli_ready"]


def test_a_pushed_count_is_a_counter_and_a_queue_is_not() -> None:
    assert SliSeriesSpec(name="sli_lost").is_counter
    assert not SliSeriesSpec(name="sli_lost", query="sum(rate(x[$step]))").is_counter
    assert not SliSeriesSpec(name="sli_waiting").is_counter


@pytest.mark.parametrize(("metric", "threshold_s"), [("ttft", None), ("errors", 0.5)])
def test_only_a_latency_has_a_threshold(metric: str, threshold_s: float | None) -> None:
    with pytest.raises(ValidationError, match="a latency needs one, errors have none"):
        GoalSpec.model_validate({"metric": metric, "threshold_s": threshold_s})


def test_goals_that_contradict_are_refused() -> None:
    refused("each metric may be given once", goals=[TTFT, TTFT])
    refused("at least 1 item", goals=[])
    refused("less than 1", goals=[TTFT], share=1.0)


@pytest.mark.parametrize("names", [["sli_tpot_good"], ["sli_lost", "sli_lost"]])
def test_a_series_of_no_goal_or_given_twice_is_refused(names: list[str]) -> None:
    refused("must be one of", goals=[TTFT], series=[{"name": name} for name in names])


def test_tokens_are_never_promised_as_a_share_of_requests() -> None:
    objective = ObjectiveSpec(goals=(GoalSpec(metric="itl", threshold_s=0.05),))
    assert SlaSpec(kind="TimeFraction", objective=objective).objective == objective
    with pytest.raises(ValidationError, match="counts tokens"):
        SlaSpec(kind="DemandFraction", objective=objective)


def test_a_spec_stored_before_objectives_has_none() -> None:
    assert SlaSpec.model_validate({"epsilon": 0.02}).objective is None
