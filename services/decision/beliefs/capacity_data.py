"""Data that capacities are learned from, and checks that it suffices; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri
from sqlalchemy import RowMapping

from decider import FloatArray, ResponseData
from services.decision.rows.loads import (
    NONE_FURTHER,
    Sampled,
    added_up,
    further_capacity,
    remeasured,
    stacked,
)
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import MEASURED_BY, measured_by

MIN_STEPS = 48
MIN_SPREAD = 1.5
"""How many times the low load (5 %) the high one (95 %) must be for a curve to show."""
MIN_REACH = 0.5
"""Share of the stated capacity that the high load must reach for the knee to show."""
MAX_SPREAD = 0.25
"""Relative spread up to which a learned capacity says more than a stated one."""
N_BINS, STEPS_PER_BIN = 20, 10


@dataclass(frozen=True, slots=True)
class LatencySteps:
    """Steps of one workload with a latency, in time order.

    Attributes:
        steps_s: (N,) step starts, epoch seconds.
        load: (N,) equivalent demand per ready replica, by the stated capacities.
        latency_ms: (N,) measured latency.
    """

    steps_s: FloatArray
    load: FloatArray
    latency_ms: FloatArray

    @classmethod
    def of(
        cls, row: RowMapping, spec: WorkloadSpec, further: Mapping[str, Sampled] = NONE_FURTHER
    ) -> LatencySteps:
        """From a row of `repository.load_latency_steps`; steps with an unknown load are left out.

        Args:
            row: The row.
            spec: The workload's.
            further: Its further loads per ready replica by name; the demand among them: as it is
                measured now.
        """
        columns = (row["steps_s"], row["load"], row["latency_ms"])
        steps = cls(*(np.asarray(c, dtype=np.float64) for c in columns))
        steps = replace(steps, load=remeasured((steps.steps_s, steps.load), further, spec))
        if not spec.further_loads:
            return steps
        loads = stacked((steps.steps_s, steps.load), further, spec)
        load = added_up(loads, spec)
        return replace(steps, load=load).where(np.isfinite(load))

    def where(self, chosen: Any) -> LatencySteps:
        """Some of the steps."""
        return LatencySteps(self.steps_s[chosen], self.load[chosen], self.latency_ms[chosen])


def latency_steps(
    rows: Sequence[RowMapping],
    members: Sequence[ShardMember],
    further: Mapping[int, Mapping[str, Sampled]],
) -> dict[int, LatencySteps]:
    """Steps by workload from rows of `repository.load_latency_steps`.

    Args:
        rows: The rows.
        members: Their workloads.
        further: Further loads per ready replica by workload and name.
    """
    specs = {m.id: m.spec for m in members}
    found = {int(row["workload_id"]): row for row in rows}
    return {
        key: LatencySteps.of(row, specs[key], further.get(key, NONE_FURTHER))
        for key, row in found.items()
    }


def lack(steps: LatencySteps | None, per_replica: float) -> str:
    """Find what is missing for a curve to be learned; empty when nothing is.

    Args:
        steps: The workload's steps; None where there are none.
        per_replica: Its stated capacity.
    """
    n = 0 if steps is None else steps.load.size
    if steps is None or n < MIN_STEPS:
        return f"{n} steps with a latency and a steady replica count; {MIN_STEPS} are needed"
    low, high = (float(v) for v in np.quantile(steps.load, (0.05, 0.95)))
    if high < MIN_SPREAD * low:
        return (
            f"load per replica between {low:.4g} and {high:.4g}; the high must be at least "
            f"{MIN_SPREAD} times the low"
        )
    if high < MIN_REACH * per_replica:
        return (
            f"load per replica up to {high:.4g}; it must reach {MIN_REACH:.0%} of the stated "
            f"{per_replica:.4g}"
        )
    return ""


def thinned(steps: LatencySteps) -> LatencySteps:
    """At most `N_BINS * STEPS_PER_BIN` steps: the newest of each bin of equal width in load.

    Choosing by load keeps the few steps near the knee and biases nothing: the curve is about
    latency given load.
    """
    low, high = float(steps.load.min()), float(steps.load.max())
    width = max(high - low, 1e-12)
    bins = np.minimum((N_BINS * (steps.load - low) / width).astype(np.int64), N_BINS - 1)
    kept = [np.flatnonzero(bins == b)[-STEPS_PER_BIN:] for b in range(N_BINS)]
    return steps.where(np.sort(np.concatenate(kept)))


def response_data(
    members: Sequence[ShardMember], steps: Mapping[int, LatencySteps]
) -> ResponseData:
    """The model's data for workloads of one GPU type."""
    chosen = [thinned(steps[m.id]) for m in members]
    sizes = [c.load.size for c in chosen]
    return ResponseData(
        np.concatenate([c.latency_ms for c in chosen]),
        np.concatenate([c.load for c in chosen]),
        np.repeat(np.arange(len(members)), sizes),
        np.array([m.spec.capacity.per_replica for m in members]),
        np.zeros(len(members), dtype=np.int64),
    )


def flaw(capacity: FloatArray, base_ms: FloatArray, slo_ms: float) -> str:
    """Why draws of a capacity must not be used; empty when they may.

    Args:
        capacity: (P,) draws.
        base_ms: (P,) draws of the latency of an idle replica.
        slo_ms: Latency that the SLO allows.
    """
    if not (capacity > 0).all():
        return (
            f"an idle replica's latency, {float(np.median(base_ms)):.4g} ms in the median, may "
            f"exceed slo_latency_ms={slo_ms:g}: no number of replicas would keep it"
        )
    return spread_flaw(capacity)


def spread_flaw(draws: FloatArray) -> str:
    """Why draws are too wide to be used; empty when they are not.

    The spread is that of the normal law of their logarithm with the same 10 % and 90 % quantiles:
    a few far draws do not count.
    """
    low, high = np.quantile(np.log(draws), (0.1, 0.9))
    spread = float(high - low) / (2.0 * float(ndtri(0.9)))
    if spread <= MAX_SPREAD:
        return ""
    return (
        f"capacity is known to {spread:.0%} only, {MAX_SPREAD:.0%} is needed: "
        "no step came near it, or workloads differ too much"
    )


def fingerprint(member: ShardMember) -> dict[str, Any]:
    """The parts of a spec that a capacity is learned for; of another spec, it is not used."""
    spec = member.spec
    further: dict[str, Any] = {}
    if spec.further_loads:
        further = {
            "further": list(spec.further_loads),
            "further_per_replica": list(further_capacity(spec)),
        }
    return further | {
        "demand": spec.demand,
        "gpu_type": spec.gpu_type,
        "gpus_per_replica": spec.gpus_per_replica,
        "per_replica": spec.capacity.per_replica,
        "latency_indicator": spec.capacity.latency_indicator,
        "slo_latency_ms": spec.capacity.slo_latency_ms,
        MEASURED_BY: measured_by(spec, {*spec.loads, spec.capacity.latency_indicator}),
    }
