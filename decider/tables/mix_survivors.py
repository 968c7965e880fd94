"""How much of a mix of variants is left when spot nodes are interrupted.

As `decider.tables.survivors` has it of one kind of replicas. Variants on spot nodes lose theirs
independently of each other, given the rates of interruption and the lead time: of each the nodes
that are gone are binomial, and over draws of both a mixture of such. Rates are drawn together: a
bad day for the nodes of one variant is one for those of the others.

Shapes: K mixes, V variants, P draws, C different counts, M numbers of lost replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtrc, gammaln

from decider.tables.survivors import gone_draws
from decider.types import FloatArray, IntArray, ShardRequest
from decider.variant_types import SpotShare, VariantSet

CapacityRisk = Callable[[IntArray], FloatArray]
"""Risk at whole reference replicas, both in one shape."""
N_NODES = 16
"""Nodes up to which every number of those gone is looked at."""
NEGLIGIBLE = 1e-9
"""Chance of so many gone nodes that all are counted as gone with them."""
_LEAST_KEPT, _MOST_KEPT = 32, 1024
"""Nodes that a table goes up to which is made once for all mixes."""
_LEAST_CHANCE = 1e-15
_SLACK = 1e-9
_CHUNK = 128
"""Numbers of replicas on spot nodes whose losses are found at once."""


@dataclass(frozen=True, slots=True, eq=False)
class VariantLosses:
    """What interruptions take of one variant.

    Attributes:
        at: Its place among the variants.
        gone: (P,) probability that a node is gone at a moment, in equally likely draws.
        share: Which part of a count is on spot nodes.
        ratio: Reference replicas that one of its replicas is worth.
        kept: Tables that were made, by how many nodes they go up to.
    """

    at: int
    gone: FloatArray
    share: SpotShare
    ratio: float
    kept: dict[int, tuple[IntArray, FloatArray]] = field(default_factory=dict)

    def of(self, counts: IntArray) -> tuple[FloatArray, FloatArray]:
        """Capacity lost (C, M) and its chances (C, P, M) at each count (C,)."""
        n_full, rest = self._places(counts)
        nodes, chance = self._nodes(n_full)
        goes = chance * np.where(rest > 0, 1.0, 0.0)[:, None, None] * self.gone[:, None]
        return self._lost(nodes, rest), np.concatenate([chance - goes, goes], axis=2)

    def mean_of(self, counts: IntArray) -> tuple[FloatArray, FloatArray]:
        """Capacity lost (C, M) and its chances (C, M), the mean over the draws."""
        n_full, rest = self._places(counts)
        size = max(_LEAST_KEPT, 1 << int(n_full.max(initial=0)).bit_length())
        if size > _MOST_KEPT:
            nodes, chance = self._means(n_full)
            return self._lost(nodes, rest), chance[np.arange(rest.size), np.sign(rest)]
        if size not in self.kept:
            self.kept[size] = self._means(np.arange(size))
        nodes, chance = self.kept[size]
        return self._lost(nodes[n_full], rest), chance[n_full, np.sign(rest)]

    def _places(self, counts: IntArray) -> tuple[IntArray, IntArray]:
        """Full nodes, and the replicas on one more that is not."""
        on_spot = -(-counts * self.share.places.replicas // self.share.of)
        full, rest = np.divmod(on_spot, self.share.per_node)
        return full, rest

    def _lost(self, nodes: IntArray, rest: IntArray) -> FloatArray:
        """Capacity of the nodes that are gone; the one that is not full takes less with it."""
        lost = self.share.per_node * nodes
        return self.ratio * np.concatenate([lost, lost + rest[:, None]], axis=1)

    def _means(self, n_full: IntArray) -> tuple[IntArray, FloatArray]:
        """Full nodes gone (C, N), and the mean chances (C, 2, 2N).

        The chances are of so many without one more node, and together with it: where there is none
        that is not full, and where there is one.
        """
        nodes, chance = self._nodes(n_full)
        goes = np.einsum("cpm,p->cm", chance, self.gone) / self.gone.size
        whole = chance.mean(axis=1)
        none = np.concatenate([whole, np.zeros_like(whole)], axis=1)
        one = np.concatenate([whole - goes, goes], axis=1)
        return nodes, np.stack([none, one], axis=1)

    def _nodes(self, n_full: IntArray) -> tuple[IntArray, FloatArray]:
        """Full nodes gone (C, M) and the chances (C, P, M) of so many."""
        top = _most_gone(int(n_full.max(initial=0)), self.gone)
        k = np.arange(top + 1)
        n = n_full[:, None]
        stays = np.maximum(n - k, 0)
        ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(stays + 1.0)
        ways = np.where(k <= n, ways, -np.inf)
        gone = np.clip(self.gone, _LEAST_CHANCE, 1.0 - _LEAST_CHANCE)
        goes, keeps = np.log(gone)[:, None] * k, np.log1p(-gone)[:, None]
        found = np.exp(ways[:, None, :] + goes + keeps * stays[:, None, :])
        rest = np.maximum(1.0 - found.sum(axis=2, keepdims=True), 0.0)
        nodes = np.concatenate([np.minimum(k, n), n], axis=1)
        return nodes, np.concatenate([found, rest], axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class MixSurvival:
    """The law of what is left of any mix.

    Attributes:
        parts: What interruptions take of each variant that has replicas on spot nodes.
        ratio: (V,) reference replicas that one of each is worth.
    """

    parts: tuple[VariantLosses, ...]
    ratio: FloatArray

    @classmethod
    def of(cls, variants: VariantSet, lead_time_draws_s: FloatArray) -> MixSurvival | None:
        """The law of a workload's variants; None: none of their replicas can be lost so.

        Args:
            variants: The variants.
            lead_time_draws_s: (P,) draws of the time until a lost replica is replaced.
        """
        parts = tuple(
            VariantLosses(
                at, gone_draws(one.spot.places, lead_time_draws_s), one.spot, one.capacity_ratio
            )
            for at, one in enumerate(variants.states)
            if one.spot is not None and one.spot.places.interruptions > 0
        )
        ratio = np.array([one.capacity_ratio for one in variants.states])
        return cls(parts, ratio) if parts else None

    def expected(self, risk_of: CapacityRisk, counts: IntArray) -> FloatArray:
        """(K,) risk of mixes (K, V) when some of them may be gone: the mean over what is left.

        Never less than that of their whole capacity, where less is never less risky. It falls in
        each count then, and rises in each rate.
        """
        units = counts @ self.ratio
        spot = counts[:, [part.at for part in self.parts]]
        kinds, kind = _kinds(spot)
        if len(kinds) <= _CHUNK:
            lost, chance = self._joint(kinds)
            return _mean_risk(risk_of, units, lost[kind], chance[kind])
        found = np.zeros(units.size)
        # those with few replicas first: how many nodes may be gone is then about the same in each
        for start in range(0, len(kinds), _CHUNK):
            lost, chance = self._joint(kinds[start : start + _CHUNK])
            at = np.flatnonzero((kind >= start) & (kind < start + _CHUNK))
            place = kind[at] - start
            found[at] = _mean_risk(risk_of, units[at], lost[place], chance[place])
        return found

    def _joint(self, spot: IntArray) -> tuple[FloatArray, FloatArray]:
        """Capacity lost (C, M) of the variants together, and its chances (C, M)."""
        if len(self.parts) == 1:
            return self.parts[0].mean_of(spot[:, 0])
        lost, chance = self.parts[0].of(spot[:, 0])
        for at, part in enumerate(self.parts[1:], start=1):
            more, beside = part.of(spot[:, at])
            size = lost.shape[1] * more.shape[1]
            lost = (lost[:, :, None] + more[:, None, :]).reshape(-1, size)
            chance = (chance[:, :, :, None] * beside[:, :, None, :]).reshape(
                *chance.shape[:2], size
            )
            kept = chance.mean(axis=1).max(axis=0) > NEGLIGIBLE / size
            lost, chance = lost[:, kept], chance[:, :, kept]
        return lost, chance.mean(axis=1)


def mix_survival_laws(request: ShardRequest) -> dict[int, MixSurvival]:
    """By row, what interruptions leave of mixes of variants."""
    found: dict[int, MixSurvival] = {}
    for row, one in enumerate(request.workloads):
        if one.variants is not None:
            law = MixSurvival.of(one.variants, request.lead_time_draws_s[row])
            found |= {} if law is None else {row: law}
    return found


def _kinds(spot: IntArray) -> tuple[IntArray, IntArray]:
    """The different rows (C, N) in their order, and of which kind (K,) each row (K, N) is."""
    if spot.shape[1] == 1:  # many times faster than as rows
        alone, kind = np.unique(spot[:, 0], return_inverse=True)
        return alone[:, None], kind
    kinds, kind = np.unique(spot, axis=0, return_inverse=True)
    return kinds, kind.ravel()


def _mean_risk(
    risk_of: CapacityRisk, units: FloatArray, lost: FloatArray, chance: FloatArray
) -> FloatArray:
    """(K,) mean risk of capacities (K,) less what is lost (K, M), by its chances (K, M)."""
    left = np.floor(units[:, None] - lost + _SLACK).astype(np.int64)
    return np.asarray((risk_of(np.maximum(left, 0)) * chance).sum(axis=1))


def _most_gone(n_nodes: int, gone: FloatArray) -> int:
    """Gone nodes beyond which it is not told apart how many are."""
    if n_nodes <= N_NODES:
        return n_nodes
    top = N_NODES
    while top < n_nodes and float(bdtrc(top, n_nodes, gone).mean()) > NEGLIGIBLE:
        top = min(n_nodes, 2 * top)
    return top
