"""A fit of workloads with further loads learns these together, and forecasts go by it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from forecaster import model_from_bytes
from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.further import FURTHER
from services.forecasting.rows.further import unpack_further
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training import fit as service_fit
from services.kernel.clock import FixedClock
from services.kernel.domain.path_bytes import unpack_halves
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.few_trees import FEW_TREES
from tests.integration.forecasting.simple_fleet import (
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

SMALL_MODEL = ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8)
SMALL = TrainConfig(max_windows=300, max_validation_windows=100, epochs=1, flow_epochs=1)
LOADS = NAMES[1:]
STATES = "SELECT state FROM calibration_states ORDER BY workload_id"


@pytest.fixture
def app(database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Forecasting:
    def config(given: Settings) -> ForecasterConfig:
        return ForecasterConfig(forecaster_config(given).window, SMALL_MODEL, SMALL, FEW_TREES)

    monkeypatch.setattr(service_fit, "forecaster_config", config)
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(START + N_STEPS * STEP))


@pytest.mark.slow
def test_forecasts_go_by_the_loads_that_were_learned_together(app: Forecasting) -> None:
    for i, further in enumerate(((), LOADS, LOADS[:1])):
        add_indicators(app.engine, add_workload(app.engine, f"w{i}", further=further), demand(i))
    outcome = service_fit.fit_models(app)
    assert outcome.status in ("promoted", "shadow"), outcome.reason
    (stored,) = rows_of(app.engine, "SELECT artifact FROM models WHERE artifact IS NOT NULL")
    joint = model_from_bytes(stored.artifact).joint
    assert joint is not None
    assert set(joint.further) == set(LOADS)
    told = outcome.metrics["joint_flow"]
    assert told["further"] == list(joint.further)
    assert told["n_windows"] > 0
    if outcome.status != "promoted":
        service_fit.promote(app, outcome.version, "to see its forecasts")
    states = [row.state for row in rows_of(app.engine, STATES)]
    assert FURTHER not in states[0]
    assert [set(state[FURTHER]) for state in states[1:]] == [set(LOADS), {LOADS[0]}]
    assert all(one["n_seen"] > 0 for state in states[1:] for one in state[FURTHER].values())
    service.forecast_shard(app, 0, ORIGIN)
    plain, both, one = rows_of(app.engine, "SELECT * FROM forecasts ORDER BY workload_id")
    assert [row.rung for row in (plain, both, one)] == ["model"] * 3
    assert [row.reason for row in (plain, both, one)] == [""] * 3
    assert [row.further_names for row in (plain, both, one)] == [None, list(LOADS), [LOADS[0]]]
    for row in (both, one):
        paths = unpack_further(row.further_paths, row.further_scales, row.n_paths, row.n_horizon)
        assert np.isfinite(paths).all()
        assert (paths >= 0).all()
        assert (paths.max(axis=1) > paths.min(axis=1)).all()


def test_a_load_that_is_new_to_the_model_is_told_and_moves_with_the_demand(
    app: Forecasting,
) -> None:
    add_indicators(app.engine, add_workload(app.engine, "w0"), demand(0))
    outcome = service_fit.fit_models(app)
    assert "joint_flow" not in outcome.metrics
    if outcome.status != "promoted":
        service_fit.promote(app, outcome.version, "to see its forecasts")
    late = add_workload(app.engine, "late", further=LOADS[:1])
    add_indicators(app.engine, late, demand(1))
    service.forecast_shard(app, 0, ORIGIN)
    plain, row = rows_of(app.engine, "SELECT * FROM forecasts ORDER BY workload_id")
    assert (plain.rung, plain.reason) == ("model", "")
    assert row.rung == "model"
    assert "has not learned the loads together" in row.reason
    (load,) = unpack_further(row.further_paths, row.further_scales, row.n_paths, row.n_horizon)
    own = unpack_halves(row.packed_paths, row.n_paths, row.n_horizon).astype(np.float32)
    for h in range(row.n_horizon):
        order = np.lexsort((load[:, h], own[:, h]))
        assert (np.diff(load[order, h]) >= 0).all()
