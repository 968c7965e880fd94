"""Joint risk of the pools of a service: what their plans do to the promise that they share.

The planner prices each pool by the tables of its own loads. What the pools risk together is the sum
of that and of a *part in common*,

    common(n_1, .., n_P) = risk of all together - sum of the risks of each alone

found over joint scenarios, at the times that the decisions answer for, by what is ready then. It is
negative where the same steps are bad for several pools, positive where small uses add up to a large
one, and nothing where only one pool has load. All pools of a service have the same joint risk, so
the same price of risk.

When pools land at different times, half of the time that counts is that of each (of P pools, 1/P);
within a step, what is ready changes in the order of time. Both are exact for pools whose lead times
are known and equal. The joint risk is at least that of each pool alone.

Shapes: W workloads, P pools, G groups of starts, H horizon, T terms: a decision, a step and a state
of landing that its time is spent in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from decider.tables.candidates import CandidateGrid
from decider.tables.landing import LandingWeights
from decider.tables.pool_scenarios import PoolScenarios
from decider.tables.scenarios import Scenarios
from decider.tables.soft_response import Soft
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest

_LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Times that decisions answer for.

    Attributes:
        decision: (T,) which decision.
        step: (T,) step.
        weight: (T,) time, in steps.
        landed: (T, P) starts of each pool that have landed by then.
        is_kept: (T, P) what is asked for now has not landed: fewer than are there may be ready,
            not more.
    """

    decision: IntArray
    step: IntArray
    weight: FloatArray
    landed: IntArray
    is_kept: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class PoolRisk:
    """Joint risk of one service.

    Attributes:
        rows: (P,) its rows.
        scenarios: Its joint scenarios.
        grid: Candidates of the shard.
        alone: (P, H, K) step risk of each pool alone.
        spec: (P,) current spec.
        ready: (P,) of those, ready.
        first: Time that the decision made now answers for: what it owns and the time before.
        before: The time before alone.
        timing: When decisions land.
        known: Parts in common that were found, by step and candidates in one number.
        held_in_common: What is held, once it was found.
    """

    rows: tuple[int, ...]
    scenarios: PoolScenarios
    grid: CandidateGrid
    alone: FloatArray
    spec: IntArray
    ready: IntArray
    first: Terms
    before: Terms
    timing: PoolTiming
    known: dict[int, float] = field(default_factory=dict)
    held_in_common: list[float] = field(default_factory=list)

    def charge(self, charge: FloatArray, counts: IntArray) -> float:
        """Joint risk that choosing counts (P,) now answers for.

        Args:
            charge: (P,) risk that each alone answers for.
            counts: (P,).
        """
        asked = np.broadcast_to(counts, self.first.landed.shape)
        return _joined(charge, self._common(self.first, asked) - self._held())

    def held(self, held: FloatArray) -> float:
        """Joint risk before anything decided now can land; held: (P,) of each alone."""
        return _joined(held, self._held())

    def plan(self, risk: FloatArray, counts: IntArray, terms: Terms) -> float:
        """Joint risk of plans, mean over their decisions.

        Args:
            risk: (P,) that of each alone.
            counts: (P, H) planned counts.
            terms: Time that all decisions answer for (`all_terms`).
        """
        common = self._common(terms, counts[:, terms.decision].T) - self._held()
        return _joined(risk, common / counts.shape[1])

    def all_terms(self) -> Terms:
        """Time that the decision made now and all later ones answer for."""
        return _together(self.first, self.timing.later())

    def any_in_window(self, served: IntArray, answers: BoolArray) -> float:
        """Probability of any violation in the horizon, over joint paths.

        Args:
            served: (P, H) counts that serve.
            answers: (P, H) whether the step is the pool's plan's to answer for; where it is not,
                the pool is not looked at.
        """
        return self.scenarios.any_out(np.where(answers, served, np.inf).T)

    def _held(self) -> float:
        """Part in common of the time before, if nothing drops."""
        if not self.held_in_common:
            kept = np.broadcast_to(self.spec, self.before.landed.shape)
            self.held_in_common.append(self._common(self.before, kept))
        return self.held_in_common[0]

    def _common(self, terms: Terms, asked: IntArray) -> float:
        """Part in common over some time, on counts (T, P) asked for."""
        available = self.ready + terms.landed
        count = np.minimum(asked, available)
        is_more = ~terms.is_kept & (asked > self.spec)
        count = np.where(is_more, available + asked - self.spec, count)
        at, size = list(self.rows), self.grid.counts.shape[1]
        index = np.stack(
            [self.grid.row_index(row, count[:, i]) for i, row in enumerate(at)], axis=1
        )
        key = terms.step.copy()
        for i in range(len(at)):
            key = key * size + index[:, i]
        keys = key.tolist()
        new = {k: t for t, k in enumerate(keys) if k not in self.known}
        if new:
            chosen = list(new.values())
            self.known.update(zip(new, self._find(terms.step[chosen], index[chosen]), strict=True))
        return float((terms.weight * np.array([self.known[k] for k in keys])).sum())

    def _find(self, steps: IntArray, index: IntArray) -> list[float]:
        """Parts in common at steps (N,) and candidates (N, P)."""
        counts = self.grid.counts[np.array(self.rows), index]
        common = self.scenarios.risk(steps, counts.astype(float))
        for i in range(len(self.rows)):
            common -= self.alone[i, steps, index[:, i]]
        return [float(one) for one in common]


def _joined(alone: FloatArray, common: float) -> float:
    return max(float(alone.max()), float(alone.sum()) + common)


def worth_of(request: ShardRequest) -> FloatArray | None:
    """(W,) worth of a step out of SLA in replicas of each row, as in `Program`; None: all alike.

    The price of risk is one for a service, and so is what a step out of SLA costs: mean price of a
    replica of its pools over that of one of this pool.
    """
    services = request.services()
    if not services:
        return None
    worth = np.ones(len(request.workloads))
    for rows in services.values():
        hardware = [request.workloads[row].hardware for row in rows]
        usd = np.array([one.usd_per_hour(1.0) for one in hardware])
        gpus = np.array([float(one.gpus_per_replica) for one in hardware])
        price = usd if (usd > 0).all() else gpus
        worth[list(rows)] = price.mean() / price
    return worth


def pool_risks(
    request: ShardRequest,
    scenarios: Scenarios,
    grid: CandidateGrid,
    weights: LandingWeights,
    risk: FloatArray,
    soft: Mapping[int, Soft],
) -> tuple[PoolRisk, ...]:
    """Joint risks of all services that have pools.

    Args:
        request: The shard.
        scenarios: Its scenarios.
        grid: Candidates.
        weights: Landing weights.
        risk: (W, H, K) step risk of each row alone.
        soft: Responses by row.
    """
    found = []
    for rows in request.services().values():
        at = list(rows)
        replicas = [request.workloads[row].replicas for row in rows]
        timing = PoolTiming(
            weights.landed[at],
            weights.arrival[at],
            weights.own_first[at],
            weights.drop_first[at],
            weights.own_later[at],
        )
        before = timing.first(timing.drop)
        found.append(
            PoolRisk(
                rows,
                PoolScenarios.of(request, rows, scenarios, soft),
                grid,
                risk[at],
                np.array([r.spec for r in replicas], dtype=np.int64),
                np.array([min(r.ready, r.spec) for r in replicas], dtype=np.int64),
                _together(timing.first(timing.own), before),
                before,
                timing,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class PoolTiming:
    """Landing weights of the pools of one service.

    Attributes:
        landed: (P, G+1) starts on their way that have landed in state g.
        arrival: (P, H, G+1) share of step h spent in state g.
        own: (P, H, G+1) time that the decision made now owns.
        drop: (P, H, G+1) time before that.
        own_later: (P, H) time of the d-th step after a later decision that it owns.
    """

    landed: IntArray
    arrival: FloatArray
    own: FloatArray
    drop: FloatArray
    own_later: FloatArray

    def first(self, time: FloatArray) -> Terms:
        """Terms of the decision made now, over times (P, H, G+1) of each pool."""
        by_step = np.cumsum(time, axis=2)[:, :, -1]
        total = by_step.sum(axis=0) / by_step.shape[0]
        has_landed = np.cumsum(np.cumsum(self.own, axis=2)[:, :, -1], axis=1) > _LEAST_WEIGHT
        steps = np.flatnonzero(total > _LEAST_WEIGHT)
        is_mine = by_step[:, steps] > _LEAST_WEIGHT
        spent = np.where(is_mine[:, :, None], time[:, steps], self.arrival[:, steps])
        is_kept = ~has_landed[:, steps] | (is_mine & (time is self.drop))
        return self._spread(np.zeros_like(steps), steps, total[steps], spent, is_kept)

    def later(self) -> Terms:
        """Terms of all later decisions."""
        horizon, n = self.arrival.shape[1], self.landed.shape[0]
        mean = self.own_later.sum(axis=0) / n
        after = np.flatnonzero(mean > _LEAST_WEIGHT)
        decision = np.repeat(np.arange(1, horizon), after.size)
        steps = np.minimum(decision + np.tile(after, horizon - 1), horizon - 1)
        never = np.zeros((n, steps.size), dtype=bool)
        weight = np.tile(mean[after], horizon - 1)
        return self._spread(decision, steps, weight, self.arrival[:, steps], never)

    def _spread(
        self,
        decision: IntArray,
        step: IntArray,
        weight: FloatArray,
        spent: FloatArray,
        is_kept: BoolArray,
    ) -> Terms:
        """Terms of N steps, by what has landed of each pool, in the order of time.

        Args:
            decision: (N,) whose they are.
            step: (N,) the steps.
            weight: (N,) time to be spread.
            spent: (P, N, G+1) time of each pool in its states.
            is_kept: (P, N) as in `Terms`.
        """
        n_pools, n, n_states = spent.shape
        share = np.cumsum(spent, axis=2)
        share /= np.maximum(share[:, :, -1:], 1e-300)
        edges = np.empty((n, n_pools * n_states + 2))
        edges[:, 0], edges[:, -1] = 0.0, 1.0
        inner = share.clip(0.0, 1.0).transpose(1, 0, 2)
        edges[:, 1:-1] = inner.reshape(n, n_pools * n_states)
        edges.sort(axis=1)
        width = np.diff(edges, axis=1)
        row, piece = np.nonzero(width > _LEAST_WEIGHT)
        middle = 0.5 * (edges[row, piece + 1] + edges[row, piece])
        passed = (share[:, row] <= middle[:, None]).sum(axis=2)
        landed = np.take_along_axis(self.landed, np.minimum(passed, n_states - 1), axis=1)
        time = weight[row] * width[row, piece]
        return Terms(decision[row], step[row], time, landed.T, is_kept[:, row].T)


def _together(first: Terms, second: Terms) -> Terms:
    pairs = [(getattr(first, one.name), getattr(second, one.name)) for one in fields(Terms)]
    return Terms(*(np.concatenate(pair) for pair in pairs))
