"""A fleet for runs over the engine."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.simulator.fleets import make_fleet


@pytest.fixture(scope="module")
def fleet():
    rng = np.random.default_rng(11)
    t = np.arange(720)
    wave = 8 + 5 * np.sin(2 * np.pi * t / 240)
    demand = wave * rng.lognormal(0, 0.1, (3, 720))
    return make_fleet(demand, n_history=480, sigma=0.3, fail=0.05, gpus=2, median_s=70.0)
