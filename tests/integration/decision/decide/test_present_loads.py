"""A forecast that was made before its loads were measured by something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import replay, service
from services.decision.wiring import DecisionDeps
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import measured_by
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
    spec,
)

pytestmark = pytest.mark.integration
OTHER = {"demand": "batches", "indicators": [{"name": "batches", "level": 1}]}
"""Some twenty requests each."""


def forecast_before_a_change(engine: Engine, **changes: Any) -> None:
    """A workload at its usual load of 95, whose spec is changed after the forecast."""
    workload = add_workload(engine, "w")
    add_demand(engine, workload, [95.0] * 30)
    add_demand(engine, workload, [5.0] * 30, indicator="batches")
    add_state(engine, workload, 10, at=ORIGIN)
    add_state(engine, workload, 10)
    add_forecast(engine, workload, 100.0)
    before = WorkloadSpec.model_validate(spec())
    values = {"by": measured_by(before, before.loads), "at": NOW}
    with engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET measured_by = :by"), values)
        connection.execute(
            text("UPDATE workloads SET spec = CAST(:spec AS jsonb), updated_at = :at"),
            values | {"spec": json.dumps(spec(**changes))},
        )


def test_it_is_not_decided_by_in_another_unit(deps: DecisionDeps) -> None:
    """A hundred requests were taken for a hundred batches: forty replicas, all that are allowed."""
    forecast_before_a_change(deps.engine, **OTHER, capacity={"per_replica": 0.5})
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["desired_replicas"] == 11  # as the demand so far asks for: ceil(5 * 1.1 / 0.5)
    assert row["rung"] == "trailing_percentile"
    assert "another query or unit" in row["explanation"]["forecast"]["reason"]
    assert replay.replay(deps, row["id"]).is_identical


def test_nor_by_another_query(deps: DecisionDeps) -> None:
    query = "sum(rate(batches[1m]))"
    one = {"name": "request_rate_rps", "level": 1, "query": query}
    forecast_before_a_change(deps.engine, indicators=[one])
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "trailing_percentile"


def test_another_change_of_the_spec_leaves_it(deps: DecisionDeps) -> None:
    forecast_before_a_change(deps.engine, min_replicas=2, capacity={"per_replica": 9.0})
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "model"
    assert row["desired_replicas"] > 11
