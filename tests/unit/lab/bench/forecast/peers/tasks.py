"""Tasks and small arms for tests of the peer forecasters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from forecaster.dataset import Origins
from forecaster.types import Series
from services.lab.bench.forecast.arm import Arm
from services.lab.bench.forecast.peers import neuralforecast as peers_neuralforecast
from services.lab.bench.forecast.peers.lightgbm import LightGbmArm, TreeSettings
from services.lab.bench.forecast.peers.neuralforecast import (
    DEEPAR,
    NHITS,
    PATCHTST,
    NetSettings,
    NeuralForecastArm,
)
from services.lab.bench.forecast.peers.statsforecast import AutoEtsArm
from services.lab.bench.forecast.task import BenchTask, Protocol

N_STEPS = 600

STEP_S = 3600


def silent(line: str) -> None:
    pass


def make_series(seed: int, scale: float, names: tuple[str, ...]) -> Series:
    """A daily wave with correlated noise; the second indicator follows, the third stands still."""
    rng = np.random.default_rng(seed)
    steps = np.arange(N_STEPS)
    noise = np.zeros(N_STEPS)
    for t in range(1, N_STEPS):
        noise[t] = 0.7 * noise[t - 1] + rng.normal(0, 0.08)
    demand = np.maximum(1 + 0.5 * np.sin(2 * np.pi * steps / 24 + seed) + noise, 0) * scale
    columns = [demand, demand / 7 + rng.uniform(0, scale / 20, N_STEPS), np.full(N_STEPS, 4e9)]
    values = np.stack(columns[: len(names)], axis=1).astype(np.float32)
    observed = np.ones(values.shape, dtype=bool)
    observed[rng.choice(N_STEPS, 20, replace=False), 0] = False
    observed[:5, 0] = False
    levels = (1, 2, 3)[: len(names)]
    return Series(f"w{seed}", values, observed, names, levels, 0, 0, STEP_S)


def make_task(protocol: Protocol) -> BenchTask:
    """Two workloads; the second lacks an indicator."""
    names = ("rate", "concurrency", "memory_limit")
    series = (make_series(0, 10.0, names), make_series(1, 1000.0, names[:2]))
    everything = np.array([[0, 1, 2], [0, 1, -1]])
    targets = everything if protocol.has_all_targets else everything[:, :1]
    units = np.ones(targets.shape)
    for i, one in enumerate(series):
        for g, d in enumerate(targets[i]):
            units[i, g] = max(np.ptp(one.values[:420, d]), 1.0) if d != 2 else 1.0
    shown = names if protocol.has_all_targets else ("demand",)
    return BenchTask("toy", protocol, series, (420, 420), (480, 480), targets, shown, units, 12)


def with_other_future(task: BenchTask, origins: Origins) -> BenchTask:
    """The same task, everything after the last origin of each workload replaced."""
    changed = []
    for i, one in enumerate(task.series):
        values = one.values.copy()
        cut = int(origins.position[origins.which == i].max(initial=-1)) + 1
        if cut > 0:
            values[cut:] = 7 * values[cut:] + 3
        changed.append(dataclasses.replace(one, values=values))
    return dataclasses.replace(task, series=tuple(changed))


def early(task: BenchTask) -> Origins:
    """Test origins from the first half of the test part."""
    origins = task.test_origins()
    return origins.take(np.flatnonzero(origins.position < 540))


ETS = AutoEtsArm()

TREES = LightGbmArm(grid=(TreeSettings(7, 1.0),), max_rows=3000, max_trees=8)

OTHERS = LightGbmArm(True, (TreeSettings(7, 0.0),), max_rows=3000, max_trees=8)


def small(kind: peers_neuralforecast.NetKind, size: dict[str, object]) -> NeuralForecastArm:
    grid = (NetSettings(1e-3, 4), NetSettings(3e-3, 4))
    return NeuralForecastArm(dataclasses.replace(kind, batch=16, size=size, grid=grid))


NETS = {
    "nhits": small(NHITS, {"mlp_units": 3 * [[16, 16]]}),
    "patchtst": small(PATCHTST, {"hidden_size": 8, "n_heads": 2, "encoder_layers": 1}),
    "deepar": small(DEEPAR, {"lstm_hidden_size": 8, "lstm_n_layers": 2}),
}

LIBRARIES = {
    "ets": "statsforecast",
    "trees": "lightgbm",
    "others": "lightgbm",
    **dict.fromkeys(NETS, "neuralforecast"),
}

ARMS: dict[str, Arm] = {"ets": ETS, "trees": TREES, "others": OTHERS, **NETS}

each_arm = pytest.mark.parametrize("name", list(ARMS))
