"""What holds replicas back is named, of variants and pools with their names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.devices.claim_room import ClaimRoom
from services.operator.kueue.queue_room import QueueRoom
from services.operator.plan.part_members import combine
from services.operator.plan.plan import Situation, StoredDecision
from services.operator.report.facts import AutoscalerFacts, Finding
from services.operator.report.limited import capital_words, limited
from tests.unit.operator.examples import NOW, decision, situation
from tests.unit.operator.reports import DETAILS, facts
from tests.unit.operator.variants import two_variants_read


def found_of(given: AutoscalerFacts) -> Finding:
    return limited(given, NOW)


def of_parts(
    dear: Situation, cheap: Situation, newest: StoredDecision | None = None
) -> AutoscalerFacts:
    autoscaler = two_variants_read()
    whole = combine(autoscaler, [dear, cheap])
    return AutoscalerFacts(autoscaler, whole, newest or decision(), DETAILS, 60, 180)


def test_a_target_stopped_by_hand_is_said_while_replicas_are_wanted() -> None:
    found = found_of(facts(decision(desired=6), where=situation(0)))
    assert (found.status, found.reason) == ("True", "ScaledToZeroByHand")
    assert "6 replicas are wanted: scale it to at least one" in found.message
    for other in (
        facts(replace(decision(desired=6), is_put_to_zero=True), where=situation(0)),
        facts(decision(desired=6), where=situation(0, minReplicas=0)),
        facts(decision(desired=0), where=situation(0)),
    ):
        assert found_of(other).reason != "ScaledToZeroByHand"


def test_what_was_decided_and_got_no_gpus_at_the_patch_is_said() -> None:
    """The decision itself was not held back: others rose in the same step."""
    short = replace(situation(4), limit="ResourceQuota/gpus", is_short=True)
    given = facts(decision(desired=6, raw=6), where=short)
    found = found_of(replace(given, last_result="waiting"))
    assert (found.status, found.reason) == ("True", "QuotaExceeded")
    told = "6 replicas are decided, 4 are asked for: raise ResourceQuota/gpus to allow more"
    assert found.message == told
    for other in (
        replace(given, last_result="waiting", situation=replace(short, is_short=False)),
        replace(given, last_result="applied", newest=decision(desired=4, raw=4)),
        replace(given, last_result="advisory"),
    ):
        assert found_of(other).reason == "DesiredWithinRange"


LEFT = "ClusterQueue/a leaves 0 of 8 nvidia.com/gpu"
QUEUE = QueueRoom("ClusterQueue/a", 0, "QuotaExceeded", LEFT)


@pytest.mark.parametrize(
    ("where", "reason", "words"),
    [
        (
            replace(situation(4), limit=QUEUE.name, queue=QUEUE),
            "QuotaExceeded",
            "GPUs are there for 6: ClusterQueue/a leaves 0 of 8",
        ),
        (
            replace(situation(4), limit=QUEUE.name, queue=replace(QUEUE, reason="QueueStopped")),
            "QueueStopped",
            "ClusterQueue/a",
        ),
        (replace(situation(4), limit="nodes", queue=QUEUE), "InsufficientGPUs", "add nodes"),
        (
            replace(situation(4), n_gated=3, queue=QUEUE),
            "AwaitingAdmission",
            "3 replicas are held by a scheduling gate until Kueue admits them: ClusterQueue/a",
        ),
        (replace(situation(4), n_gated=1), "AwaitingAdmission", "spec.schedulingGates of the pods"),
    ],
)
def test_what_a_queue_holds_back_is_named(where: Situation, reason: str, words: str) -> None:
    held = decision(desired=6, raw=8, binding_constraint="schedulable")
    found = found_of(facts(held, where=where))
    assert (found.status, found.reason) == ("True", reason)
    assert words in found.message


@pytest.mark.parametrize("reason", ["ClaimNotFound", "ClaimsUnbound"])
def test_a_claim_that_cannot_be_allocated_limits(reason: str) -> None:
    gone = ClaimRoom(reason, "create the class", is_known=True)
    found = found_of(facts(decision(), where=replace(situation(4), claims=gone)))
    assert (found.status, found.reason, found.message) == ("True", reason, "create the class")


FAILURE = 'pods "b" is forbidden: exceeded quota: gpus'


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"failure": FAILURE}, "QuotaExceeded", "variant l4: pods cannot be created: pods"),
        ({"n_gated": 3, "queue": QUEUE}, "AwaitingAdmission", "variant l4: 3 replicas are held"),
        (
            {"limit": "refused", "n_pending": 2, "supply": "no capacity in zone a"},
            "ProvisioningRefused",
            "variant l4: 2 replicas wait for a node: no capacity in zone a",
        ),
        (
            {"claims": ClaimRoom("ClaimsUnbound", "create the class", is_known=True)},
            "ClaimsUnbound",
            "variant l4: create the class",
        ),
    ],
)
def test_what_holds_back_the_second_part_is_told_with_its_name(
    change: dict[str, Any], reason: str, words: str
) -> None:
    found = found_of(of_parts(situation(2), replace(situation(4), **change)))
    assert (found.status, found.reason) == ("True", reason)
    assert found.message.startswith(words)


def test_all_parts_that_are_held_back_are_told() -> None:
    gated = replace(situation(2), n_gated=1)
    found = found_of(of_parts(gated, replace(situation(4), failure=FAILURE)))
    assert found.reason == "AwaitingAdmission"
    assert "variant h100: 1 replicas are held" in found.message
    assert "; variant l4: pods cannot be created" in found.message


def test_the_part_that_is_short_of_gpus_is_told_not_the_other() -> None:
    held = decision(desired=6, raw=8, binding_constraint="schedulable")
    free = replace(situation(2), limit="nodes")
    short = replace(situation(4), limit="ResourceQuota/gpus", is_short=True)
    found = found_of(of_parts(free, short, held))
    assert (found.status, found.reason) == ("True", "QuotaExceeded")
    assert found.message == (
        "8 replicas are wanted, GPUs are there for 6: variant l4: raise ResourceQuota/gpus to "
        "allow more"
    )
    later = found_of(of_parts(free, replace(short, is_short=False), held))
    assert later.reason == "InsufficientGPUs"
    assert "has free GPUs" in later.message


def test_a_reason_is_in_capital_words() -> None:
    assert [capital_words(word) for word in ("rate_limit", "")] == ["RateLimit", "Limited"]
