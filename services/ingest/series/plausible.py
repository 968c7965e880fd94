"""What a load can plausibly be, measured against what its workload could ever carry. Pure.

A load above it is a mistake of an exporter or of a unit: believed for one step, it would fill the
fleet. A service in overload is never refused, for that is what must be seen: a storm of retries or
a queue is some ten to a hundred times of what all replicas carry, and small services take no part
in it below `PLAUSIBLE_ANYWAY`, which a queue or a burst of batch jobs may reach whatever the
capacity.
"""

from __future__ import annotations

import numpy as np

from services.ingest.series.resample import Resampled
from services.ingest.series.samples import F64, Mask
from services.kernel.domain import WorkloadSpec

MOST_TIMES = 1_000
"""Times of what `maxReplicas` carry that a load may be; a thousandfold is the usual slip of a unit
of a capacity (ms for s, tokens for thousands of them), which must not make a service blind."""
PLAUSIBLE_ANYWAY = 100_000.0
"""A load up to this is taken, whatever the capacity."""


def largest_loads(spec: WorkloadSpec) -> dict[str, float]:
    """Largest plausible value of each load, in its own unit; of a counter that of its rate."""
    parts = [part.max_replicas for part in spec.parts if part.max_replicas is not None]
    n_replicas = max(spec.max_replicas, *parts) if parts else spec.max_replicas
    per_replica = {spec.demand: spec.capacity.per_replica}
    per_replica |= {load.indicator: load.per_replica for load in spec.capacity.also_bound_by}
    return {
        name: max(MOST_TIMES * carried * n_replicas, PLAUSIBLE_ANYWAY)
        for name, carried in per_replica.items()
    }


def plausible_rule(largest: float) -> str:
    """What a load should have been, for a message."""
    return (
        f"is not plausible: a load is at most {largest:g} ({MOST_TIMES} times what maxReplicas "
        f"carry by the stated capacity, {PLAUSIBLE_ANYWAY:g} at least); check the unit of the "
        "samples and of the capacity"
    )


def screen_steps(steps: Resampled, largest: F64) -> tuple[Resampled, Mask]:
    """Steps without those of loads that are not plausible, which are unobserved.

    It is for counters: of one reading nothing can be told, of the rate between two all.

    Args:
        steps: Steps of n series.
        largest: Largest plausible value of each, (n,).

    Returns:
        The steps, and which were refused, (n, T).
    """
    with np.errstate(invalid="ignore"):
        refused = steps.observed & (steps.value > largest[:, None])
    value = np.where(refused, np.float32(np.nan), steps.value)
    return Resampled(value, steps.observed & ~refused), refused
