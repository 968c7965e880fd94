"""Pools of a workload: parts that carry different loads and keep one promise together.

Disaggregated serving has a pool for prefill and one for decode: each request passes through both,
and misses where either is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from services.kernel.domain.lead_time import LeadTimeSpec
from services.kernel.domain.parts import MOST_REPLICAS, PartSpec, check_parts

MIN_POOLS, MAX_POOLS = 2, 4


class PoolSpec(PartSpec):
    """One pool.

    Attributes:
        loads: Names of the loads that fall on it; each of the workload's in exactly one pool.
        lead_time: Its own; None: that of the workload.
    """

    WORD: ClassVar[str] = "pool"

    min_replicas: int = Field(1, ge=0, le=MOST_REPLICAS)
    loads: tuple[str, ...] = Field(min_length=1)
    lead_time: LeadTimeSpec | None = None


def check_pools(pools: Sequence[PoolSpec], loads: Sequence[str]) -> None:
    """Refuse pools that cannot be told apart or do not share out the loads.

    Args:
        pools: Pools of a workload; none: it has no pools.
        loads: Names of its loads, the demand first.

    Raises:
        ValueError: There are too few or too many, two are alike, or a load is in none or in two.
    """
    if not pools:
        return
    if not MIN_POOLS <= len(pools) <= MAX_POOLS:
        raise ValueError(f"pools: {len(pools)} given, must be {MIN_POOLS} to {MAX_POOLS}")
    check_parts(pools)
    for pool in pools:
        unknown = [name for name in pool.loads if name not in loads]
        if unknown:
            raise ValueError(
                f"pools: load {unknown[0]!r} of pool {pool.name!r} must be one of {list(loads)}: "
                "the demand, or a load of capacity.also_bound_by"
            )
    given = [name for pool in pools for name in pool.loads]
    for name in loads:
        if given.count(name) != 1:
            raise ValueError(
                f"pools: load {name!r} is in {given.count(name)} pools, must be in exactly one"
            )
