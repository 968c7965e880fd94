"""Time series as a client reads them: whole, with null where nothing was observed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.admin.series.schemas import (
    AllocationView,
    ForecastAheadView,
    ForecastView,
    IndicatorSeries,
    LeadTimeView,
    ObservedSeries,
    QualityView,
)
from tests.unit.admin.shapes import documented, nullable, optional, through

T = ["2026-01-05T12:00:00Z", "2026-01-05T12:01:00Z"]
SCALE: dict[str, Any] = {"step_s": 60, "unit": "tokens/s", "capacity_per_replica": 1800.0}
OBSERVED: dict[str, Any] = {"step_at": T, "demand": [41.5, None]}
FORECAST: dict[str, Any] = SCALE | {
    "id": 7,
    "origin_at": T[0],
    "created_at": T[1],
    "model_version": "harmony-flow-3",
    "rung": "model",
    "reason": "",
    "quantile_levels": [0.1, 0.9],
    "step_at": T,
    "quantiles": [[1.0, None], [2.0, 3.0]],
    "observed": OBSERVED,
    "previous_origin_at": T[0],
    "next_origin_at": T[1],
}
AHEAD: dict[str, Any] = SCALE | {
    "n_ahead": 3,
    "quantile_levels": [0.5],
    "step_at": T,
    "quantiles": [[1.0, None]],
    "demand": [None, 2.0],
    "rung": ["model", None],
}
INDICATOR: dict[str, Any] = {
    "name": "queue_requests",
    "level": 2,
    "unit": "requests",
    "step_at": T,
    "values": [None, 4.0],
}
ALLOCATION: dict[str, Any] = {
    "step_s": 60,
    "gpus_per_replica": 4,
    "step_at": T,
    "needed": [5, None],
    "violation_ratio": [0.0, None],
    "measured_ratio": [0.0, None],
    "believed_ratio": [0.1, None],
    "origin_at": T,
    "desired": [6, 7],
    "observed_at": T,
    "spec": [6, 6],
    "ready": [5, 6],
    "starting": [1, 0],
    "pending": [0, 0],
}
QUALITY: dict[str, Any] = {
    "model_version": "harmony-flow-3",
    "n_forecasts": 48,
    "crps": 0.08,
    "crps_last_value": 0.1,
    "skill_vs_last_value": 0.2,
    "coverage": {"0.5": 0.51},
    "pinball": {"0.5": 0.02, "0.9": None},
    "hedge_weight_body": 0.06,
    "hedge_weight_tail": 0.11,
}
LEAD_TIME: dict[str, Any] = {
    "window_s": 86400.0,
    "n_measured": 20,
    "n_on_the_way": 1,
    "n_abandoned": 2,
    "p50_s": 70.0,
    "p90_s": 90.0,
    "p99_s": 120.0,
    "max_s": 130.0,
    "prior_median_s": 90.0,
    "prior_sigma": 0.5,
}
HEDGE = {"hedge_weight_body", "hedge_weight_tail"}
SHAPES: list[tuple[type[BaseModel], dict[str, Any], set[str], set[str]]] = [
    (ObservedSeries, OBSERVED, set(), set()),
    (ForecastView, FORECAST, set(), {"previous_origin_at", "next_origin_at"}),
    (ForecastAheadView, AHEAD, set(), set()),
    (IndicatorSeries, INDICATOR, set(), set()),
    (AllocationView, ALLOCATION, set(), set()),
    (QualityView, QUALITY, HEDGE, HEDGE | {"crps_last_value", "skill_vs_last_value"}),
    (LeadTimeView, LEAD_TIME, set(), {"p50_s", "p90_s", "p99_s", "max_s"}),
]


@pytest.mark.parametrize(("model", "body", "may_lack", "may_be_null"), SHAPES)
def test_a_series_comes_through_whole(
    model: type[BaseModel], body: dict[str, Any], may_lack: set[str], may_be_null: set[str]
) -> None:
    assert through(model, body) == body
    assert optional(model, body) == may_lack
    assert nullable(model, body) == may_be_null


def test_nothing_is_learned_of_a_hedge_that_is_left_out() -> None:
    bare = {name: value for name, value in QUALITY.items() if name not in HEDGE}
    assert through(QualityView, bare) == QUALITY | dict.fromkeys(HEDGE)


@pytest.mark.parametrize("name", ["desired", "spec", "ready", "starting", "pending"])
def test_replicas_that_are_decided_or_seen_are_counts(name: str) -> None:
    for wrong in (None, 1.5):
        with pytest.raises(ValidationError, match=name):
            AllocationView.model_validate(ALLOCATION | {name: [1, wrong]})


def test_the_documented_values_are_ones_that_can_be() -> None:
    example = documented(ForecastView)
    assert through(ForecastView, FORECAST | example) == FORECAST | example
    levels = example["quantile_levels"]
    assert levels == sorted(levels)
    assert [round(1 - level, 9) for level in reversed(levels)] == levels
    assert documented(QualityView).items() <= QUALITY.items()
