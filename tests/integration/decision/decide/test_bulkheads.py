"""One workload that cannot be decided for keeps no other from its decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.ingest.series.samples import LARGEST_VALUE
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    add_demand,
    add_forecast,
    add_state,
    add_workload,
    decisions,
)

pytestmark = pytest.mark.integration
LARGEST_REAL = float(np.float32(8.9e18))


def _fleet(engine: Engine, names: list[str]) -> list[int]:
    ids = []
    for at, name in enumerate(names):
        ids.append(_whole(engine, add_workload(engine, name), at + 1))
    return ids


def _whole(engine: Engine, workload: int, forecast_id: int, demand: float = 95.0) -> int:
    add_demand(engine, workload, [demand] * 30)
    add_state(engine, workload, 10, at=ORIGIN)
    add_state(engine, workload, 10)
    add_forecast(engine, workload, 100.0, forecast_id=forecast_id)
    return workload


def _faults(engine: Engine) -> list[tuple[int, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT workload_id, stage, message FROM workload_errors ORDER BY workload_id")
        )
        return [tuple(row) for row in rows]


def _spoil(engine: Engine, workload: int, changes: str) -> None:
    with engine.begin() as connection:
        statement = text("UPDATE workloads SET spec = spec || CAST(:new AS jsonb) WHERE id = :id")
        connection.execute(statement, {"new": changes, "id": workload})


def test_the_largest_sample_and_the_smallest_capacity_are_decided_for_as_well(
    deps: DecisionDeps,
) -> None:
    _fleet(deps.engine, ["a", "b"])
    huge = add_workload(deps.engine, "huge")
    _whole(deps.engine, huge, 3, demand=LARGEST_VALUE)
    tiny = add_workload(deps.engine, "tiny", capacity={"per_replica": 1e-8})
    _whole(deps.engine, tiny, 4)

    report = service.decide_shard(deps, 0, ORIGIN)

    assert report.n_decisions == 4
    assert _faults(deps.engine) == []


def test_a_workload_whose_spec_cannot_be_read_stops_nobody_and_is_named(
    deps: DecisionDeps,
) -> None:
    ids = _fleet(deps.engine, ["a", "b", "c", "d", "e"])
    _spoil(deps.engine, ids[2], '{"max_replicas": "many"}')

    report = service.decide_shard(deps, 0, ORIGIN)

    assert report.n_decisions == 4
    assert {row["workload_id"] for row in decisions(deps.engine)} == set(ids) - {ids[2]}
    ((faulty, stage, message),) = _faults(deps.engine)
    assert (faulty, stage) == (ids[2], "decide")
    assert "max_replicas" in message or "WorkloadSpec" in message


def test_what_was_learned_wrongly_is_left_out_and_a_lower_rung_answers(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = _fleet(deps.engine, ["a", "b", "c"])
    believed = service.believed_capacity

    def spoiled(work, settings, members, origin_at):  # type: ignore[no-untyped-def]
        if ids[1] in members:
            raise ValueError("draws of 0 values")
        return believed(work, settings, members, origin_at)

    monkeypatch.setattr(service, "believed_capacity", spoiled)
    report = service.decide_shard(deps, 0, ORIGIN)

    assert report.n_decisions == 3
    rungs = {row["workload_id"]: row["rung"] for row in decisions(deps.engine)}
    assert rungs == {ids[0]: "model", ids[1]: "trailing_percentile", ids[2]: "model"}
    assert _faults(deps.engine) == [(ids[1], "decide", "ValueError: draws of 0 values")]
    # the one that was decided without its forecast is made again without it
    assert all(replay(deps, row["id"]).is_identical for row in decisions(deps.engine))

    monkeypatch.setattr(service, "believed_capacity", believed)
    service.decide_shard(deps, 0, ORIGIN)
    assert _faults(deps.engine) == []


@pytest.mark.parametrize("state", ["[]", '{"spent_steps": "abc"}', '{"log_level": 1e400}'])
def test_a_memory_that_cannot_be_read_is_left_out_and_a_lower_rung_answers(
    deps: DecisionDeps, state: str
) -> None:
    """It was read again for the decision that needs nothing learned: there was none for good."""
    ids = _fleet(deps.engine, ["a", "b"])
    with deps.engine.begin() as connection:
        statement = text(
            "INSERT INTO risk_states (workload_id, state, updated_at) "
            "VALUES (:id, CAST(:state AS jsonb), :at)"
        )
        connection.execute(statement, {"id": ids[0], "state": state, "at": NOW})

    report = service.decide_shard(deps, 0, ORIGIN)

    assert report.n_decisions == 2
    first, second = decisions(deps.engine)
    assert (first["workload_id"], first["rung"]) == (ids[0], "trailing_percentile")
    assert second["rung"] == "model"
    assert [(at, stage) for at, stage, _ in _faults(deps.engine)] == [(ids[0], "decide")]
    assert replay(deps, first["id"]).is_identical


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    demand=st.floats(0, float(np.float32(8.9e18)), width=32)
    | st.sampled_from([0.0, 1e-45, LARGEST_VALUE]),
    capacity=st.floats(1e-9, 1e18, allow_nan=False, exclude_min=True),
    level=st.floats(1e-3, 6e4) | st.none(),
    ready=st.integers(0, 2**31 - 1),
)
def test_nothing_that_admission_lets_in_keeps_another_from_its_decision(
    deps: DecisionDeps, demand: float, capacity: float, level: float | None, ready: int
) -> None:
    with deps.engine.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE workloads, decisions, forecasts, indicator_steps, outcomes, "
                "replica_states CASCADE"
            )
        )
    good = _fleet(deps.engine, ["a", "b"])
    strange = add_workload(deps.engine, "strange", capacity={"per_replica": capacity})
    add_demand(deps.engine, strange, [demand] * 30)
    add_state(deps.engine, strange, ready, at=NOW)
    add_forecast(deps.engine, strange, level, forecast_id=9)

    service.decide_shard(deps, 0, ORIGIN)

    decided = {row["workload_id"] for row in decisions(deps.engine)}
    assert set(good) <= decided
