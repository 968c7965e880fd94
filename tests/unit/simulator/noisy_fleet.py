"""A short fleet whose demand has noise and gaps."""

from __future__ import annotations

import numpy as np

from tests.unit.simulator.fleets import make_fleet


def noisy_fleet(seed, *, n_history=240, gap=0.05):
    rng = np.random.default_rng(seed)
    wave = 8 + 5 * np.sin(2 * np.pi * np.arange(n_history + 10) / 80)
    demand = wave * rng.lognormal(0, 0.2, (2, n_history + 10))
    observed = rng.random(demand.shape) >= gap
    return make_fleet(demand, n_history=n_history, median_s=100.0, gpus=2, observed=observed)
