"""The real engine, where `make arena` was run."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena.engine import EngineChoice, ReplayEngine, arena_python
from services.lab.arena.loop import LoopSetup, LoopTargets, LoopTick, PoolCounts
from services.lab.arena.requests import RequestList, Shape, lognormal_mix, poisson_requests


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skips where the engine is not installed."""
    try:
        arena_python()
    except Unavailable as error:
        pytest.skip(error.message)


@pytest.mark.slow
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


class Plan:
    """Two workers, four from 30 s on, one from 150 s on."""

    first_tick_s = 15.0

    def __init__(self) -> None:
        self.seen: list[LoopTick] = []

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        self.seen.append(tick)
        count = 2 if tick.now_s < 30 else 4 if tick.now_s < 150 else 1
        return LoopTargets({"serve": count}, tick.now_s + 15.0)


@pytest.mark.slow
def test_workers_start_late_drain_and_every_run_is_the_same() -> None:
    rng = np.random.default_rng(1)
    requests = poisson_requests(4.0, 4, Shape(1000, 200), lognormal_mix(), rng)
    setup, first, again = LoopSetup(60.0, {"serve": 2}), Plan(), Plan()
    with ReplayEngine(EngineChoice("Qwen/Qwen3-32B", "h200_sxm")) as engine:
        one, other = engine.loop(requests, setup, first), engine.loop(requests, setup, again)
    counts = {tick.now_s: tick.pools["serve"] for tick in first.seen}
    assert counts[45.0] == PoolCounts(2, starting=2)
    assert counts[75.0] == PoolCounts(2, starting=2)
    assert counts[105.0] == PoolCounts(4)
    assert counts[165.0].ready == 1
    assert counts[165.0].draining > 0
    assert counts[210.0] == PoolCounts(1)
    assert one.alive["serve"].count.tolist() == [2, 4, 3, 2, 1]
    assert one.alive["serve"].at_s[1] == 30.0
    assert one.gpu_hours(0, 150) == pytest.approx((2 * 30 + 4 * 120) / 3600)
    until = first.seen[-1].now_s * 1e3
    assert sum(tick.arrived for tick in first.seen) == (requests.arrival_ms < until).sum()
    ends = requests.arrival_ms + one.served.e2e_ms
    assert sum(len(tick.finished) for tick in first.seen) == (ends <= until).sum()
    is_late = one.served.ttft_ms[ends <= until] > 300.0
    seen_late = np.concatenate([tick.finished.ttft_ms for tick in first.seen]) > 300.0
    assert seen_late.mean() == pytest.approx(is_late.mean(), abs=0.01)
    assert (one.served.ttft_ms == other.served.ttft_ms).all()
    assert [tick.running for tick in first.seen] == [tick.running for tick in again.seen]


@pytest.mark.slow
def test_what_is_not_finished_at_the_end_was_never_served() -> None:
    rng = np.random.default_rng(1)
    requests = poisson_requests(40.0, 1, Shape(1000, 200), lognormal_mix(), rng)
    with ReplayEngine(EngineChoice("Qwen/Qwen3-32B", "h200_sxm")) as engine:
        result = engine.loop(requests, LoopSetup(600.0, max_workers=1, drain_s=10.0), Plan())
    n_served = np.isfinite(result.served.ttft_ms).sum()
    assert 0 < n_served < len(requests)
    assert result.ended_s < 71.0
