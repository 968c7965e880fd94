"""Fast model of the cluster with fixed lead times and enough GPUs, for tuning on history.

With a fixed lead time L, and scale-down taking the youngest replicas first, the ready replicas at
any moment s are the smallest count asked for within the last L: `min n(u), u in [s - L, s]`.
A step therefore has at most two parts: before and after a start of that step lands. The engine with
zero variance gives the same numbers (a test holds them equal).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decider.policies.hpa import HpaConfig, HpaObservation, HpaState, hpa_step
from services.lab.fleet import Fleet
from services.lab.simulator.accounting import sla_limit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FluidInput:
    """A stretch of a fleet's life with fixed lead times.

    Attributes:
        demand: (W, T) true demand, NaN where unknown.
        seen: (W, T) demand as measured, NaN where unobserved.
        capacity: (W,) load of one replica.
        min_replicas: (W,) bounds.
        max_replicas: (W,) bounds.
        lead_s: (W,) lead time.
        gpu_usd_per_s: (W,) price of one replica for a second.
        initial: (W,) replicas before step 0, all ready.
        start_s: Epoch seconds of step 0.
        step_s: Step length.
    """

    demand: FloatArray
    seen: FloatArray
    capacity: FloatArray
    min_replicas: FloatArray
    max_replicas: FloatArray
    lead_s: FloatArray
    gpu_usd_per_s: FloatArray
    initial: FloatArray
    start_s: float
    step_s: float

    @property
    def n_lead_steps(self) -> npt.NDArray[np.int64]:
        """(W,) whole steps in the lead time."""
        return (self.lead_s // self.step_s).astype(np.int64)

    @property
    def late_s(self) -> FloatArray:
        """(W,) remaining part of the lead time: how far into a step a start lands."""
        return self.lead_s - self.n_lead_steps * self.step_s


@dataclass(frozen=True, slots=True)
class FluidOutcome:
    """Totals of G settings.

    Attributes:
        violation_rate: (G,) mean over workloads of the fraction of known time out of SLA.
        cost_usd: (G,) total cost.
    """

    violation_rate: FloatArray
    cost_usd: FloatArray


def history_input(fleet: Fleet, first: int = 0, initial: FloatArray | None = None) -> FluidInput:
    """The history of `fleet` from step `first` on, with every lead time at its median."""
    part = slice(first, fleet.n_history)
    seen = measured_demand(fleet)[:, part]
    gpus = fleet.gpus_per_replica
    low = np.array([float(w.min_replicas) for w in fleet.workloads])
    high = np.array([float(w.max_replicas) for w in fleet.workloads])
    if initial is None:
        initial = np.clip(np.ceil(_first_known(seen) / (0.6 * fleet.capacity)), low, high)
    return FluidInput(
        demand=fleet.demand[:, part],
        seen=seen,
        capacity=fleet.capacity,
        min_replicas=low,
        max_replicas=high,
        lead_s=np.array([w.startup.median_s for w in fleet.workloads]),
        gpu_usd_per_s=gpus * fleet.price_usd_per_gpu_hour / 3600.0,
        initial=initial,
        start_s=float(fleet.start_s + first * fleet.step_s),
        step_s=float(fleet.step_s),
    )


def measured_demand(fleet: Fleet) -> FloatArray:
    """(W, T) demand as policies see it: NaN where the indicator was not observed."""
    seen = np.empty(fleet.demand.shape)
    for i, workload in enumerate(fleet.workloads):
        j = [spec.name for spec in workload.indicators].index(workload.demand)
        seen[i] = np.where(fleet.observed[i, :, j], fleet.values[i, :, j], np.nan)
    return seen


def _first_known(seen: FloatArray) -> FloatArray:
    """(W,) first observed demand of each workload, 0 if there is none."""
    at = np.argmax(np.isfinite(seen), axis=1)
    first: FloatArray = np.nan_to_num(seen[np.arange(len(seen)), at])
    return first


def run_schedules(given: FluidInput, workload: int, asked: FloatArray) -> tuple[FloatArray, ...]:
    """Outcome of G fixed schedules of one workload.

    Args:
        given: The stretch of time.
        workload: Row of it.
        asked: (G, T) replicas asked for from each step's start on.

    Returns:
        (G,) seconds out of SLA and (G,) replica-seconds held.
    """
    q, late_s = int(given.n_lead_steps[workload]), float(given.late_s[workload])
    before_all = np.full((asked.shape[0], q + 1), given.initial[workload])
    padded = np.concatenate([before_all, asked], axis=1)
    landed = _trailing_min(padded[:, 1:], q)
    before = np.minimum(landed, padded[:, : landed.shape[1]])
    demand = given.demand[workload]
    capacity = given.capacity[workload : workload + 1]
    violation_s = late_s * (demand > sla_limit(before, capacity)).sum(axis=1)
    violation_s = violation_s + (given.step_s - late_s) * (
        demand > sla_limit(landed, capacity)
    ).sum(axis=1)
    return violation_s, given.step_s * asked.sum(axis=1)


def _trailing_min(values: FloatArray, q: int) -> FloatArray:
    """Minimum over each window of q + 1 columns."""
    out = values[:, q:].copy()
    for k in range(q):
        np.minimum(out, values[:, k : k + out.shape[1]], out=out)
    return out


@dataclass(frozen=True, slots=True)
class HpaTrajectory:
    """An HPA over a stretch of time; arrays (G, W, T).

    Attributes:
        asked: Replicas asked for.
        before: Ready replicas before a start of the step lands.
        landed: Ready replicas after it.
        late_s: (W,) length of the first part.
    """

    asked: FloatArray
    before: FloatArray
    landed: FloatArray
    late_s: FloatArray

    def ready_mean(self, step_s: float) -> FloatArray:
        """(G, W, T) time-mean ready replicas."""
        share = (self.late_s / step_s)[:, None]
        return share * self.before + (1.0 - share) * self.landed


def run_hpa(given: FluidInput, targets: FloatArray, config: HpaConfig) -> HpaTrajectory:
    """Run HPAs with G targets on W workloads at once.

    Args:
        given: The stretch of time.
        targets: (G,) target utilisation in whole per cent.
        config: All other settings.
    """
    W, T = given.demand.shape
    G = targets.size
    q = given.n_lead_steps
    depth = int(q.max()) + 2
    # recent[k] is what was asked k + 1 steps ago
    recent = np.tile(given.initial, (depth, G, 1))
    # row k counts towards readiness while a start k steps old has not landed
    age = np.arange(depth)[:, None, None]
    asked = np.empty((T, G, W))
    before, landed = np.empty_like(asked), np.empty_like(asked)
    shape = (G, W)
    low, high = (np.broadcast_to(b, shape) for b in (given.min_replicas, given.max_replicas))
    capacity = np.broadcast_to(given.capacity, shape)
    target = np.broadcast_to(targets[:, None], shape)
    state = HpaState()
    last_seen = np.full(W, np.nan)
    landed_age = q - (given.late_s <= 0)
    for t in range(T):
        now = recent[0]
        ready = np.where(age <= np.maximum(landed_age, 0), recent, np.inf).min(axis=0)
        seen = HpaObservation(
            given.start_s + t * given.step_s,
            np.broadcast_to(last_seen, shape),
            ready,
            now - ready,
            now,
            capacity,
            low,
            high,
            target,
        )
        desired, state = hpa_step(seen, config, state)
        recent = np.concatenate([desired[None], recent[:-1]])
        asked[t] = desired
        landed[t] = np.where(age <= q, recent, np.inf).min(axis=0)
        before[t] = np.where(age <= q + 1, recent, np.inf).min(axis=0)
        last_seen = given.seen[:, t]
    return HpaTrajectory(
        np.moveaxis(asked, 0, 2), np.moveaxis(before, 0, 2), np.moveaxis(landed, 0, 2), given.late_s
    )


def hpa_outcome(given: FluidInput, trajectory: HpaTrajectory) -> FluidOutcome:
    """Totals of each target of a trajectory."""
    capacity = given.capacity[:, None]
    share = (given.late_s / given.step_s)[:, None]
    out = share * (given.demand > sla_limit(trajectory.before, capacity))
    out = out + (1.0 - share) * (given.demand > sla_limit(trajectory.landed, capacity))
    known = np.maximum(np.isfinite(given.demand).sum(axis=1), 1)
    held_s = given.step_s * trajectory.asked.sum(axis=2)
    return FluidOutcome(
        violation_rate=(out.sum(axis=2) / known).mean(axis=1),
        cost_usd=(held_s * given.gpu_usd_per_s).sum(axis=1),
    )
