"""Targets with the devices that their pods claim; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from services.operator.cluster.pods import Replicas
from services.operator.cluster.targets import ClaimProblem, TargetState
from services.operator.devices.claim_room import ClaimedPods, ClaimRoom, claim_room
from services.operator.devices.seen_devices import AskedDevices, SeenDevices, with_claims
from services.operator.resource.autoscaler import TargetKey

_NAMESPACE = 2
"""Where it stands in the key of a target."""


def look_up_claims(states: dict[TargetKey, TargetState], seen: SeenDevices) -> list[AskedDevices]:
    """Fill in what the pods of targets claim; the devices that this may be."""
    every: list[AskedDevices] = []
    for key, state in list(_claimed(states, seen)):
        asked = with_claims(seen, key[_NAMESPACE], state.shape)
        if isinstance(asked, ClaimProblem):
            states[key] = replace(state, claim_problem=asked)
        else:
            shape, devices = asked
            states[key] = replace(state, shape=shape)
            every += devices
    return every


def _claimed(
    states: dict[TargetKey, TargetState], seen: SeenDevices
) -> Iterator[tuple[TargetKey, TargetState]]:
    """Targets whose claims can be looked up."""
    if seen.is_served and not seen.problem:
        yield from ((key, state) for key, state in states.items() if state.claims)


def room_of_claims(
    seen: SeenDevices, target: TargetState, replicas: Replicas, patience_s: float
) -> ClaimRoom | None:
    """What the claims of a target hold back, or leave unknown; None: nothing."""
    if not target.claims or (seen.is_on and not seen.is_served):
        return None
    waiting = replicas.start_ages_s[replicas.starting :]
    pods = ClaimedPods(
        " and ".join(claim.label for claim in target.claims),
        target.claim_problem,
        replicas.pending - replicas.gated,
        max(waiting, default=0.0),
        patience_s,
    )
    return claim_room(seen, pods)
