"""What was learned of a workload's requests under load, as a decision uses it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from decider import (
    MINUTE_S,
    FloatArray,
    MissDraws,
    Sla,
    Soft,
    equivalent_capacity,
    pool_response,
    soft_of,
    worth_in_force,
)
from services.decision.rows.lead_times import N_DRAWS
from services.decision.rows.loads import added_up
from services.decision.rows.translate import to_sla
from services.kernel.domain import WorkloadSpec


@dataclass(frozen=True, slots=True)
class LearnedResponse:
    """A workload's response and what follows of it under its promise.

    Attributes:
        draws: (N_DRAWS) the response.
        requests_per_step: Requests that a step is judged by, see `judged_requests`.
        capacity: (N_DRAWS,) load per replica whose sharp edge stands for it.
        worth: (V,) factor on the stated capacity of each variant but the first, as learned; 1
            where it was not. Draws and capacity are per reference replica of the mix that runs,
            counted by them.
        is_first: Nothing was known of its own requests in the decision before.
        is_borrowed: It is that of others like it: no step of its own was learned from.
        carried: (K, 1+F) loads per ready replica that were seen to be carried within the promise;
            empty: none was, or it has variants or is a pool.
    """

    draws: MissDraws
    requests_per_step: float
    capacity: FloatArray
    worth: FloatArray = field(default_factory=lambda: np.zeros(0))
    is_first: bool = False
    is_borrowed: bool = False
    carried: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def of(
        cls,
        draws: MissDraws,
        spec: WorkloadSpec,
        requests_per_step: float,
        mix: FloatArray | None = None,
    ) -> LearnedResponse:
        """From draws of any number.

        Args:
            draws: The response; with variants that of every mix.
            spec: The workload.
            requests_per_step: Requests that a step is judged by.
            mix: (V,) share of the stated capacity that is each variant's but the first; None: the
                first alone runs.
        """
        worth = worth_in_force(draws, spec.capacity.cv)
        if worth.size:
            draws = draws.at_mix(np.zeros(worth.size) if mix is None else mix, worth)
        few = thinned_draws(draws, N_DRAWS)
        capacity = equivalent_capacity(few, to_sla(spec), requests_per_step)
        if not (np.isfinite(capacity).all() and (capacity > 0).all()):
            raise ValueError("the learned response has no load that keeps the promise")
        return cls(few, requests_per_step, capacity, worth)

    def to_pool(self, loads: Sequence[int], spec: WorkloadSpec) -> LearnedResponse:
        """The response to the loads of one pool, the others being none.

        Args:
            loads: Their places in the order of the workload's.
            spec: The pool as a workload.
        """
        draws = pool_response(self.draws, loads)
        capacity = equivalent_capacity(draws, to_sla(spec), self.requests_per_step)
        return LearnedResponse(
            draws,
            self.requests_per_step,
            capacity,
            is_first=self.is_first,
            is_borrowed=self.is_borrowed,
        )

    def carried_demand(self, spec: WorkloadSpec) -> float | None:
        """Largest demand per replica that was carried, as the history counts it; None: none was."""
        if not self.carried.size:
            return None
        demand = self.carried[:, 0]
        if spec.further_loads:
            demand = added_up(self.carried, spec, self.draws)
        most = float(np.max(demand, initial=0.0, where=np.isfinite(demand)))
        return most if most > 0 else None

    def under(self, sla: Sla) -> Soft:
        """What a load risks under a promise."""
        return soft_of(self.draws, sla, self.requests_per_step)

    @property
    def floor(self) -> float:
        """Share of requests that misses at any load."""
        return float(self.draws.floor.mean())


def tolerated_share(spec: WorkloadSpec) -> float:
    """Share of requests that the promise lets miss: of a minute for one of time, else of all.

    Args:
        spec: A workload with an objective.
    """
    sla = to_sla(spec)
    if sla.kind == "DemandFraction" and sla.epsilon is not None:
        return sla.epsilon
    return 1.0 - float(sla.good_share or 0.0)


def judged_requests(total: FloatArray, spec: WorkloadSpec, step_s: float) -> float:
    """Requests that a usual step is judged by; infinite where none is known.

    A promise of time judges whole minutes, and few requests with those of earlier minutes, until
    one miss is within what it tolerates.

    Args:
        total: (N,) requests of the newest steps.
        spec: The workload.
        step_s: Step length.
    """
    if total.size == 0:
        return float("inf")
    mean = max(1.0, float(total.mean()))
    if spec.sla.kind == "DemandFraction":
        return mean
    return max(mean * max(1.0, MINUTE_S / step_s), 1.0 / tolerated_share(spec))


def thinned_draws(draws: MissDraws, n_draws: int) -> MissDraws:
    """Every so many-th draw in the order of capacity: like ones stand for each other."""
    order = np.argsort(draws.capacity, kind="stable")
    at = ((np.arange(n_draws) + 0.5) / n_draws * order.size).astype(np.int64)
    return draws.rows(order[np.minimum(at, order.size - 1)])


def unreachable_message(response: LearnedResponse | None, spec: WorkloadSpec) -> str:
    """Why no number of replicas keeps the promise; empty: nothing says so."""
    if response is None or response.floor < tolerated_share(spec):
        return ""
    return (
        f"{100 * response.floor:.3g} % of requests miss at any load; the promise allows "
        f"{100 * tolerated_share(spec):.3g} %: no number of replicas cures that; look for errors, "
        "prompts too long for the threshold, a bad release"
    )
