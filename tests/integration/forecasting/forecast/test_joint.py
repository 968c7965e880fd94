"""Further loads on a real Postgres: stored beside the demand, and nothing to do with the others."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, event, text

from forecaster import JointPaths, joint_paths
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import joint, service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows.further import unpack_further
from services.kernel.clock import FixedClock
from services.kernel.domain.path_bytes import to_halves, unpack_halves
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    BY_PATHS,
    N_STEPS,
    NAMES,
    ORIGIN,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)

DEMAND, *FURTHER = NAMES
N_PATHS, H = 40, 12
ALL = "SELECT * FROM forecasts ORDER BY workload_id"
CREATED = ("id", "created_at")


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    small = settings.model_copy(update={"n_paths": N_PATHS, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(START + N_STEPS * STEP))


def add_plain(app: Forecasting, name: str, seed: int) -> int:
    workload_id = add_workload(app.engine, name)
    add_indicators(app.engine, workload_id, demand(seed))
    return workload_id


def add_loaded(app: Forecasting, name: str, seed: int, *, silent: tuple[str, ...] = ()) -> int:
    workload_id = add_workload(app.engine, name, further=tuple(FURTHER))
    add_indicators(app.engine, workload_id, demand(seed), silent=silent)
    return workload_id


def forecasts(app: Forecasting) -> dict[int, dict[str, object]]:
    """The stored forecasts by workload, without what differs from run to run."""
    return {
        row.workload_id: {k: v for k, v in row._mapping.items() if k not in CREATED}
        for row in rows_of(app.engine, ALL)
        if row.origin_at == ORIGIN
    }


def test_paths_are_stored_as_they_were_made_on_the_grid_of_each_load(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, loaded = add_plain(app, "plain", 0), add_loaded(app, "chat", 1)
    made = []

    def kept(*given: object) -> object:
        made.append(joint_paths(*given))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(joint, "joint_paths", kept)
    assert service.forecast_shard(app, 0, ORIGIN) == 2
    rows = {row.workload_id: row for row in rows_of(app.engine, ALL)}
    ((paths,),) = made
    assert isinstance(paths, JointPaths)
    row = rows[loaded]
    assert row.further_names == FURTHER
    back = unpack_further(row.further_paths, row.further_scales, row.n_paths, row.n_horizon)
    assert back.shape == paths.further.shape == (2, N_PATHS, H)
    for found, drawn in zip(back, paths.further, strict=True):
        halves, scale = to_halves(drawn)
        assert np.array_equal(found, halves.astype(np.float32) * np.float32(scale))
    assert (back.mean(axis=(1, 2)) > 0).all()
    # by how the fleet is made, the loads are half and a hundredth of the demand
    scale = np.array(row.quantiles)[9].mean()
    assert back.mean(axis=(1, 2)) == pytest.approx([scale / 2, scale / 100], rel=0.3)
    assert (rows[plain].further_names, rows[plain].further_paths) == (None, None)
    assert rows[plain].further_scales is None


def test_each_step_keeps_the_values_that_the_demand_has_without_further_loads(
    app: Forecasting,
) -> None:
    loaded = add_loaded(app, "chat", 1)
    service.forecast_shard(app, 0, ORIGIN)
    with_loads = forecasts(app)[loaded]
    with app.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
        change = "UPDATE workloads SET spec = spec #- '{capacity,also_bound_by}'"
        change += " || CAST(:by_paths AS jsonb)"
        connection.execute(text(change), {"by_paths": BY_PATHS})
    service.forecast_shard(app, 0, ORIGIN)
    alone = forecasts(app)[loaded]
    first, second = (
        unpack_halves(one["packed_paths"], N_PATHS, H)  # type: ignore[arg-type]
        for one in (with_loads, alone)
    )
    assert np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
    changed = {key for key, value in with_loads.items() if value != alone[key]}
    further = {"further_names", "further_paths", "further_scales"}
    assert changed <= {"packed_paths", "measured_by"} | further


def test_a_second_run_changes_nothing_and_a_lost_one_is_made_again_alike(
    app: Forecasting,
) -> None:
    add_plain(app, "plain", 0)
    add_loaded(app, "chat", 1)
    service.forecast_shard(app, 0, ORIGIN)
    before = rows_of(app.engine, ALL)
    assert service.forecast_shard(app, 0, ORIGIN) == 0
    assert rows_of(app.engine, ALL) == before
    made = forecasts(app)
    with app.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
    assert service.forecast_shard(app, 0, ORIGIN) == 2
    assert forecasts(app) == made


def test_a_silent_load_is_named_and_harms_no_other(app: Forecasting) -> None:
    plain, loaded = add_plain(app, "plain", 0), add_loaded(app, "chat", 1)
    silent = add_loaded(app, "half-silent", 2, silent=(FURTHER[1],))
    service.forecast_shard(app, 0, ORIGIN)
    rows = forecasts(app)
    assert rows[silent]["further_names"] is None
    assert rows[silent]["further_paths"] is None
    assert rows[silent]["n_paths"] == N_PATHS
    assert rows[silent]["reason"] == (
        "no promoted model; no observed gpu_duty_ratio in the last 144 steps: "
        "only the demand is forecast"
    )
    assert rows[loaded]["further_names"] == FURTHER
    assert rows[loaded]["reason"] == rows[plain]["reason"] == "no promoted model"


def test_a_workload_without_demand_is_refused_as_ever(app: Forecasting) -> None:
    loaded = add_loaded(app, "chat", 1)
    empty = add_workload(app.engine, "empty", further=tuple(FURTHER))
    service.forecast_shard(app, 0, ORIGIN)
    rows = forecasts(app)
    assert rows[empty]["rung"] == "none"
    assert "no observed demand" in str(rows[empty]["reason"])
    assert rows[empty]["further_names"] is None
    assert rows[loaded]["further_names"] == FURTHER


def test_others_do_not_notice_who_has_further_loads(app: Forecasting) -> None:
    ids = [add_plain(app, f"w{i}", i) for i in range(3)]
    for k in (2, 1):  # partitions are made, and known to be there
        service.forecast_shard(app, 0, ORIGIN - k * STEP)
    statements: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(app.engine, "before_cursor_execute", count)
    service.forecast_shard(app, 0, ORIGIN)
    alone, n_alone = forecasts(app), len(statements)
    with app.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{capacity,also_bound_by}', "
                "CAST(:loads AS jsonb)) WHERE id = :id"
            ),
            {"loads": '[{"indicator": "concurrency_requests", "per_replica": 5}]', "id": ids[1]},
        )
    statements.clear()
    service.forecast_shard(app, 0, ORIGIN)
    beside, n_beside = forecasts(app), len(statements)
    event.remove(app.engine, "before_cursor_execute", count)
    assert beside[ids[0]] == alone[ids[0]]
    assert beside[ids[2]] == alone[ids[2]]
    assert beside[ids[1]]["further_names"] == ["concurrency_requests"]
    assert n_beside == n_alone, statements
