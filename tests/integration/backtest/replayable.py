"""Stored demand that a backtest can replay."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine

from tests.integration.decision.stored_rows import add_demand, add_workload

N_STEPS = 200
N_REPLAY = 24
REPLAY_HOURS = 2.0
KEY = "demo/tiny"


def wave(n_steps: int = N_STEPS) -> list[float]:
    """Demand that rises and falls every fifty steps, always above zero."""
    noise = np.random.default_rng(3).normal(0, 2, n_steps)
    return [float(v) for v in 60 + 40 * np.sin(2 * np.pi * np.arange(n_steps) / 50) + noise]


def add_replayable(engine: Engine, name: str = "tiny", n_steps: int = N_STEPS) -> int:
    """Register a workload with demand up to `stored_rows.ORIGIN`."""
    workload = add_workload(engine, name)
    add_demand(engine, workload, wave(n_steps))
    return workload
