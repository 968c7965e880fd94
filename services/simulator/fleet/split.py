"""A fleet in which one service has two pools: prefill and decode, each a Deployment of its own.

The service keeps its demand and its indicators: output tokens fall on decode, as they fell on the
service, and input tokens, which it always had, on prefill. Policies, cluster and costs know
targets; indicators, requests and promises are those of services.

Shapes: W services, V targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.fleet import Fleet, FleetWorkload, bounds_for
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR

DECODE, PREFILL = "decode", "prefill"
PREFILL_LOAD = "input_tokens_per_s"
PREFILL_GPU = "A100"
PREFILL_CAPACITY = 9_000.0
"""Input tokens per second that one GPU of the prefill pool is stated to serve."""


@dataclass(frozen=True, slots=True, eq=False)
class ScaledFleet:
    """A fleet, and the Deployments that are scaled for it.

    Attributes:
        services: W services.
        targets: V Deployments, each as a workload with the load that falls on it; target i < W
            is service i, or the first of its pools.
        owner: (V,) service of each target.
        pools: (V,) pool that each target is; empty where it is all of a service.
    """

    services: Fleet
    targets: Fleet
    owner: IntArray
    pools: tuple[str, ...]

    def targets_of(self, service: int) -> list[int]:
        """Targets of a service, its first one first."""
        return [int(target) for target in np.flatnonzero(self.owner == service)]

    def has_pools(self, service: int) -> bool:
        """Whether a service is scaled as several pools."""
        return len(self.targets_of(service)) > 1

    def total(self, values: FloatArray) -> FloatArray:
        """(W, ...) sums over the targets of each service, of (V, ...) values."""
        found = np.zeros((self.services.n_workloads, *values.shape[1:]))
        np.add.at(found, self.owner, values)
        return found

    def largest(self, values: FloatArray) -> FloatArray:
        """(W, ...) largest value among the targets of each service, of (V, ...) values."""
        found = np.full((self.services.n_workloads, *values.shape[1:]), -np.inf)
        np.maximum.at(found, self.owner, values)
        return found


def unsplit(fleet: Fleet) -> ScaledFleet:
    """Each service is one Deployment."""
    W = fleet.n_workloads
    return ScaledFleet(fleet, fleet, np.arange(W), ("",) * W)


def with_pools(fleet: Fleet) -> ScaledFleet:
    """The first LLM service of a generated fleet gets a prefill pool; what it was is decode.

    All other services stay as they are.
    """
    kinds = [workload.kind for workload in fleet.workloads]
    if "llm" not in kinds:
        return unsplit(fleet)
    i = kinds.index("llm")
    owner = fleet.workloads[i]
    column = [spec.name for spec in owner.indicators].index(PREFILL_LOAD)
    load = fleet.values[i, :, column]
    workloads = list(fleet.workloads)
    workloads[i] = replace(owner, name=f"{owner.name}-{DECODE}")
    targets = replace(
        fleet,
        workloads=(*workloads, _prefill(owner, load)),
        demand=np.concatenate([fleet.demand, load[None]]),
        values=np.concatenate([fleet.values, fleet.values[i : i + 1]]),
        observed=np.concatenate([fleet.observed, fleet.observed[i : i + 1]]),
    )
    pools = [""] * len(workloads)
    pools[i] = DECODE
    return ScaledFleet(fleet, targets, np.append(np.arange(len(workloads)), i), (*pools, PREFILL))


def _prefill(owner: FleetWorkload, load: FloatArray) -> FleetWorkload:
    """The prefill pool of a service: the same weights, so the same start-up."""
    low, high = bounds_for(load, PREFILL_CAPACITY)
    return replace(
        owner,
        name=f"{owner.name}-{PREFILL}",
        gpu_type=PREFILL_GPU,
        gpus_per_replica=1,
        capacity_per_replica=PREFILL_CAPACITY,
        demand=PREFILL_LOAD,
        min_replicas=low,
        max_replicas=high,
        price_usd_per_gpu_hour=PRICE_USD_PER_GPU_HOUR[PREFILL_GPU],
    )
