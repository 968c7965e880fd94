"""A row of a workload becomes figures; what is not known has none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from forecaster import MODEL_RUNG
from services.exporter import metrics
from services.exporter.metrics import WORKLOAD_METRICS, WorkloadMetric
from services.exporter.translate import Figure, to_figures

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
UNKNOWN: dict[str, Any] = dict.fromkeys(
    (
        *("until", "sample_age_s", "rung", "quantile_levels", "next_step", "desired_replicas"),
        *("risk_target", "risk_estimated", "to_replicas", "spec_replicas", "risk_state"),
        *("levels", "below_ratio", "n_seen", "tail_weight", "pinball", "skill_vs_last_value"),
        "severities",
    )
) | {"is_paused": False, "has_objective": False, "is_trusted": True, "step_s": 60}
MEASURED = {
    **{"budget_source": "measured", "measured_steps": 310.0, "observed_steps": 480.0},
    **{"measured_ratio": 0.03, "believed_ratio": 0.02, "budget_left_ratio": -0.1},
    **{"measured_low_ratio": 0.012, "measured_high_ratio": 0.4, "sli_status": "Measured"},
}
KNOWN: dict[str, Any] = UNKNOWN | {
    **{"sample_age_s": 12.0, "rung": "model", "desired_replicas": 4, "to_replicas": 3},
    **{"quantile_levels": [0.1, 0.5, 0.9, 0.99], "next_step": [1.0, 2.0, 3.0, 4.0]},
    **{"risk_target": 0.01, "risk_estimated": 0.004, "spec_replicas": 5, "risk_state": MEASURED},
    **{"levels": [0.5, 0.9], "below_ratio": [0.5, 0.9], "n_seen": 10, "tail_weight": 0.3},
    **{"pinball": {"0.5": 0.7, "0.9": 0.2}, "skill_vs_last_value": 0.25},
    **{"severities": {"pit": 0.2, "level": 1.5}, "has_objective": True},
}


def found(row: dict[str, Any], **options: bool) -> dict[tuple[WorkloadMetric, str], float]:
    """Known figures by metric and label."""
    figures = [one for one in to_figures(row, NOW, **options) if one.is_known]
    values = {(one.metric, one.label): float(one.value or 0.0) for one in figures}
    assert len(values) == len(figures), "a series twice"
    return values


def of(row: dict[str, Any], metric: WorkloadMetric) -> dict[str, float]:
    return {label: value for (one, label), value in found(row).items() if one is metric}


def test_a_workload_of_which_nothing_is_known_is_neither_paused_nor_distrusted() -> None:
    told = {metrics.PAUSED: 0.0, metrics.TRUSTED: 1.0, metrics.STEP: 60.0}
    assert found(UNKNOWN) == {(metric, ""): value for metric, value in told.items()}


def test_every_metric_has_a_figure_somewhere() -> None:
    shown = {metric for metric, _ in found(KNOWN)} | {metrics.EXPORTED}
    assert shown == set(WORKLOAD_METRICS)


def test_a_metric_has_its_own_label_or_none() -> None:
    for metric, label in found(KNOWN):
        assert bool(label) == bool(metric.label), metric


def test_levels_are_those_that_are_shown_as_far_as_they_are_stored() -> None:
    assert of(KNOWN, metrics.QUANTILE) == {"0.5": 2.0, "0.9": 3.0, "0.99": 4.0}
    assert of(KNOWN, metrics.COVERAGE) == {"0.5": 0.5, "0.9": 0.9}
    assert of(KNOWN, metrics.PINBALL) == {"0.5": 0.7, "0.9": 0.2}
    assert of(KNOWN | {"n_seen": 0}, metrics.COVERAGE) == {}


@pytest.mark.parametrize(("rung", "value"), [(MODEL_RUNG, 0.0), ("seasonal", 1.0), ("none", 1.0)])
def test_only_the_model_is_no_fallback(rung: str, value: float) -> None:
    assert of(KNOWN | {"rung": rung}, metrics.FALLBACK) == {rung: value}


def test_a_model_that_is_not_trusted_forecasts_on() -> None:
    """What decides in its place is told by `model_trusted`, not as a fallback of the forecast."""
    row = KNOWN | {"rung": MODEL_RUNG, "is_trusted": False}
    assert of(row, metrics.FALLBACK) == {MODEL_RUNG: 0.0}
    assert of(row, metrics.TRUSTED) == {"": 0.0}


def test_a_promise_is_shown_as_measured_and_as_believed() -> None:
    assert of(KNOWN, metrics.GOOD) == {"measured": 0.97, "believed": 0.98}
    assert of(KNOWN, metrics.BUDGET_LEFT) == {"measured": -0.1}
    assert of(KNOWN, metrics.SLI_MEASURED) == {"": 1.0}
    assert of(KNOWN, metrics.GOOD_HIGH) == {"": 0.988}
    assert of(KNOWN, metrics.GOOD_LOW) == {"": 0.6}


def test_a_believed_promise_has_no_measured_series() -> None:
    state = MEASURED | {"budget_source": "believed", "budget_left_ratio": 0.5}
    row = KNOWN | {"risk_state": state | {"sli_status": "NoAnswer"}}
    assert of(row, metrics.GOOD) == {"believed": 0.98}
    assert of(row, metrics.BUDGET_LEFT) == {"believed": 0.5}
    assert of(row, metrics.SLI_MEASURED) == {"": 0.0}


def test_an_end_of_a_range_has_a_series_only_where_it_is_another_figure() -> None:
    state = MEASURED | {"measured_low_ratio": 0.03, "measured_high_ratio": None}
    row = KNOWN | {"risk_state": state}
    assert of(row, metrics.GOOD_HIGH) == of(row, metrics.GOOD_LOW) == {}


def test_steps_without_a_request_have_no_share_and_all_of_their_budget() -> None:
    state = MEASURED | {"measured_ratio": None, "believed_ratio": None, "budget_left_ratio": 1.0}
    row = KNOWN | {"risk_state": state | {"sli_status": "NoRequests"}}
    assert of(row, metrics.GOOD) == {}
    assert of(row, metrics.BUDGET_LEFT) == {"measured": 1.0}
    assert of(row, metrics.SLI_MEASURED) == {"": 1.0}


def test_without_an_objective_nothing_is_said_of_its_measurement() -> None:
    assert of(KNOWN | {"has_objective": False}, metrics.SLI_MEASURED) == {}


@pytest.mark.parametrize(
    ("paused", "until", "value"),
    [
        (True, None, 1.0),
        (False, None, 0.0),
        (True, "2026-01-05T12:00:01+00:00", 1.0),
        (True, "2026-01-05T12:00:00+00:00", 0.0),
        (False, "2026-01-05T13:00:00+00:00", 1.0),
        (False, "tomorrow", 1.0),
    ],
)
def test_a_pause_ends_by_itself(paused: bool, until: str | None, value: float) -> None:
    assert of(UNKNOWN | {"is_paused": paused, "until": until}, metrics.PAUSED) == {"": value}


def test_a_model_is_trusted_where_nobody_judges() -> None:
    judged = UNKNOWN | {"is_trusted": False}
    assert found(judged)[metrics.TRUSTED, ""] == 0.0
    assert found(judged, is_trust_judged=False)[metrics.TRUSTED, ""] == 1.0


def test_what_is_no_number_is_not_known() -> None:
    assert not Figure(metrics.SKILL, "", float("nan")).is_known
    assert not Figure(metrics.SKILL, "", None).is_known
    assert Figure(metrics.SKILL, "", 0.0).is_known
