"""What a mix of variants held and cost in a step, each GPU at the price of its own kind; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping

from services.decision.rows.timeline import ReplicaEvent, step_intervals
from services.decision.rows.variants import ready_and_bound
from services.kernel.domain import VariantSpec, WorkloadSpec


@dataclass(frozen=True, slots=True)
class MixCost:
    """What was held over a step.

    Attributes:
        hours_by_type: GPU-hours by GPU type.
        cost_usd: Their cost.
    """

    hours_by_type: Mapping[str, float]
    cost_usd: float

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all types."""
        return sum(self.hours_by_type.values())


def mix_cost(
    spec: WorkloadSpec, states: Sequence[RowMapping], start_s: float, end_s: float
) -> MixCost:
    """GPUs and dollars over [start_s, end_s) of a workload with variants.

    Each moment counts what the newest snapshot before it held of each variant. A snapshot that does
    not tell the variants apart counts in reference replicas, at what one of them takes and costs.

    Args:
        spec: The workload.
        states: Its snapshots.
        start_s: Step start.
        end_s: Step end.
    """
    hours: dict[str, float] = {}
    usd = 0.0
    for variant in (None, *spec.variants):
        kind = spec if variant is None else variant
        bound = [(s["observed_at"].timestamp(), _bound(spec, s, variant)) for s in states]
        events = [ReplicaEvent(at_s, "snapshot", 0, n) for at_s, n in bound]
        parts = step_intervals(events, start_s, end_s)
        replica_s = sum(part.bound * (part.end_s - part.start_s) for part in parts)
        held = replica_s * kind.gpus_per_replica / 3600.0
        if held > 0:
            hours[kind.gpu_type] = hours.get(kind.gpu_type, 0.0) + held
            usd += held * kind.price_usd_per_gpu_hour
    return MixCost(hours, usd)


def _bound(spec: WorkloadSpec, state: RowMapping, variant: VariantSpec | None) -> int:
    """Replicas on nodes of a variant; None: reference replicas of which no variant is known."""
    seen = state["variants"]
    if variant is None:
        return 0 if seen else ready_and_bound(spec, state)[1]
    found = (seen or {}).get(variant.name) or {}
    return int(found.get("ready", 0)) + int(found.get("starting", 0))
