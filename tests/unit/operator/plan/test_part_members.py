"""Each variant is checked as an autoscaler of its own; the whole is in reference replicas."""

from __future__ import annotations

from dataclasses import replace

from services.operator.plan.part_members import (
    combine,
    decision_of,
    describe_target,
    members_of,
    part_statuses,
    ratios,
    with_learned_ratios,
)
from services.operator.plan.plan import Situation
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import decision, resource, situation
from tests.unit.operator.variants import two_pools, two_variants_read


def test_one_kind_of_replicas_is_its_own_member() -> None:
    autoscaler = to_autoscaler(resource(), {})
    assert members_of(autoscaler) == (autoscaler,)
    assert describe_target(autoscaler, situation()) == "llama"


def test_a_member_has_the_target_hardware_and_bounds_of_its_variant() -> None:
    schedule = {"name": "night", "startTime": "20:00", "endTime": "06:00", "minReplicas": 2}
    autoscaler = two_variants_read(schedules=[schedule])
    dear, cheap = members_of(autoscaler)
    assert dear.spec is not None
    assert cheap.spec is not None
    assert ratios(autoscaler) == (1.0, 0.5)
    assert (dear.target.name, cheap.target.name) == ("llama-h100", "llama-l4")
    assert (cheap.spec.gpu_type, cheap.spec.price_usd_per_gpu_hour) == ("L4", 1.0)
    assert (dear.spec.min_replicas, dear.spec.max_replicas) == (0, 10)
    assert (cheap.spec.min_replicas, cheap.spec.max_replicas) == (2, 20)
    assert dear.spec.schedules[0].min_replicas is None, "bounds of schedules are of the total"


def test_the_whole_counts_in_reference_replicas_and_keeps_what_forbids_a_variant() -> None:
    autoscaler = two_variants_read()
    dear, cheap = situation(2), replace(situation(4), conflict="ScaledObject/x")
    whole = combine(autoscaler, [dear, cheap])
    assert (whole.replicas, whole.conflict, whole.spec) == (4, "ScaledObject/x", autoscaler.spec)
    assert describe_target(autoscaler, whole) == "h100=2,l4=4"


def test_a_variant_without_a_target_is_shown_and_does_not_count() -> None:
    autoscaler = two_variants_read()
    absent = Situation(None, None, target_problem="gone")
    whole = combine(autoscaler, [situation(3), absent])
    assert (whole.replicas, whole.target_problem) == (3, "gone")
    assert describe_target(autoscaler, whole) == "h100=3,l4=?"
    assert combine(autoscaler, [absent, absent]).replicas is None


def test_the_parts_of_a_decision_and_the_statuses() -> None:
    made = decision(parts={"l4": (2, 5)})
    own = decision_of(made, "l4")
    assert own is not None
    assert (own.current, own.raw, own.desired, own.parts) == (2, 5, 5, {})
    assert decision_of(made, "h100") is None
    whole = combine(two_variants_read(), [situation(3), situation(2)])
    assert part_statuses(whole, made) == [
        {"name": "h100", "currentReplicas": 3},
        {"name": "l4", "currentReplicas": 2, "desiredReplicas": 5},
    ]
    assert part_statuses(whole, None)[1] == {"name": "l4", "currentReplicas": 2}


def test_a_pool_is_a_member_with_its_own_bounds_and_every_replica_counts_once() -> None:
    schedule = {"name": "night", "startTime": "20:00", "endTime": "06:00", "minReplicas": 2}
    autoscaler = to_autoscaler(two_pools(schedules=[schedule]), {})
    prefill, decode = members_of(autoscaler)
    assert prefill.spec is not None
    assert decode.spec is not None
    assert ratios(autoscaler) == (1.0, 1.0)
    assert (prefill.spec.gpus_per_replica, decode.spec.gpus_per_replica) == (1, 2)
    assert (decode.spec.min_replicas, decode.spec.max_replicas) == (1, 10)
    assert decode.spec.schedules[0].min_replicas == 2, "bounds of schedules are of each pool"
    assert combine(autoscaler, [situation(3), situation(5)]).replicas == 8


def test_variants_are_worth_what_the_newest_decision_took_them_for() -> None:
    autoscaler = two_variants_read()
    newest = decision(capacity_ratios={"l4": 0.3})
    learned = with_learned_ratios(autoscaler, newest)
    assert ratios(learned) == (1.0, 0.3)
    assert combine(learned, [situation(2), situation(4)]).replicas == 3
    assert with_learned_ratios(learned, newest) == learned
    assert with_learned_ratios(autoscaler, decision()) is autoscaler
    assert with_learned_ratios(autoscaler, None) is autoscaler
