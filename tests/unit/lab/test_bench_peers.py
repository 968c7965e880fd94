"""Peer forecasters: inputs, laws of every answer, and what is said when a library is missing."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from forecaster.dataset import Origins
from forecaster.types import Series
from services.lab.bench.forecast.arm import LEVELS, Arm, Prediction
from services.lab.bench.forecast.peers import (
    lightgbm as peers_lightgbm,
    neuralforecast as peers_neuralforecast,
    statsforecast as peers_statsforecast,
)
from services.lab.bench.forecast.peers.inputs import (
    FeatureTable,
    MissingLibrary,
    floors,
    library,
    normalised_windows,
    train_origins,
)
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


@pytest.fixture(autouse=True, scope="module")
def _small_and_single() -> Iterator[None]:
    """One thread, and a short search for seasons."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers_statsforecast, "SEASONAL_FIT_STEPS", 0)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def answer() -> Callable[..., Prediction]:
    """Fits each arm once per protocol."""
    fitted: dict[tuple[str, Protocol], object] = {}

    def predict(name: str, task: BenchTask, origins: Origins) -> Prediction:
        pytest.importorskip(LIBRARIES[name], reason="needs the extra `bench`")
        key = (name, task.protocol)
        if key not in fitted:
            fitted[key] = ARMS[name].fit(make_task(task.protocol), 5, silent)
        return fitted[key].predict(task, origins, 10, np.random.default_rng(3))

    return predict


@each_arm
@pytest.mark.parametrize("protocol", [Protocol.PANEL, Protocol.FISHER_H1])
def test_every_answer_is_finite_and_increases(
    name: str, protocol: Protocol, answer: Callable[..., Prediction]
) -> None:
    task = make_task(protocol)
    origins = early(task)
    found = answer(name, task, origins)
    shape = (origins.which.size, task.targets.shape[1], LEVELS.size, protocol.horizon)
    assert found.quantiles.shape == shape
    assert found.quantiles.dtype == np.float32
    known = task.targets[origins.which] >= 0
    assert np.isfinite(found.quantiles[known]).all()
    assert (np.diff(found.quantiles[known], axis=1) >= 0).all()
    assert (found.quantiles[known] >= 0).all()
    spread = found.quantiles[:, 0, -1] - found.quantiles[:, 0, 0]
    assert (spread > 0).all()
    if found.paths is not None:
        assert found.paths.shape == (origins.which.size, 10, protocol.horizon)
        inside = (found.paths.min(axis=1) <= found.quantiles[:, 0, 9]).mean()
        assert inside > 0.9


@each_arm
def test_an_answer_depends_on_the_past_alone(name: str, answer: Callable[..., Prediction]) -> None:
    task = make_task(Protocol.PANEL)
    origins = early(task)
    found = answer(name, task, origins)
    again = answer(name, with_other_future(task, origins), origins)
    np.testing.assert_array_equal(found.quantiles, again.quantiles)
    alone = origins.take(np.array([0]))
    changed = answer(name, with_other_future(task, alone), origins).quantiles
    later = (origins.which == 0) & (origins.position > origins.position[0])
    assert later.any()
    assert (changed[later] != found.quantiles[later]).any()


@pytest.mark.parametrize("name", ["trees", "nhits", "deepar"])
def test_fitting_reads_no_test_step_and_repeats(
    name: str, answer: Callable[..., Prediction]
) -> None:
    task = make_task(Protocol.PANEL)
    origins = early(task)
    first = answer(name, task, origins)
    last = Origins(np.array([0, 1]), np.array([479, 479]))
    state = torch.random.get_rng_state()
    fitted = ARMS[name].fit(with_other_future(task, last), 5, silent)
    assert torch.equal(state, torch.random.get_rng_state())
    second = fitted.predict(task, origins, 10, np.random.default_rng(3))
    np.testing.assert_array_equal(first.quantiles, second.quantiles)


def test_a_network_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("neuralforecast", reason="needs the extra `bench`")
    monkeypatch.chdir(tmp_path)
    NETS["nhits"].fit(make_task(Protocol.FISHER_H1), 1, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_network_out_of_time_says_so() -> None:
    pytest.importorskip("neuralforecast", reason="needs the extra `bench`")
    lines: list[str] = []
    grid = (NetSettings(1e-3, 100_000), NetSettings(1e-3, 2))
    kind = dataclasses.replace(NETS["nhits"].kind, grid=grid)
    NeuralForecastArm(kind, budget_s=0.4).fit(make_task(Protocol.FISHER_H1), 1, lines.append)
    assert "max_steps=100000): stopped after its 0.2 s" in lines[0]
    assert "validation" in lines[1]


@each_arm
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = importlib.import_module

    def without(module: str, package: str | None = None) -> object:
        top = module.split(".")[0]
        if top == LIBRARIES[name]:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
        return genuine(module, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingLibrary, match=r"pip install 'harmony-gpu\[bench\]'") as caught:
        ARMS[name].fit(make_task(Protocol.PANEL), 0, silent)
    assert LIBRARIES[name] in caught.value.message


def test_a_broken_dependency_is_not_called_missing() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        library("json", "nothing")
    assert not isinstance(caught.value, MissingLibrary)


def test_importing_the_peers_loads_no_library() -> None:
    modules = (peers_lightgbm, peers_neuralforecast, peers_statsforecast)
    for module in modules:
        for name in ("lightgbm", "neuralforecast", "statsforecast"):
            assert not hasattr(module, name)


def test_features_are_equivariant_and_mark_the_step() -> None:
    task = make_task(Protocol.PANEL)
    larger = dataclasses.replace(
        task,
        series=tuple(dataclasses.replace(s, values=8 * s.values) for s in task.series),
        units=8 * task.units,
    )
    origins = early(task)
    target = np.zeros(origins.which.size, dtype=np.int64)
    ahead = np.tile(np.array([1, 12]), (target.size, 1))
    small_rows = FeatureTable(task, True).rows(origins, target, ahead)
    large_rows = FeatureTable(larger, True).rows(origins, target, ahead)
    np.testing.assert_allclose(small_rows.features, large_rows.features, atol=2e-3)
    np.testing.assert_allclose(small_rows.weight, large_rows.weight, rtol=1e-5)
    truth = task.truth(origins)
    value = (small_rows.location + small_rows.scale * small_rows.actual).reshape(ahead.shape)
    seen = truth.observed[:, 0][:, [0, 11]]
    np.testing.assert_allclose(
        value[seen], truth.actual[:, 0][:, [0, 11]][seen], rtol=1e-4, atol=1e-3
    )
    assert ((small_rows.weight > 0).reshape(ahead.shape) == seen).all()


def test_the_season_feature_is_the_value_a_day_before_the_step() -> None:
    task = make_task(Protocol.PANEL)
    origins = early(task)
    target = np.zeros(origins.which.size, dtype=np.int64)
    for ahead in (1, 5, 12):
        rows = FeatureTable(task).rows(origins, target, np.full((target.size, 1), ahead))
        at = origins.position + ahead - 24
        series = [task.series[i] for i in origins.which]
        expected = np.array([s.values[t, 0] for s, t in zip(series, at, strict=True)])
        seen = np.array([s.observed[t, 0] for s, t in zip(series, at, strict=True)])
        day_before = rows.features[:, -3 * 6 + 2]  # three seasons of six features, the newest first
        value = rows.location + rows.scale * day_before
        np.testing.assert_allclose(value[seen], expected[seen], rtol=1e-4)
        assert np.isnan(value[~seen]).all()


def test_the_outcome_enters_no_statistic_of_a_window() -> None:
    task = make_task(Protocol.FISHER_H1)
    origins = train_origins(task).take(np.array([0, 60, 400]))
    target = np.zeros(3, dtype=np.int64)
    past = normalised_windows(task, origins, target, 0)
    whole = normalised_windows(task, origins, target, 6)
    np.testing.assert_array_equal(past.scale, whole.scale)
    np.testing.assert_array_equal(past.z, whole.z[:, :144])
    assert not whole.observed[0, :100].any()


def test_floors_are_zero_unless_history_goes_below() -> None:
    task = make_task(Protocol.FISHER_H1)
    values = task.series[0].values.copy()
    values[3, 1] = -2
    below = dataclasses.replace(task.series[0], values=values)
    found = floors(dataclasses.replace(task, series=(below, task.series[1])))
    assert found.tolist() == [[0, -np.inf, 0], [0, 0, 0]]
