"""How often a spot node is interrupted: a gamma belief about a Poisson rate.

Interruptions of nodes come one by one at a rate per node-hour. The gamma law is conjugate to that:
what was seen adds to two numbers, interruptions and node-hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from decider.errors import require
from decider.types import FloatArray

PRIOR_INTERRUPTIONS, PRIOR_NODE_HOURS = 0.5, 10.0
"""What is believed before anything was seen: one in 20 node-hours, as if half a one was seen.

So little weight makes intervals hold rates of any size about as often as they say.
"""


@dataclass(frozen=True, slots=True)
class InterruptionBelief:
    """Gamma belief about the interruptions of a node in an hour.

    Attributes:
        interruptions: Shape: interruptions that it is worth; 0: there are none, for certain.
        node_hours: Rate: node-hours in which they came.
    """

    interruptions: float
    node_hours: float

    def __post_init__(self) -> None:
        """Refuse impossible beliefs."""
        n, hours = self.interruptions, self.node_hours
        require(0 <= n < math.inf, f"interruptions={n} must be finite and >= 0")
        require(0 < hours < math.inf, f"node_hours={hours} must be finite and > 0")

    def draws(self, n_draws: int) -> FloatArray:
        """(P,) stratified draws of the rate per node-hour, ascending."""
        return self.quantiles((np.arange(n_draws) + 0.5) / n_draws)

    def quantiles(self, levels: FloatArray) -> FloatArray:
        """Quantiles of the rate per node-hour at `levels`, in their shape."""
        if self.interruptions == 0:
            return np.zeros(levels.shape)
        return np.asarray(gammaincinv(self.interruptions, levels) / self.node_hours)


def learn_interruptions(interruptions: float, node_hours: float) -> InterruptionBelief:
    """The belief after what was seen of a GPU type's spot nodes.

    Args:
        interruptions: How many there were.
        node_hours: In how many node-hours.
    """
    require(node_hours >= 0, f"node_hours={node_hours} must be >= 0")
    return InterruptionBelief(PRIOR_INTERRUPTIONS + interruptions, PRIOR_NODE_HOURS + node_hours)
