"""Lines of the scaling loop: what is asked, what is seen, what is told."""

from __future__ import annotations

import numpy as np

from services.lab.arena.loop import LoopSetup, LoopTargets, PoolCounts, PoolWork
from services.lab.arena.loop_wire import loop_question, targets_line, tick_of
from services.lab.arena.requests import RequestList

SETUP = LoopSetup(60.0, {"serve": 2}, max_workers=4, drain_s=30.0)


def test_the_replay_ends_after_the_last_arrival() -> None:
    requests = RequestList(np.array([0.0, 9e3]), np.array([10, 20]), np.array([5, 1]))
    asked = loop_question(requests, SETUP, first_tick_s=15.0)
    assert (asked["until_ms"], asked["first_tick_ms"]) == (39e3, 15e3)
    assert asked["input_tokens"] == [10, 20]


def test_counts_are_cut_to_the_limits() -> None:
    told = targets_line(LoopTargets({"prefill": 0, "decode": 9}, 30.0), SETUP)
    assert told == {"targets": {"prefill": 1, "decode": 4}, "next_tick_ms": 30e3}


def test_what_is_not_known_is_no_number() -> None:
    tick = tick_of(
        {
            "now_ms": 1500.0,
            "pools": {"serve": {"ready": 1, "starting": 2, "draining": 3}},
            "arrived": 4,
            "finished": {
                "ttft_ms": [70.0],
                "tpot_ms": [None],
                "input_tokens": [20.0],
                "output_tokens": [1.0],
            },
            "running": 5,
            "waiting": 6,
            "kv_usage": 0.5,
            "work": {"decode": {"running": 2, "waiting": 1, "kv_usage": 0.25, "busy": 0.75}},
        }
    )
    assert tick.work == {"decode": PoolWork(2, 1, 0.25, 0.75)}
    assert tick.now_s == 1.5
    assert tick.pools["serve"] == PoolCounts(1, 2, 3)
    assert tick.pools["serve"].alive == 6
    assert len(tick.finished) == 1
    assert np.isnan(tick.finished.tpot_ms).all()
