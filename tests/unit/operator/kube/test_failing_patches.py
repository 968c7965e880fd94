"""Patches that failed slowly come last, one at a time and with pauses; the others at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.operator.kube.failing_patches import FailingPatch, SlowFailures, rounds
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import PlannedAction, Result
from services.operator.plan.scaling import WHOLE, Scaling
from services.operator.resource.autoscaler import TargetKey
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import NOW, decision, resource


def scaling(namespace: str, name: str) -> Scaling:
    given = resource()
    given["metadata"] |= {"namespace": namespace, "name": name, "uid": name}
    given["spec"]["scaleTargetRef"]["name"] = name
    autoscaler = to_autoscaler(given, {})
    wanted = decision(desired=6)
    change = PartChange(WHOLE, 1.0, 0, 0.0, PlannedAction(wanted, Result.APPLIED, "", 4, 6))
    return Scaling(autoscaler, wanted, {WHOLE: change}, {WHOLE: autoscaler})


def key(namespace: str, name: str) -> TargetKey:
    return ("apps", "Deployment", namespace, name)


def failing(ago_s: float, took_s: float = 10.0, since: datetime | None = None) -> FailingPatch:
    at = NOW - timedelta(seconds=ago_s)
    return FailingPatch("500", since or at, at, took_s)


def names(found: list[list[Scaling]]) -> list[list[str]]:
    return [[each.autoscaler.name for each in one] for one in found]


def test_what_was_slow_comes_after_its_namespace_and_that_after_the_others() -> None:
    given = [scaling("a", n) for n in ("late", "early", "well")] + [scaling("b", "other")]
    known = {key("a", "late"): failing(30), key("a", "early"): failing(40)}
    assert names(rounds(given, known, NOW)) == [["other"], ["well"], ["early"], ["late"]]


def test_what_failed_at_once_keeps_its_place() -> None:
    known = {key("a", "w"): failing(0, took_s=0.2, since=NOW - timedelta(minutes=5))}
    assert names(rounds([scaling("a", "w"), scaling("a", "v")], known, NOW)) == [["w", "v"], []]


def test_the_pause_is_as_long_as_it_has_failed_and_thirty_seconds_at_most() -> None:
    for failed_s, pause_s in ((0, 0), (20, 20), (3600, 30)):
        for early_s, is_due in ((1, False), (0, True)):
            if early_s > pause_s:
                continue
            at = NOW - timedelta(seconds=pause_s - early_s)
            one = FailingPatch("500", at - timedelta(seconds=failed_s), at, 10.0)
            assert one.is_due(NOW) is is_due
            found = rounds([scaling("a", "w")], {key("a", "w"): one}, NOW)
            assert names(found) == [[], [], *([["w"]] if is_due else [])]


def test_those_of_a_namespace_pause_together() -> None:
    given = [scaling("a", "w"), scaling("a", "v"), scaling("b", "other")]
    known = {
        key("a", "w"): failing(100),
        key("a", "v"): failing(29),
        key("b", "other"): failing(40),
    }
    assert names(rounds(given, known, NOW)) == [[], [], ["other"]]
    del known[key("a", "v")]
    assert names(rounds(given, known, NOW)) == [[], ["v"], ["w"], ["other"]]


def test_what_was_tried_long_ago_says_nothing() -> None:
    known = {key("a", "w"): failing(600)}
    assert names(rounds([scaling("a", "w")], known, NOW)) == [["w"], []]


def test_namespaces_whose_pods_could_not_be_marked_come_later() -> None:
    known = {("", "Pod", "a", ""): failing(5)}
    given = [scaling("a", "w"), scaling("b", "v")]
    assert names(rounds(given, known, NOW)) == [["v"], ["w"]]


def test_patience_ends_for_a_namespace_at_once_and_for_all_after_half_a_minute() -> None:
    patience = SlowFailures()
    patience.note("a", 0.9)
    assert not patience.leaves("a")
    patience.note("a", 10.0)
    assert patience.leaves("a")
    assert not patience.leaves("b")
    patience.note("b", 20.0)
    assert patience.leaves("c")
