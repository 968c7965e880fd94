"""What happens whoever decides: start-ups of nodes and replicas, outages, interruptions.

All policies meet the same: the n-th node that one of them asks for takes as long as the n-th of the
others, no node can be had at the same times, and interruptions are announced at the same times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.supply.options import SupplyOptions
from services.simulator.fleet.arrays import FloatArray

DAY_S = 86_400.0
OUTAGE_S = 900.0
"""Mean length of a time in which no node can be had."""
NOTICE_S = 120.0
"""An interruption is announced so long before."""
_N_NODES, _N_STARTS = 4096, 4096


@dataclass(frozen=True, slots=True, eq=False)
class SupplyLuck:
    """The luck of a run.

    Attributes:
        startup_z: (N,) normal scores of the start-ups of nodes, in the order that they are asked
            for.
        start_z: (W, M) the same of each service's replicas.
        outages_s: (K, 2) times, from and until, in which no node can be had.
        notices_s: (I,) times at which interruptions are announced.
        picks: (I,) which of the nodes that are there each of them is of, in [0, 1).
    """

    startup_z: FloatArray
    start_z: FloatArray
    outages_s: FloatArray
    notices_s: FloatArray
    picks: FloatArray

    def is_out(self, at_s: float) -> bool:
        """Whether no node can be had."""
        return bool(((self.outages_s[:, 0] <= at_s) & (at_s < self.outages_s[:, 1])).any())


def supply_luck(options: SupplyOptions, seed: int, n_services: int) -> SupplyLuck:
    """Draw the luck of a seed; it does not depend on the start-up that is looked at."""
    length_s = options.warm_up_s + options.counted_s
    notices_s = _notices(options.spot_per_day, length_s, make_rng(seed, "supply", "spot"))
    return SupplyLuck(
        make_rng(seed, "supply", "nodes").standard_normal(_N_NODES),
        make_rng(seed, "supply", "starts").standard_normal((n_services, _N_STARTS)),
        _outages(options.failure_share, length_s, make_rng(seed, "supply", "outages")),
        notices_s,
        make_rng(seed, "supply", "picks").random(notices_s.size),
    )


def _notices(per_day: float, length_s: float, rng: np.random.Generator) -> FloatArray:
    """Times of a Poisson process."""
    n = int(rng.poisson(per_day * length_s / DAY_S))
    return np.asarray(np.sort(rng.uniform(0.0, length_s, n)))


def _outages(share: float, length_s: float, rng: np.random.Generator) -> FloatArray:
    """Times that alternate between outages and none, exponential both."""
    if share <= 0.0:
        return np.zeros((0, 2))
    between_s = OUTAGE_S * (1.0 - share) / share
    found: list[tuple[float, float]] = []
    at_s = float(rng.exponential(between_s))
    while at_s < length_s:
        until_s = at_s + float(rng.exponential(OUTAGE_S))
        found.append((at_s, until_s))
        at_s = until_s + float(rng.exponential(between_s))
    return np.array(found, dtype=float).reshape(-1, 2)
