"""A workload's response under its promise: the risk of a load, and the load of a risk.

Shapes: W workloads, S scenarios, H horizon, P draws, N loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from decider.belief.capacity import needed
from decider.belief.misses import allowed_share, effective_concentration
from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws
from decider.tables.bad_steps import BadSteps, tabulate
from decider.tables.pairing import paired_draws
from decider.types import FloatArray, IntArray, ShardRequest, Sla

EVEN = 0.5
"""A step as often bad as good: where a promise of time has its equivalent capacity."""
NEGLIGIBLE_SHARE = 0.1
"""Share of the promise that is nothing: the candidates' top reaches counts that risk no more."""
_LOADS = np.linspace(-8.0, 2.0, 65)
"""Logarithms of loads over the median capacity among which one is looked for."""
_N_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Soft:
    """One workload's response under its promise.

    Attributes:
        draws: The response.
        promised: Epsilon, or what stands for it where prices alone decide.
        bad: Tables of bad steps; None: the promise is one of requests.
        index: (P,) class of each draw in `bad`.
        loads: Loads that were looked for, by their risk: one is asked for more than once.
    """

    draws: MissDraws
    promised: float
    bad: BadSteps | None
    index: IntArray
    loads: dict[float, float] = field(default_factory=dict, repr=False, compare=False)

    def risk(self, log_load: FloatArray) -> FloatArray:
        """(N,) expected risk at the logarithms of loads per replica (N,), mean over draws."""
        d = self.draws
        log_odds = d.slope[:, None] * (log_load - np.log(d.capacity)[:, None])
        if self.bad is None:
            return np.asarray(expit(log_odds).mean(axis=0))
        return np.asarray(self.bad.probability(log_odds, self.index).mean(axis=0))

    def load_at(self, risk: float) -> float:
        """Largest load per replica at which the expected risk is at most `risk`, to 1e-4."""
        if risk not in self.loads:
            self.loads[risk] = self._look_for(risk)
        return self.loads[risk]

    def _look_for(self, risk: float) -> float:
        middle = float(np.median(np.log(self.draws.capacity)))
        loads = middle + _LOADS
        for _ in range(_N_ROUNDS):
            keeps = self.risk(loads) <= risk
            last = int(np.flatnonzero(keeps)[-1]) if keeps.any() else 0
            loads = np.linspace(loads[last], loads[min(last + 1, loads.size - 1)], loads.size)
        return float(np.exp(loads[0]))

    def any_bad(self, demand: FloatArray, ready: IntArray) -> float:
        """Probability that any step is bad, over joint paths (S, H) on `ready` (H,) replicas.

        Given a scenario's draw, the scatter of one step is none of another's.
        """
        if self.bad is None:
            raise InvalidRequest("any_bad: the promise is one of requests")
        picked = paired_draws(self.draws.capacity.size, demand.shape[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            log_use = np.log(demand / ready) - np.log(self.draws.capacity[picked])[:, None]
        log_odds = self.draws.slope[picked][:, None] * np.where(demand > 0, log_use, -np.inf)
        bad = self.bad.probability(log_odds, self.index[picked])
        return float((1.0 - np.prod(1.0 - bad, axis=1)).mean())


def soft_of(draws: MissDraws, sla: Sla, requests_per_step: float) -> Soft:
    """One response under its promise.

    Args:
        draws: The response.
        sla: The promise, with an objective of requests.
        requests_per_step: Requests that a step is judged by.
    """
    share = allowed_share(sla)
    promised = sla.epsilon or share
    if sla.kind == "DemandFraction":
        return Soft(draws, promised, None, np.zeros(0, dtype=np.int64))
    totals = effective_concentration(draws.concentration, requests_per_step)
    bad = tabulate(totals, share)
    return Soft(draws, promised, bad, bad.index_of(totals))


def soft_responses(request: ShardRequest) -> dict[int, Soft]:
    """By row, the responses of the workloads that have one."""
    rows = {w: r for w in range(len(request.workloads)) if (r := request.response(w)) is not None}
    slas = {row: request.workloads[row].sla for row in rows}
    totals = {
        row: effective_concentration(draws.concentration, request.workloads[row].requests_per_step)
        for row, draws in rows.items()
        if slas[row].kind != "DemandFraction"
    }
    tables = {
        share: tabulate(
            np.concatenate([t for row, t in totals.items() if allowed_share(slas[row]) == share]),
            share,
        )
        for share in {allowed_share(slas[row]) for row in totals}
    }
    found = {}
    for row, draws in rows.items():
        share = allowed_share(slas[row])
        bad = tables[share] if row in totals else None
        index = np.zeros(0, dtype=np.int64) if bad is None else bad.index_of(totals[row])
        found[row] = Soft(draws, slas[row].epsilon or share, bad, index)
    return found


def top_need(soft: Mapping[int, Soft], demand: FloatArray) -> IntArray:
    """(W,) replicas at which the largest demand (W, S, H) risks next to nothing; 0: no response."""
    top = np.zeros(demand.shape[0], dtype=np.int64)
    for row, one in soft.items():
        load = one.load_at(NEGLIGIBLE_SHARE * one.promised)
        top[row] = min(needed(float(demand[row].max()), load), 2**31)
    return top


def floor_loads(soft: Mapping[int, Soft], capacity: FloatArray) -> FloatArray:
    """(W,) load of one replica that the reactive floor counts on.

    Without a response the mean capacity (W,). With one the largest load, up to that, which keeps
    the promise in expectation over the draws: of requests, epsilon of them miss; of time, the step
    is as often bad as good.
    """
    loads = capacity.copy()
    for row, one in soft.items():
        loads[row] = min(float(loads[row]), one.load_at(one.promised if one.bad is None else EVEN))
    return loads
