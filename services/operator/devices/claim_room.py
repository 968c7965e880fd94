"""What claims of devices say of the room of a target; pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.operator.cluster.targets import ClaimProblem
from services.operator.devices.seen_devices import SeenDevices

PATIENCE_S = 300.0
"""A claim that has waited so long on nodes that exist is not just being allocated."""


@dataclass(frozen=True, slots=True)
class ClaimedPods:
    """Replicas of a target whose pods claim devices.

    Attributes:
        label: Of what they claim by.
        problem: Why it cannot be told what they take; None: it can.
        n_pending: Replicas that wait for devices or for a node.
        oldest_s: How long the first of them has.
        patience_s: After so long no device is expected any more.
    """

    label: str
    problem: ClaimProblem | None
    n_pending: int
    oldest_s: float
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True)
class ClaimRoom:
    """What claims hold back, or leave unknown.

    Attributes:
        reason: One word for a condition.
        message: What it follows from, and what would change it.
        is_known: No further replica would be given devices. False: nobody can tell.
    """

    reason: str
    message: str
    is_known: bool = False


def claim_room(seen: SeenDevices, pods: ClaimedPods) -> ClaimRoom | None:
    """What the claims of some pods hold back; None: their devices are counted.

    A claim that has waited for long ends the asking, whether its devices can be counted or not.
    """
    problem = pods.problem
    if problem is not None and problem.is_hopeless:
        return ClaimRoom("ClaimNotFound", problem.message, is_known=True)
    if pods.n_pending and pods.oldest_s >= pods.patience_s:
        message = (
            f"{pods.n_pending} replicas wait for devices, the first for {pods.oldest_s:.0f} s: "
            f"nothing that is free satisfies {pods.label}; look at the events of the pods, then "
            "add nodes whose driver publishes such devices (kubectl get resourceslices), or "
            "correct its deviceClassName and selectors"
        )
        return ClaimRoom("ClaimsUnbound", message, is_known=True)
    if not seen.is_on:
        message = (
            f"its pods claim devices by {pods.label}, which is not read: HARMONY_OPERATOR_DRA is "
            "false, so how many are free is not known; set it to true (docs/supply.md has the "
            "rights that it needs)"
        )
        return ClaimRoom("ClaimsNotRead", message)
    if seen.problem:
        return ClaimRoom("ClaimsUnreadable", f"free devices are not known: {seen.problem}")
    if problem is not None:
        return ClaimRoom("ClaimsUnknown", f"free devices are not known: {problem.message}")
    return None
