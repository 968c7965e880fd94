"""Forecasts that are decided on: the newest of models in use, each once."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.jobs import DECIDE_SHARD, RecordingSender
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    add_forecast,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_a_shadow_models_forecast_is_never_decided_on(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine)
    with deps.engine.begin() as connection:
        connection.execute(
            schema.models.insert().values(
                version="m2", kind="flow", status="shadow", config={}, metrics={}, created_at=NOW
            )
        )
    add_forecast(deps.engine, workload, 300.0, forecast_id=2, version="m2")
    service.decide_shard(deps, 0, ORIGIN)
    assert [row["forecast_id"] for row in decisions(deps.engine)] == [1]


def test_sweep_resends_exactly_what_is_undecided(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    assert service.sweep(deps) == 1
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    assert [(j.name, j.payload["shard"]) for j in sender.sent] == [(DECIDE_SHARD, 0)]
    service.decide_shard(deps, 0, datetime.fromisoformat(str(sender.sent[0].payload["at"])))
    assert service.sweep(deps) == 0
