"""The model of the calm fleet, trained once, and the service as it stands at the fit."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from forecaster.training.checkpoint import model_to_bytes
from forecaster.training.fit import fit
from forecaster.types import Series
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows.translate import forecaster_config
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.few_trees import FEW_TREES
from tests.integration.forecasting.fitted_fleet import (
    FITTED_AT,
    N_TRAINED,
    N_WORKLOADS,
    NAME,
    START,
    STEP_S,
    demand,
    small,
)


@pytest.fixture(scope="session")
def trained() -> tuple[bytes, str, ForecasterConfig]:
    """Bytes, version and configuration of a model of the calm fleet."""
    window = forecaster_config(small(Settings())).window
    config = ForecasterConfig(
        window,
        ModelConfig(width=16, hidden=24, heads=2, flow_layers=0),
        TrainConfig(max_windows=300, max_validation_windows=100, batch=64, epochs=2),
        FEW_TREES,
    )
    names = [f"demo/w{i}" for i in range(N_WORKLOADS)]
    model = fit([_series(n, demand(i)) for i, n in enumerate(names)], config, seed=1).model
    return model_to_bytes(model), model.version, config


def _series(name: str, values: np.ndarray) -> Series:
    column = values[:N_TRAINED, None].astype(np.float32)
    seen = np.ones(column.shape, dtype=bool)
    return Series(name, column, seen, (NAME,), (1,), 0, int(START.timestamp()), STEP_S)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def clock_at_fit() -> FixedClock:
    return FixedClock(FITTED_AT)


@pytest.fixture
def app(
    database: Engine, settings: Settings, sender: RecordingSender, clock_at_fit: FixedClock
) -> Forecasting:
    return make_forecasting(small(settings), sender, clock_at_fit)
