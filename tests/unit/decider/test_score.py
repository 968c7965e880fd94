"""A finished step is accounted by time."""

from __future__ import annotations

import pytest

from decider.score import (
    ReplicaInterval,
    StepPrice,
    score_step,
)

PRICE = StepPrice(10.0, 2, 3.0)


def test_a_step_is_weighed_by_time() -> None:
    parts = [ReplicaInterval(0, 60, 8, 10), ReplicaInterval(60, 300, 10, 10)]
    outcome = score_step(95.0, parts, PRICE)
    assert outcome is not None
    assert outcome.violation_ratio == pytest.approx(0.2)
    assert outcome.shortage == pytest.approx(15.0 * 0.2)
    assert outcome.ready_mean == pytest.approx(9.6)
    assert outcome.needed_replicas == 10
    assert outcome.gpu_hours == pytest.approx(10 * 2 * 300 / 3600)
    assert outcome.cost_usd == pytest.approx(outcome.gpu_hours * 3.0)


def test_starting_replicas_cost_and_do_not_serve() -> None:
    outcome = score_step(95.0, [ReplicaInterval(0, 300, 0, 10)], PRICE)
    assert outcome is not None
    assert outcome.violation_ratio == 1.0
    assert outcome.gpu_hours > 0


@pytest.mark.parametrize("demand", [None, float("nan")])
def test_an_unknown_demand_is_no_violation_and_no_zero(demand: float | None) -> None:
    outcome = score_step(demand, [ReplicaInterval(0, 300, 1, 1)], PRICE)
    assert outcome is not None
    assert outcome.violation_ratio is None
    assert outcome.demand is None


def test_a_step_without_any_known_replicas_has_no_outcome() -> None:
    assert score_step(95.0, [], PRICE) is None
