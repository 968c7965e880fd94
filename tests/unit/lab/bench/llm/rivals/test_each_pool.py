"""A rule for each of two pools."""

from __future__ import annotations

import numpy as np

from services.lab.arena.loop import (
    DECODE,
    PREFILL,
    SERVE,
    FinishedRequests,
    LoopTick,
    PoolCounts,
    PoolWork,
)
from services.lab.bench.llm.rivals.each_pool import EachPool
from services.lab.bench.llm.rivals.hpa import KV_USAGE, HpaPolicy, HpaRules

NONE = FinishedRequests(*(np.empty(0),) * 4)
TICK = LoopTick(
    15.0,
    {PREFILL: PoolCounts(2), DECODE: PoolCounts(4)},
    0,
    NONE,
    running=44,
    waiting=4,
    kv_usage=0.6,
    work={PREFILL: PoolWork(4, 4, 0.1, 0.9), DECODE: PoolWork(40, 0, 0.6, 1.0)},
)


def test_each_sees_its_own_pool_alone() -> None:
    prefill = HpaPolicy(HpaRules(2.0, is_external=True))
    decode = HpaPolicy(HpaRules(0.4, KV_USAGE, is_external=True))
    told = EachPool({PREFILL: prefill, DECODE: decode}).on_tick(TICK)
    assert told.counts == {PREFILL: 4, DECODE: 6}
    assert told.next_tick_s == 30.0


def test_a_pool_as_if_there_were_no_other() -> None:
    own = TICK.of(DECODE)
    assert own.pools == {SERVE: PoolCounts(4)}
    assert (own.running, own.waiting, own.kv_usage) == (40, 0, 0.6)
    assert (own.now_s, own.work) == (15.0, {})
