"""How many replicas are left when spot nodes are interrupted, until others have taken their place.

A node that is interrupted takes all of its replicas with it; each of them is replaced by a start.
At a moment a node is gone if it was interrupted within the last lead time L, which is likely by

    q = 1 - exp(-rate * L)

for a known rate and L. Nodes are interrupted independently of each other given these, so the nodes
that are gone are binomial, and over draws of both a mixture of such. That a bad day for one node is
one for others comes by the rate alone, which they share.

Shapes: P draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from decider.belief.interruptions import InterruptionBelief
from decider.types import FloatArray, IntArray, ReplicaState, ShardRequest, SpotReplicas

RiskOf = Callable[[IntArray], FloatArray]
"""Risk at counts of replicas, both in one shape."""
N_DRAWS = 64
_STRIDE = 37
"""Pairs draws of a rate with draws of a lead time, out of step with each other."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class _Chances:
    """Chances (N+1,) of 0 to N of N full nodes that are gone, the mean over the draws.

    Attributes:
        whole: Whatever becomes of one more node.
        stays: That one is there.
        goes: It is gone, too.
    """

    whole: FloatArray
    stays: FloatArray
    goes: FloatArray

    @classmethod
    def of(cls, chance: FloatArray, gone: FloatArray) -> _Chances:
        """Of the chances (P, N+1) in each draw, and those that a node is gone (P,)."""
        one = gone[:, None]
        means = (each.mean(axis=0) for each in (chance, (1.0 - one) * chance, one * chance))
        return cls(*means)


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalLaw:
    """The law of what is left of any count of replicas.

    Attributes:
        gone: (P,) probability that a node is gone at a moment, in equally likely draws.
        spot: Replicas on spot nodes, of `ready`: the share that any count is taken to have there.
        ready: Replicas that serve.
        per_node: Replicas that go with a spot node.
        kept: Mean chances that were found, by how many full nodes there are.
    """

    gone: FloatArray
    spot: int
    ready: int
    per_node: int
    kept: dict[int, _Chances] = field(default_factory=dict)

    @classmethod
    def of(cls, replicas: ReplicaState, lead_time_draws_s: FloatArray) -> SurvivalLaw | None:
        """The law of a workload's replicas; None: none of them can be lost so.

        Args:
            replicas: Replicas now.
            lead_time_draws_s: (P,) draws of the time until a lost one is replaced.
        """
        spot = replicas.spot
        if spot is None or spot.replicas == 0 or spot.interruptions == 0:
            return None
        gone = gone_draws(spot, lead_time_draws_s)
        return cls(gone, spot.replicas, replicas.ready, -(-spot.replicas // spot.nodes))

    def expected(self, risk_of: RiskOf, replicas: int) -> float:
        """Risk of a count when some of it may be gone: the mean over what is left.

        Never less than the risk of the count itself, where fewer replicas are never less risky.
        It falls in the count then, and rises in the rate.
        """
        on_spot = -(-replicas * self.spot // self.ready)
        n_full, rest = divmod(on_spot, self.per_node)
        if n_full not in self.kept:
            self.kept[n_full] = _Chances.of(_binomial(n_full, self.gone), self.gone)
        chance = self.kept[n_full]
        left = replicas - self.per_node * np.arange(n_full + 1)
        if not rest:
            return float(chance.whole @ risk_of(left))
        # the node that is not full goes as the others do, and takes less with it
        return float(chance.stays @ risk_of(left) + chance.goes @ risk_of(left - rest))


def survival_laws(request: ShardRequest) -> dict[int, SurvivalLaw]:
    """By row, what interruptions leave of a count; not of variants."""
    found: dict[int, SurvivalLaw] = {}
    for row, one in enumerate(request.workloads):
        if one.variants is None and one.replicas.spot is not None:
            law = SurvivalLaw.of(one.replicas, request.lead_time_draws_s[row])
            found |= {} if law is None else {row: law}
    return found


def gone_draws(spot: SpotReplicas, lead_time_draws_s: FloatArray) -> FloatArray:
    """(P,) probability that a spot node is gone at a moment, in equally likely draws.

    Args:
        spot: How often one is interrupted.
        lead_time_draws_s: Draws of the time until a lost replica is replaced.
    """
    levels = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    lead_s = np.quantile(lead_time_draws_s, levels)
    belief = InterruptionBelief(spot.interruptions, spot.node_hours)
    rate = belief.draws(N_DRAWS)[(_STRIDE * np.arange(N_DRAWS)) % N_DRAWS]
    return np.asarray(-np.expm1(-rate * lead_s / _HOUR_S))


def least_within(is_within: Callable[[int], bool], low: int, high: int) -> int:
    """Least count from `low` to `high` that is within; `high` where none below it is.

    What is within stays so with more. It is looked for upwards, each time twice as far: a law of a
    hundred thousand nodes is dear, and bounds may be far beyond what anybody needs.

    Args:
        is_within: Judges a count.
        low: The least that is looked at.
        high: The most, which need not be looked at.
    """
    upper, step = low, 1
    while upper < high and not is_within(upper):
        low, upper, step = upper + 1, min(high, upper + step), 2 * step
    while low < upper:
        middle = (low + upper) // 2
        low, upper = (low, middle) if is_within(middle) else (middle + 1, upper)
    return low


def _binomial(n: int, probability: FloatArray) -> FloatArray:
    """(P, N+1) chances of 0 to N of N nodes that go with each probability (P,)."""
    k = np.arange(n + 1)
    ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    each = probability[:, None]
    chance = np.exp(ways + xlogy(k, each) + xlog1py(n - k, -each))
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))
