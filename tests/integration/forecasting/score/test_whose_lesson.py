"""What an outcome teaches is learned of the workload, the demand and the steps that it is of."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows import repository
from services.forecasting.score.service import score_forecasts
from services.kernel.clock import FixedClock
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    NAMES,
    ORIGIN,
    SPEC,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    fill,
    rows_of,
)

pytestmark = pytest.mark.integration
EARLY = START + 684 * STEP
"""An origin that the hedge learns from, more than a horizon ago."""


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    few = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S, "has_prior": False})
    return make_forecasting(few, RecordingSender(), FixedClock(ORIGIN + STEP))


def states(app: Forecasting) -> dict[int, dict[str, Any]]:
    rows = rows_of(app.engine, "SELECT workload_id, state FROM calibration_states")
    return {row.workload_id: row.state for row in rows}


def execute(app: Forecasting, statement: str, **given: Any) -> None:
    with app.engine.begin() as connection:
        connection.execute(text(statement), given)


def test_workloads_of_one_name_in_two_clusters_learn_each_for_itself(app: Forecasting) -> None:
    (small,) = fill(app.engine, 1)
    with app.engine.begin() as connection:
        add_cluster(connection, "other", START)
        large = connection.execute(
            text(
                "INSERT INTO workloads (cluster_id, namespace, name, shard, step_s, spec, "
                "created_at, updated_at) VALUES (2, 'demo', 'w0', :shard, :step_s, "
                "CAST(:spec AS jsonb), :at, :at) RETURNING id"
            ),
            {"shard": SHARDS_PER_CLUSTER, "step_s": STEP_S, "spec": json.dumps(SPEC), "at": START},
        ).scalar_one()
        first, second = repository.load_workloads(connection)
    assert first.key != second.key
    add_indicators(app.engine, large, 100 * demand(1))
    for origin_at in (ORIGIN - 26 * STEP, ORIGIN - 13 * STEP):
        for shard in (0, SHARDS_PER_CLUSTER):
            service.forecast_shard(app, shard, origin_at)
        assert score_forecasts(app) == 2
    found = states(app)
    assert min(found[large]["error_scale"]) > 10 * max(found[small]["error_scale"])


def test_forecasts_of_another_demand_teach_nothing_of_the_new_one(app: Forecasting) -> None:
    clock = app.clock
    assert isinstance(clock, FixedClock)
    (workload_id,) = fill(app.engine, 1)
    service.forecast_shard(app, 0, ORIGIN - 26 * STEP)
    assert score_forecasts(app) == 1
    before = states(app)
    service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
    clock.advance(1)
    execute(
        app,
        "UPDATE workloads SET spec = jsonb_set(spec, '{demand}', to_jsonb(CAST(:name AS text))), "
        "spec_version = 2, updated_at = :now",
        name=NAMES[2],
        now=clock.now(),
    )
    assert score_forecasts(app) == 0, "what was forecast is no longer measured as the demand"
    rows = rows_of(app.engine, "SELECT n_steps FROM forecast_scores ORDER BY origin_at")
    assert [row.n_steps for row in rows] == [12, 0]
    assert states(app) == before
    clock.advance(1)
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    assert score_forecasts(app) == 1
    after = states(app)[workload_id]
    assert after["demand"] == NAMES[2]
    assert after["n_seen"] == 12, "it is learned anew"
    assert max(after["error_scale"]) < min(before[workload_id]["error_scale"]) / 10


@pytest.mark.parametrize(("key", "value"), [("query", "60 * sum(x)"), ("unit", "requests/min")])
def test_a_corrected_demand_begins_anew_as_another_one_does(
    app: Forecasting, key: str, value: str
) -> None:
    clock = app.clock
    assert isinstance(clock, FixedClock)
    (workload_id,) = fill(app.engine, 1)
    for steps in (26, 13):
        service.forecast_shard(app, 0, ORIGIN - steps * STEP)
    assert score_forecasts(app) == 2
    execute(app, "UPDATE calibration_states SET state = state - 'measured_by'")
    service.forecast_shard(app, 0, ORIGIN - 15 * STEP)
    assert score_forecasts(app) == 1
    known = states(app)[workload_id]
    assert known["n_seen"] == 36, "a state of an earlier release is one of today's query"
    service.forecast_shard(app, 0, ORIGIN - 14 * STEP)
    clock.advance(1)
    places = [one["name"] for one in SPEC["indicators"]]
    path = f"{{indicators,{places.index(SPEC['demand'])},{key}}}"
    execute(
        app,
        "UPDATE workloads SET spec = jsonb_set(spec, CAST(:path AS text[]), "
        "to_jsonb(CAST(:value AS text))), spec_version = 2, updated_at = :now",
        path=path,
        value=value,
        now=clock.now(),
    )
    assert score_forecasts(app) == 0, "what was forecast is in the unit of before"
    assert states(app)[workload_id] == known
    clock.advance(1)
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    assert score_forecasts(app) == 1
    after = states(app)[workload_id]
    assert after["n_seen"] == 12, "it is learned anew"
    assert after["measured_by"] != known["measured_by"]


def set_query(app: Forecasting, place: int, query: str) -> None:
    clock = app.clock
    assert isinstance(clock, FixedClock)
    clock.advance(1)
    execute(
        app,
        "UPDATE workloads SET spec = jsonb_set(spec, CAST(:path AS text[]), "
        "to_jsonb(CAST(:query AS text))), spec_version = 2, updated_at = :now",
        path=f"{{indicators,{place},query}}",
        query=query,
        now=clock.now(),
    )
    clock.advance(1)


@pytest.mark.parametrize("further", [(), (NAMES[1],)])
@pytest.mark.parametrize("place", [0, 1])
def test_a_young_service_is_taught_by_no_forecast_of_another_query(
    app: Forecasting, further: tuple[str, ...], place: int
) -> None:
    """It has no calibration yet that says by which query it was learned; each forecast says it."""
    workload_id = add_workload(app.engine, "w0", further=further)
    add_indicators(app.engine, workload_id, demand(0))
    for steps in (14, 13):
        service.forecast_shard(app, 0, ORIGIN - steps * STEP)
    set_query(app, place, "60 * sum(x)")
    is_load = place == 0 or bool(further)
    assert score_forecasts(app) == (0 if is_load else 2)
    rows = rows_of(app.engine, "SELECT n_steps FROM forecast_scores")
    assert [row.n_steps for row in rows] == ([0, 0] if is_load else [12, 12])
    assert bool(states(app)) != is_load
    assert bool(rows_of(app.engine, "SELECT FROM drift_states")) != is_load
    service.forecast_shard(app, 0, ORIGIN - 12 * STEP)
    assert score_forecasts(app) == 1
    assert states(app)[workload_id]["n_seen"] == (12 if is_load else 36)


def test_steps_of_another_length_teach_the_others_nothing_wrong(app: Forecasting) -> None:
    changed, other = fill(app.engine, 2)
    service.forecast_shard(app, 0, EARLY)
    execute(app, "UPDATE workloads SET step_s = :s WHERE id = :id", s=STEP_S // 2, id=changed)
    assert score_forecasts(app) == 2
    found = states(app)
    assert found[other]["hedge"]["learned_step"] == int(EARLY.timestamp()) // STEP_S
    assert "hedge" not in found[changed]
    assert EARLY + timedelta(seconds=13 * STEP_S) <= app.clock.now()
