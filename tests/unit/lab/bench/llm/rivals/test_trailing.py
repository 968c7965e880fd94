"""The trailing percentile."""

from __future__ import annotations

import numpy as np

from services.lab.arena.loop import SERVE, FinishedRequests, LoopTick, PoolCounts
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm.rivals.trailing import TrailingPolicy, TrailingRules

LAW = WorkLaw(0.0, 0.001, 0.0)


def tick(now_s: float, arrived: int, n_finished: int = 5, length: float = 500.0) -> LoopTick:
    lengths = np.full(n_finished, length)
    finished = FinishedRequests(lengths, lengths, lengths, lengths)
    return LoopTick(now_s, {SERVE: PoolCounts(3)}, arrived, finished, 0, 0, 0.0)


def test_work_of_arrivals_at_the_lengths_of_finished_requests() -> None:
    policy = TrailingPolicy(TrailingRules(1.0), LAW)
    counts = [policy.on_tick(tick(15.0 * at, 150)).counts for at in range(1, 6)]
    assert counts == [{SERVE: 5}] * 5  # 10 requests/s of half a second


def test_a_margin_and_a_window() -> None:
    wide = TrailingPolicy(TrailingRules(1.5, percentile=100.0, window_s=60.0, smooth_s=15.0), LAW)
    assert wide.on_tick(tick(15.0, 150)).counts == {SERVE: 8}
    for at in range(2, 5):
        assert wide.on_tick(tick(15.0 * at, 15)).counts == {SERVE: 8}
    assert wide.on_tick(tick(75.0, 15)).counts == {SERVE: 1}


def test_nothing_is_asked_before_a_request_has_finished() -> None:
    policy = TrailingPolicy(TrailingRules(1.0), LAW)
    assert policy.on_tick(tick(15.0, 150, n_finished=0)).counts == {}
