"""Forecasts on a real Postgres: made once, sent on once, and sent again when lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry.shipped import shipped_prior
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import measured_by
from services.kernel.domain.path_bytes import unpack_halves
from services.kernel.jobs import (
    DECIDE_SHARD,
    FORECAST_SCORE,
    FORECAST_SHARD,
    RecordingSender,
)
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    BY_PATHS,
    N_STEPS,
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


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def app(database: Engine, settings: Settings, sender: RecordingSender) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    clock = FixedClock(START + N_STEPS * STEP)
    return make_forecasting(small, sender, clock)


def test_who_is_decided_by_joint_paths_has_them(app: Forecasting) -> None:
    ids = fill(app.engine)
    with app.engine.begin() as connection:
        change = "UPDATE workloads SET spec = spec || CAST(:by_paths AS jsonb) WHERE id = :id"
        connection.execute(text(change), {"id": ids[1], "by_paths": BY_PATHS})
    service.forecast_shard(app, 0, ORIGIN)
    rows = {r.workload_id: r for r in rows_of(app.engine, "SELECT * FROM forecasts")}
    assert [rows[i].packed_paths is None for i in ids] == [True, False, True]
    row = rows[ids[1]]
    halves = unpack_halves(row.packed_paths, row.n_paths, row.n_horizon)
    paths = halves.astype(np.float32) * row.path_scale
    assert paths.shape == (40, 12)
    assert paths.mean() == pytest.approx(np.array(row.quantiles)[9].mean(), rel=0.3)


def test_every_workload_gets_a_row_and_the_decision_is_asked_once_committed(
    app: Forecasting, sender: RecordingSender
) -> None:
    ids = fill(app.engine)
    silent = add_workload(app.engine, "silent")
    stale = add_workload(app.engine, "stale")
    values = demand(9)
    values[-20:] = np.nan
    add_indicators(app.engine, stale, values)

    assert service.forecast_shard(app, 0, ORIGIN) == 5
    rows = {r.workload_id: r for r in rows_of(app.engine, "SELECT * FROM forecasts")}
    assert set(rows) == {*ids, silent, stale}
    for workload_id in ids:
        row = rows[workload_id]
        quantiles = np.array(row.quantiles)
        assert quantiles.shape == (len(row.quantile_levels), 12)
        assert (np.diff(quantiles, axis=0) >= 0).all()
        assert (quantiles >= 0).all()
        assert (row.n_paths, row.packed_paths, row.path_scale) == (40, None, None)
        assert row.model_version == f"prior-{shipped_prior().version}"
        assert (row.rung, row.reason) == ("prior", "no promoted model")
        assert row.measured_by == measured_by(
            WorkloadSpec.model_validate(SPEC), ["request_rate_rps"]
        )
    assert rows[silent].rung == "none"
    assert "no observed demand" in rows[silent].reason
    assert rows[silent].n_paths == 0
    assert rows[stale].rung == "trailing_percentile"
    assert "stale" in rows[stale].reason
    assert [(j.name, j.payload) for j in sender.sent] == [
        (DECIDE_SHARD, {"shard": 0, "at": ORIGIN.isoformat()})
    ]


def test_how_late_forecasts_are_is_measured_once_for_each(app: Forecasting) -> None:
    n_workloads = len(fill(app.engine))
    name = "harmony_forecast_latency_seconds_count"
    before = telemetry.REGISTRY.get_sample_value(name) or 0.0
    service.forecast_shard(app, 0, ORIGIN)
    service.forecast_shard(app, 0, ORIGIN)
    assert telemetry.REGISTRY.get_sample_value(name) == before + n_workloads


def test_scoring_is_asked_once_per_horizon(app: Forecasting, sender: RecordingSender) -> None:
    fill(app.engine, 1)
    for k in range(12):
        service.forecast_shard(app, 0, ORIGIN - k * STEP)
    assert [j.name for j in sender.sent].count(FORECAST_SCORE) == 1


def test_a_second_run_adds_nothing_but_asks_for_the_decision_again(
    app: Forecasting, sender: RecordingSender
) -> None:
    fill(app.engine, 2)
    service.forecast_shard(app, 0, ORIGIN)
    stored = "SELECT id, quantiles, packed_paths FROM forecasts ORDER BY id"
    before = rows_of(app.engine, stored)
    assert service.forecast_shard(app, 0, ORIGIN) == 0
    assert rows_of(app.engine, stored) == before
    assert len(sender.sent) == 2


def test_a_sweep_sends_lost_origins_and_undecided_forecasts(
    app: Forecasting, sender: RecordingSender
) -> None:
    fill(app.engine, 2)
    assert service.sweep(app) == 1
    assert [j.name for j in sender.sent] == [FORECAST_SHARD]
    assert sender.sent[0].payload["at"] == ORIGIN.isoformat()
    service.forecast_shard(app, 0, ORIGIN)
    sender.sent.clear()
    service.sweep(app)
    assert [j.name for j in sender.sent] == [DECIDE_SHARD]


def test_a_job_that_comes_again_computes_nothing_again(
    app: Forecasting, sender: RecordingSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `harmony bench faults --seed 7`: the jobs of an outage kept the worker behind."""
    fill(app.engine)
    service.forecast_shard(app, 0, ORIGIN)
    late = add_workload(app.engine, "late")
    made: list[int] = []
    forecast = service._forecast_some

    def noted(app: Any, connection: Any, source: Any, ids: Any) -> Any:
        made.extend(ids)
        return forecast(app, connection, source, ids)

    monkeypatch.setattr(service, "_forecast_some", noted)
    assert service.forecast_shard(app, 0, ORIGIN) == 1
    assert made == [late]
    sender.sent.clear()
    assert service.forecast_shard(app, 0, ORIGIN) == 0
    assert made == [late]
    assert [job.name for job in sender.sent] == [DECIDE_SHARD]


def test_an_origin_is_not_forecast_again_by_a_model_promoted_since(app: Forecasting) -> None:
    """It may be decided by now, and would be decided twice."""
    ids = fill(app.engine)
    service.forecast_shard(app, 0, ORIGIN)
    with app.engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET model_version = 'the-one-before'"))
    assert service.forecast_shard(app, 0, ORIGIN) == 0
    assert len(rows_of(app.engine, "SELECT 1 FROM forecasts")) == len(ids)
