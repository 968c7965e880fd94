"""Pools of a service: parts of it that are scaled apart and keep one promise together.

A service whose pools do different work (prefill and decode of disaggregated serving) has a count
for each. Every load of the service falls on one pool; what its requests miss depends on all of them
(`decider.tables.pool_scenarios`). In a request each pool is a row of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.errors import require
from decider.miss_draws import MissDraws
from decider.use import MAX_FURTHER


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Which pool of which service a row is.

    Attributes:
        service: The service.
        name: Name of the pool, unique within the service.
        loads: Loads that fall on it, by their place in the service's order (demand, *further). The
            first is what its `paths` are, the others its further paths.
    """

    service: str
    name: str
    loads: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a pool without a name or a load."""
        require(bool(self.service and self.name), f"{self}: service and name must not be empty")
        where, loads = f"pool {self.name!r} of {self.service}", self.loads
        is_known = all(0 <= g <= MAX_FURTHER for g in loads)
        is_plain = len(loads) >= 1 and len(set(loads)) == len(loads) and is_known
        require(is_plain, f"{where}: loads={loads} must be different ones of 0..{MAX_FURTHER}")


def check_places(places: Sequence[PoolPlace]) -> None:
    """Refuse pools of one service that do not share out its loads."""
    service, names = places[0].service, [place.name for place in places]
    where = f"service {service!r}, pools {names}"
    require(len(places) >= 2, f"{where}: there must be two pools or more")
    require(len(set(names)) == len(names), f"{where}: names must differ")
    loads = sorted(g for place in places for g in place.loads)
    is_shared_out = loads == list(range(len(loads)))
    require(is_shared_out, f"{where}: loads {loads} must be 0..F, each in one pool")


def pool_response(response: MissDraws, loads: Sequence[int]) -> MissDraws:
    """What a pool alone would miss: a service's response to some of its loads, without the others.

    Args:
        response: The service's response to all of its loads.
        loads: The pool's loads, as in `PoolPlace`.
    """
    known = 1 + response.n_further
    is_known = len(loads) >= 1 and all(0 <= g < known for g in loads)
    require(is_known, f"loads={tuple(loads)} must be some of 0..{known - 1}")
    capacity = np.column_stack([response.capacity, response.further])[:, list(loads)]
    return MissDraws(
        capacity[:, 0],
        response.slope,
        response.floor,
        response.concentration,
        response.sharing,
        capacity[:, 1:],
    )
