"""What a fit that loses leaves behind serves each workload by what was best for it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import Engine

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training import fit as service_fit
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.few_trees import FEW_TREES
from tests.integration.forecasting.simple_fleet import (
    NAMES,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)
from tests.integration.stored_indicators import store_indicators

N_OLD, N_YOUNG, PER_DAY = 3600, 432, 144
"""Of the old one's steps 12 % are held out: all of the young one's."""


@pytest.fixture
def app(database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Forecasting:
    """A service whose fits are small."""
    window = forecaster_config(settings).window
    config = ForecasterConfig(
        window,
        ModelConfig(width=16, hidden=24, heads=2, flow_layers=0),
        TrainConfig(max_windows=200, max_validation_windows=100, epochs=1),
        FEW_TREES,
    )
    monkeypatch.setattr(service_fit, "forecaster_config", lambda _: config)
    small = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(START + N_OLD * STEP))


def timetable() -> np.ndarray:
    """On at the same steps of each day, which only the day before tells."""
    rng = np.random.default_rng(5)
    is_on = np.tile(rng.random(PER_DAY) < 0.3, N_YOUNG // PER_DAY)
    return np.where(is_on, 100.0, 5.0) + rng.normal(0.0, 1.0, N_YOUNG)


def add_young(engine: Engine) -> None:
    workload_id, begins = add_workload(engine, "young"), START + (N_OLD - N_YOUNG) * STEP
    with engine.begin() as connection:
        store_indicators(
            connection,
            [
                (workload_id, NAMES[0], begins + t * STEP, float(value), True)
                for t, value in enumerate(timetable())
            ],
        )


@pytest.mark.slow
def test_a_workload_too_young_to_be_fitted_is_answered_by_its_best(app: Forecasting) -> None:
    """`smoothed`, the default that nobody had chosen, did, while the prior was better than it."""
    add_indicators(app.engine, add_workload(app.engine, "old"), demand(0, N_OLD))
    add_young(app.engine)
    assert service_fit.fit_models(app).status == "shadow"
    (row,) = rows_of(app.engine, "SELECT metrics FROM models")
    assert row.metrics["skipped"].keys() == {"demo/young"}
    assert "demo/young" in row.metrics["simple_only"]
    origin: datetime = START + (N_OLD - 1) * STEP
    assert service.forecast_shard(app, 0, origin) == 2
    rungs = {
        r.name: r.rung
        for r in rows_of(
            app.engine,
            "SELECT w.name, f.rung FROM forecasts f JOIN workloads w ON w.id = f.workload_id",
        )
    }
    assert rungs["young"] == row.metrics["picks"]["demo/young"]
    assert rungs["young"].startswith("seasonal")
