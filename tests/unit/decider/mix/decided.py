"""Decisions of workloads with variants, and the counts of their mixes."""

from __future__ import annotations

from decider import DecideConfig, Decision, decide_shard
from decider.types import ShardRequest, WorkloadInput
from tests.unit.decider.shards import NOW_S, noisy, shard

CONFIG = DecideConfig()


def decide(request: ShardRequest) -> list[Decision]:
    """One decision per workload of a shard."""
    return list(decide_shard(request, CONFIG, NOW_S))


def one(w: WorkloadInput, level: float = 80.0, **kw: object) -> Decision:
    """The decision of one workload at a level of demand."""
    return decide(shard(noisy(level), [w], **kw))[0]  # type: ignore[arg-type]


def counts(decision: Decision) -> dict[str, int]:
    """Desired counts of a mix by variant."""
    assert decision.mix is not None
    return {c.name: c.desired for c in decision.mix.counts}
