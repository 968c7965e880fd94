"""A decision is made again from its inputs and its very forecast, or refused with the reason."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.errors import Conflict, NotFound
from tests.integration.decision.stored_rows import ORIGIN, decisions, one_workload

pytestmark = pytest.mark.integration
NOT_KEPT = "cannot be made again: its inputs and its forecast are kept for"


def decided(deps: DecisionDeps, level: float | None = 100.0) -> int:
    one_workload(deps.engine, level)
    service.decide_shard(deps, 0, ORIGIN)
    return int(decisions(deps.engine)[0]["id"])


def run(deps: DecisionDeps, statement: str) -> None:
    with deps.engine.begin() as connection:
        connection.execute(text(statement))


def test_an_unknown_decision_is_a_named_error(deps: DecisionDeps) -> None:
    with pytest.raises(NotFound, match="decision 999"):
        replay(deps, 999)


@pytest.mark.parametrize("level", [100.0, None])
def test_it_is_made_again_with_a_forecast_and_without_one(
    deps: DecisionDeps, level: float | None
) -> None:
    decision = decided(deps, level)
    assert replay(deps, decision).is_identical
    assert "replay_message" not in service.explain(deps, decision)


@pytest.mark.parametrize("table", ["forecasts", "decision_inputs"])
def test_what_is_gone_is_told_and_the_decision_stays(deps: DecisionDeps, table: str) -> None:
    decision = decided(deps)
    run(deps, f"DELETE FROM {table}")
    with pytest.raises(Conflict, match=NOT_KEPT):
        replay(deps, decision)
    found = service.explain(deps, decision)
    assert NOT_KEPT in found["replay_message"]
    assert found["guard_trace"]


@pytest.mark.parametrize(
    "change",
    [
        "paths = substr(paths, 3) || substr(paths, 1, 2)",
        "path_scale = path_scale * 1.001",
        "quantiles[5][1] = quantiles[5][1] * 1.001",
        "paths = NULL",
    ],
)
def test_another_forecast_is_never_replayed_with(deps: DecisionDeps, change: str) -> None:
    decision = decided(deps)
    run(deps, f"UPDATE forecasts SET {change}")
    with pytest.raises(Conflict, match="the forecast is not the one that was decided on"):
        replay(deps, decision)


def test_a_forecast_that_is_made_again_is_not_taken_for_the_first(deps: DecisionDeps) -> None:
    """A newer model's forecast at the same origin is another row."""
    decision = decided(deps)
    run(
        deps,
        "INSERT INTO forecasts SELECT (f).* FROM (SELECT jsonb_populate_record(f, "
        '\'{"id": 2, "model_version": "flow-2", "path_scale": 1}\') AS f FROM forecasts f) n',
    )
    assert replay(deps, decision).is_identical
