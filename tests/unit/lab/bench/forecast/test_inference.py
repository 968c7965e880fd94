from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from services.lab.bench.forecast import inference
from services.lab.bench.forecast.inference import bench_inference
from tests.few_trees import FEW_TREES


@pytest.mark.slow
def test_the_whole_fleet_is_forecast_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "CONFIG", replace(inference.CONFIG, trees=FEW_TREES))
    n_threads = torch.get_num_threads()
    try:
        found = bench_inference(600, 10, 1, seed=7)
    finally:
        torch.set_num_threads(n_threads)
    assert (found["workloads"], found["paths"], found["steps_ahead"]) == (600, 10, 12)
    assert found["seconds"] > 0
    assert found["peak_rss_mib"] > 100
