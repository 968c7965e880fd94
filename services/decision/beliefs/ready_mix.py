"""Ready replicas of each variant in finished steps: what the loads of a step fell on; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray
from services.kernel.domain import WorkloadSpec


@dataclass(frozen=True, slots=True)
class ReadyMixes:
    """Finished steps of one workload with variants.

    Attributes:
        steps_s: (N,) step starts, epoch seconds, ascending.
        ready_mean: (N,) mean ready reference replicas as the step was scored.
        ready: (N, 1+V) mean ready replicas of each variant.
    """

    steps_s: FloatArray
    ready_mean: FloatArray
    ready: FloatArray

    @classmethod
    def of(cls, row: RowMapping | None, spec: WorkloadSpec) -> ReadyMixes:
        """From a row of `repository.load_ready_mixes`; of a variant not named none was ready."""
        names = [variant.name for variant in spec.variants]
        if row is None:
            return cls(np.zeros(0), np.zeros(0), np.zeros((0, len(names))))
        ready = [[float(step.get(name, 0.0)) for name in names] for step in row["ready"]]
        return cls(
            np.array(row["steps_s"], dtype=float),
            np.array(row["ready_mean"], dtype=float),
            np.array(ready, dtype=float),
        )

    def at(self, steps_s: FloatArray, spec: WorkloadSpec) -> StatedMixes:
        """What was ready in some steps, as the spec states it; NaN where it is not known."""
        stated = self.ready * np.array(stated_ratios(spec))
        units = stated.sum(axis=1)
        factor, mix = np.full(steps_s.size, np.nan), np.zeros((steps_s.size, stated.shape[1] - 1))
        if units.size:
            near = np.minimum(np.searchsorted(self.steps_s, steps_s - 0.5), units.size - 1)
            known = (np.abs(self.steps_s[near] - steps_s) < 0.5) & (units[near] > 0)
            at = near[known]
            factor[known] = self.ready_mean[at] / units[at]
            mix[known] = stated[at, 1:] / units[at, None]
        return StatedMixes(factor, mix)


@dataclass(frozen=True, slots=True)
class StatedMixes:
    """Mixes of steps in stated capacities.

    Attributes:
        factor: (N,) what makes of a load per ready replica as scored one per reference replica as
            stated; NaN: not known.
        mix: (N, V) share of the stated capacity that was each variant's but the first.
    """

    factor: FloatArray
    mix: FloatArray


def n_worths(spec: WorkloadSpec) -> int:
    """Variants of a workload but the first: what is learned of each is relative to that."""
    return max(0, len(spec.variants) - 1)


def stated_ratios(spec: WorkloadSpec) -> tuple[float, ...]:
    """Reference replicas that a replica of each variant is stated to be worth."""
    return tuple(variant.ratio(spec.capacity.per_replica) for variant in spec.variants)


def stated_mix(spec: WorkloadSpec, counts: FloatArray) -> FloatArray:
    """(V,) share of the stated capacity of counts (1+V,); without replicas all is the first's."""
    stated = counts * np.array(stated_ratios(spec))
    return np.asarray(stated[1:] / stated.sum() if stated.sum() > 0 else np.zeros(counts.size - 1))
