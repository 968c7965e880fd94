"""Small settings of the peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from forecaster.dataset import Origins
from services.lab.bench.forecast.arm import Prediction
from services.lab.bench.forecast.peers import statsforecast as peers_statsforecast
from services.lab.bench.forecast.task import BenchTask, Protocol
from tests.unit.lab.bench.forecast.peers.tasks import ARMS, LIBRARIES, make_task, silent


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
