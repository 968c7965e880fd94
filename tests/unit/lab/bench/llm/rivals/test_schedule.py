"""Counts known before."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.arena.loop import SERVE, FinishedRequests, LoopTick, PoolCounts
from services.lab.bench.llm.rivals.schedule import KnownSchedule, constant, ideal_counts

NONE = FinishedRequests(*(np.empty(0),) * 4)


def tick(now_s: float) -> LoopTick:
    return LoopTick(now_s, {SERVE: PoolCounts(1)}, 0, NONE, 0, 0, 0.0)


def test_workers_are_asked_for_one_start_up_ahead_and_kept_while_needed() -> None:
    schedule = KnownSchedule(np.array([1, 1, 4, 2, 2]), startup_s=20.0)
    counts = [schedule.on_tick(tick(15.0 * at)).counts[SERVE] for at in range(6)]
    assert counts == [1, 4, 4, 2, 2, 2]
    assert schedule.on_tick(tick(17.0)).next_tick_s == 30.0


def test_a_constant_stands() -> None:
    assert constant(3).on_tick(tick(1e6)).counts == {SERVE: 3}


def test_needs_become_whole_workers() -> None:
    assert ideal_counts(np.full(10, 2.0), 1.0).tolist() == [2] * 10
    assert ideal_counts(np.full(10, 2.0), 1.1).tolist() == [3] * 10
    assert ideal_counts(np.zeros(10), 1.0).tolist() == [1] * 10
    around = ideal_counts(np.array([0.0, 0, 0, 8, 0, 0, 0, 0]), 1.0)
    assert around.size == 8
    assert around.max() == 2
    with pytest.raises(ValueError, match="empty"):
        ideal_counts(np.empty(0), 1.0)
