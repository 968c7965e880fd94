"""What claims hold back; a claim that waits for long ends the asking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.operator.cluster.targets import ClaimProblem
from services.operator.devices.claim_room import ClaimedPods, claim_room
from services.operator.devices.seen_devices import SeenDevices

READ = SeenDevices(True, True)
PODS = ClaimedPods("ResourceClaimTemplate/one", None, 0, 0.0)
ODD = ClaimProblem("it selects by an expression")
GONE = ClaimProblem("it does not exist", is_hopeless=True)


def test_devices_that_are_counted_need_no_word() -> None:
    assert claim_room(READ, PODS) is None
    assert claim_room(READ, replace(PODS, n_pending=2, oldest_s=299.0)) is None
    patient = replace(PODS, n_pending=2, oldest_s=600.0, patience_s=900.0)
    assert claim_room(READ, patient) is None


@pytest.mark.parametrize(
    ("seen", "pods", "reason", "is_known", "words"),
    [
        (SeenDevices(), PODS, "ClaimsNotRead", False, "HARMONY_OPERATOR_DRA is false"),
        (replace(READ, problem="forbidden"), PODS, "ClaimsUnreadable", False, "forbidden"),
        (READ, replace(PODS, problem=ODD), "ClaimsUnknown", False, "it selects by an expression"),
        (READ, replace(PODS, problem=GONE), "ClaimNotFound", True, "it does not exist"),
    ],
)
def test_what_is_unknown_and_what_is_hopeless(
    seen: SeenDevices, pods: ClaimedPods, reason: str, is_known: bool, words: str
) -> None:
    found = claim_room(seen, pods)
    assert found is not None
    assert (found.reason, found.is_known) == (reason, is_known)
    assert words in found.message


@pytest.mark.parametrize("seen", [READ, SeenDevices(), replace(READ, problem="forbidden")])
@pytest.mark.parametrize("problem", [None, ODD])
def test_a_claim_that_never_binds_ends_the_asking(
    seen: SeenDevices, problem: ClaimProblem | None
) -> None:
    found = claim_room(seen, replace(PODS, problem=problem, n_pending=2, oldest_s=300.0))
    assert found is not None
    assert (found.reason, found.is_known) == ("ClaimsUnbound", True)
    assert "2 replicas wait for devices, the first for 300 s" in found.message
    assert "ResourceClaimTemplate/one" in found.message
    assert "kubectl get resourceslices" in found.message
