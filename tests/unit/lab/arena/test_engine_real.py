"""The real engine, where `make arena` was run."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena.engine import EngineChoice, ReplayEngine, arena_python
from services.lab.arena.requests import RequestList, Shape, lognormal_mix, poisson_requests


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skips where the engine is not installed."""
    try:
        arena_python()
    except Unavailable as error:
        pytest.skip(error.message)


def test_requests_are_served_the_same_twice_and_worse_under_load() -> None:
    mix, shape = lognormal_mix(), Shape(600, 60)
    light, heavy = (
        poisson_requests(rate, 4, shape, mix, np.random.default_rng(1)) for rate in (0.3, 6.0)
    )
    with ReplayEngine(EngineChoice("Qwen/Qwen3-32B", "a100_sxm")) as engine:
        assert engine.about["kv_tokens"] == 24_960
        first = engine.replay(light)
        again, loaded = engine.replay_each([light, heavy])
        too_long = RequestList(np.zeros(1), np.array([30_000]), np.array([10]))
        refused = engine.replay(too_long)
    assert first.ttft_ms == pytest.approx(again.ttft_ms, abs=0.01)
    assert np.median(loaded.ttft_ms) > 2 * np.median(first.ttft_ms)
    assert np.isnan(refused.ttft_ms).all()


def test_an_unknown_gpu_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"--gpu=a100: must be one of .*a100_sxm"):
        ReplayEngine(EngineChoice("Qwen/Qwen3-32B", "a100"))
