"""Pools of a workload: parts that carry different loads and keep one promise together.

Disaggregated serving has a pool for prefill and one for decode: each request passes through both,
and misses where either is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from services.kernel.domain.lead_time import LeadTimeSpec
from services.kernel.domain.parts import MOST_REPLICAS, PartSpec, check_parts

Occupied = Literal["Room", "Time"]
"""What of a replica is taken."""
MIN_POOLS, MAX_POOLS = 2, 4


class PoolSpec(PartSpec):
    """One pool.

    Attributes:
        loads: Names of the loads that fall on it; each of the workload's in exactly one pool.
        lead_time: Its own; None: that of the workload.
        occupancy_indicator: Name of the indicator that says how full its replicas are, from 0 to 1,
            as the mean over its ready replicas. With it the load at which a replica is full is
            learned long before requests miss. It is read where there is an objective; empty: not
            measured.
        occupancy_of: What that indicator is the share of: the room that a replica keeps for
            requests in flight, or the time in which a replica works.
    """

    WORD: ClassVar[str] = "pool"

    min_replicas: int = Field(1, ge=0, le=MOST_REPLICAS)
    loads: tuple[str, ...] = Field(min_length=1)
    lead_time: LeadTimeSpec | None = None
    occupancy_indicator: str = ""
    occupancy_of: Occupied = "Room"

    @model_validator(mode="after")
    def _check_occupancy(self) -> PoolSpec:
        if self.occupancy_of != "Room" and not self.occupancy_indicator:
            raise ValueError(
                f"occupancy_of={self.occupancy_of!r} of pool {self.name!r} must be left out "
                "without an occupancy_indicator, whose share it is"
            )
        return self


def occupancy_indicators(pools: Sequence[PoolSpec]) -> tuple[str, ...]:
    """Names of the indicators of occupancy, in the order of the pools that have one."""
    return tuple(pool.occupancy_indicator for pool in pools if pool.occupancy_indicator)


def check_pools(pools: Sequence[PoolSpec], loads: Sequence[str]) -> None:
    """Refuse pools that cannot be told apart or do not share out the loads.

    Args:
        pools: Pools of a workload; none: it has no pools.
        loads: Names of its loads, the demand first.

    Raises:
        ValueError: There are too few or too many, two are alike, a load is in none or in two, or
            an occupancy indicator is a load or that of two.
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
    _check_occupancies(pools, loads)


def _check_occupancies(pools: Sequence[PoolSpec], loads: Sequence[str]) -> None:
    given = occupancy_indicators(pools)
    for name in given:
        if name in loads:
            raise ValueError(
                f"pools: occupancy_indicator={name!r} must not be one of the loads {list(loads)}: "
                "it says how full a replica is, and rises as replicas fall"
            )
        if given.count(name) > 1:
            raise ValueError(
                f"pools: occupancy_indicator={name!r} is that of {given.count(name)} pools, must "
                "be that of one: it is measured at the replicas of one pool; write the other's out "
                "among the indicators, under another name"
            )
