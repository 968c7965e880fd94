"""Every peer forecaster, by the same rules."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from forecaster.dataset import Origins
from services.lab.bench.forecast.arm import LEVELS, Prediction
from services.lab.bench.forecast.peers import (
    lightgbm as peers_lightgbm,
    neuralforecast as peers_neuralforecast,
    statsforecast as peers_statsforecast,
)
from services.lab.bench.forecast.peers.inputs import MissingLibrary
from services.lab.bench.forecast.task import Protocol
from tests.unit.lab.bench.forecast.peers.tasks import (
    ARMS,
    LIBRARIES,
    each_arm,
    early,
    make_task,
    silent,
    with_other_future,
)


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


def test_importing_the_peers_loads_no_library() -> None:
    modules = (peers_lightgbm, peers_neuralforecast, peers_statsforecast)
    for module in modules:
        for name in ("lightgbm", "neuralforecast", "statsforecast"):
            assert not hasattr(module, name)
