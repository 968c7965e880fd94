"""A grace that requests outlast is told, with the field and the value that would do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.operator.cluster.grace import Grace
from services.operator.cluster.kills import Kills
from services.operator.plan.part_members import combine
from services.operator.report.facts import AutoscalerFacts
from services.operator.report.grace import grace_too_short
from services.operator.resource.autoscaler import Autoscaler
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, situation
from tests.unit.operator.reports import DETAILS, facts
from tests.unit.operator.variants import two_pools, two_variants_read

FIELD = "spec.template.spec.terminationGracePeriodSeconds"


def graces(seconds: float, request_s: float | None, *, hook: bool = True) -> AutoscalerFacts:
    where = replace(situation(), grace=Grace(seconds, FIELD, hook))
    return facts(details=replace(DETAILS, request_s=request_s), where=where)


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        (facts(details=None), "Unknown", "NotReadYet"),
        (facts(where=replace(situation(), grace=None)), "Unknown", "GraceUnknown"),
        (graces(30, None), "Unknown", "RequestTimeUnknown"),
        (graces(30, 30.0), "False", "RequestsFitGrace"),
        (graces(30, 30.1), "True", "RequestsOutlastGrace"),
        (graces(0, 0.2), "True", "RequestsOutlastGrace"),
    ],
)
def test_by_what_is_known(given: AutoscalerFacts, status: str, reason: str) -> None:
    found = grace_too_short(given)
    assert (found.type, found.status, found.reason) == ("GraceTooShort", status, reason)
    assert found.message or status == "False" or reason == "NotReadYet"


def test_the_remedy_names_the_field_its_value_and_what_would_do() -> None:
    message = grace_too_short(graces(30, 94.2)).message
    assert f"set {FIELD}=30 of Deployment/llama to 95 or more" in message
    assert "took 1m35s or longer" in message


def test_a_target_without_a_hook_is_told_of_it() -> None:
    assert (
        "Deployment/llama has lifecycle.preStop"
        in grace_too_short(graces(30, 3.0, hook=False)).message
    )
    assert grace_too_short(graces(30, 3.0, hook=True)).message == ""


KILLS = Kills(2, 30.0, NOW)


def killed(found: Kills, grace_s: float | None, request_s: float | None = None) -> AutoscalerFacts:
    given = replace(DETAILS, kills=found, request_s=request_s)
    grace = None if grace_s is None else Grace(grace_s, FIELD, True)
    return facts(details=given, where=replace(situation(), grace=grace))


def test_pods_that_were_killed_are_told_with_what_would_do() -> None:
    found = grace_too_short(killed(KILLS, 30, 94.2))
    assert (found.status, found.reason) == ("True", "PodsKilled")
    assert found.message.startswith("2 pods that scalings in took in the last day had not ended")
    assert "after 30s and were killed, the last at 2026-01-05T12:00:00Z" in found.message
    assert "(how many is not known)" in found.message
    assert found.message.endswith(f"set {FIELD}=30 of Deployment/llama to 95 or more")
    assert grace_too_short(killed(KILLS, 30)).message.endswith("to more")
    unseen = grace_too_short(killed(replace(KILLS, n_pods=1, requests=4.0), None))
    assert unseen.message.startswith("1 pod ")
    assert "(4 seen last)" in unseen.message
    assert unseen.message.endswith("give its pods a longer terminationGracePeriodSeconds")


def test_a_grace_that_was_made_longer_since_is_judged_anew() -> None:
    assert grace_too_short(killed(KILLS, 31, 20.0)).reason == "RequestsFitGrace"
    assert grace_too_short(killed(KILLS, 31)).reason == "RequestTimeUnknown"


def of_parts(autoscaler: Autoscaler, *seconds: float | None) -> AutoscalerFacts:
    assert autoscaler.problem == ""
    assert len(autoscaler.parts) == len(seconds)
    parts = [
        replace(situation(), grace=None if each is None else Grace(each, FIELD, True))
        for each in seconds
    ]
    given = replace(DETAILS, request_s=45.0)
    return replace(
        facts(details=given), autoscaler=autoscaler, situation=combine(autoscaler, parts)
    )


def test_the_shortest_grace_of_the_variants_counts() -> None:
    variants = two_variants_read()
    assert grace_too_short(of_parts(variants, 60, 90)).status == "False"
    found = grace_too_short(of_parts(variants, 60, 40))
    assert found.status == "True"
    assert "=40 of Deployment/llama-l4" in found.message
    assert grace_too_short(of_parts(variants, None, 40)).status == "True"


def test_kills_of_a_variant_are_told_beside_a_longer_grace_of_another() -> None:
    given = of_parts(two_variants_read(), 30, 600)
    killed_ones = replace(DETAILS, kills=KILLS)
    found = grace_too_short(replace(given, details=killed_ones))
    assert found.reason == "PodsKilled"
    assert "=30 of Deployment/llama-h100" in found.message


def test_of_pools_nothing_is_claimed() -> None:
    """A request passes all of them: its whole time says nothing of one."""
    found = grace_too_short(of_parts(to_autoscaler(two_pools(), {}), 30, 30))
    assert (found.status, found.reason) == ("Unknown", "RequestTimeUnknown")
    assert "pools" in found.message
