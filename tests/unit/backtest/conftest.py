"""A small closed-loop fleet, and predictors without a model."""

from __future__ import annotations

import pytest

from forecaster.choice.baselines import BestSimple
from forecaster.choice.ladder import Ladder
from forecaster.config import ForecasterConfig
from services.backtest.predictors import Trained
from services.simulator.fleet import Fleet, FleetOptions, generate_fleet


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return generate_fleet(
        FleetOptions(seed=3, n_workloads=3, step_s=600, n_history=432, n_replay=24)
    )


@pytest.fixture(scope="module")
def simple() -> Trained:
    config = ForecasterConfig()
    return Trained(Ladder(None, BestSimple({}, config.window)), config, "no model")
