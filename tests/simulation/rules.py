"""What an autoscaler of a simulation allows, by its spec and annotations."""

from __future__ import annotations

from services.operator.resource.autoscaler import APPROVED_DECISION
from tests.simulation.cluster import Object, targets_of
from tests.simulation.source import Made


def is_fall(where: str) -> bool:
    _, before, _, after, *_ = where.replace(",", "").split()
    return int(after) < int(before)


def approved(autoscaler: Object, one: Made) -> bool:
    approved = autoscaler["metadata"]["annotations"].get(APPROVED_DECISION)
    return autoscaler["spec"]["mode"] == "Approval" and approved == str(one.id)


def bounds(autoscaler: Object, target: str) -> tuple[int, int]:
    spec = autoscaler["spec"]
    part = next(part for name, part in targets_of(autoscaler) if name == target)
    return int(part.get("minReplicas", 0)), int(spec["maxReplicas"])


def goes_in(autoscaler: Object, target: str, before: int, replicas: int) -> bool:
    """Within the bounds, or on the way back as far as GPUs allow."""
    low, high = bounds(autoscaler, target)
    return low <= replicas <= high or before < replicas < low or high < replicas < before


def within(autoscaler: Object, target: str, replicas: int) -> bool:
    low, high = bounds(autoscaler, target)
    return low <= replicas <= high
