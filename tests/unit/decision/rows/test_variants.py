"""Variants with what was learned of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import RowMapping

from decider import MissPrior, SpotReplicas, SpotShare, learn_interruptions
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.variants import (
    VariantInput,
    learned_spec,
    ready_and_bound,
    variant_input,
)
from services.kernel.domain import WorkloadSpec
from tests.unit.decider.belief.test_variant_learning import learn, truth_of, varied
from tests.unit.decision.beliefs.test_miss_data import member
from tests.unit.decision.beliefs.test_ready_mix import mixed


def state(**variants: Any) -> RowMapping:
    counts = {"ready_replicas": 9, "starting_replicas": 1}
    return cast(RowMapping, counts | {"variants": variants or None})


def ratios(spec: WorkloadSpec) -> list[float]:
    return [v.ratio(spec.capacity.per_replica) for v in spec.variants]


def test_only_what_was_learned_changes_a_variant() -> None:
    spec = mixed().spec
    assert learned_spec(spec, np.ones(1)) is spec
    assert learned_spec(spec, np.zeros(0)) is spec
    assert ratios(learned_spec(spec, np.array([0.6]))) == pytest.approx([2.0, 0.3])


def test_a_snapshot_counts_by_what_its_variants_carry() -> None:
    spec = mixed().spec
    seen = state(h100={"ready": 1, "starting": 0}, l4={"ready": 4, "starting": 2})
    assert ready_and_bound(spec, seen) == (4, 5)
    assert ready_and_bound(learned_spec(spec, np.array([0.6])), seen) == (3, 3)
    assert ready_and_bound(spec, state()) == (9, 10), "it was written before there were variants"
    assert ready_and_bound(member().spec, seen) == (9, 10)


def test_a_response_is_of_the_mix_that_runs_and_says_what_variants_carry() -> None:
    draws = learn(truth_of(), varied(80)).draws
    spec = mixed().spec
    found = LearnedResponse.of(draws, spec, 100.0, np.array([0.5]))
    assert found.worth == pytest.approx([0.6], rel=0.1)
    assert found.draws.n_variants == 0
    plain = LearnedResponse.of(MissPrior.stated(10.0, 0.0, 0.05).draws(64), member().spec, 100.0)
    assert plain.worth.size == 0


NOW = datetime(2026, 11, 20, tzinfo=UTC)


def given(**l4: Any) -> VariantInput:
    """Two replicas of the first variant, three of the second."""
    second = {"spec": 3, "ready": 3, "starting": 0, "pending": 0} | l4
    seen = {"h100": {"spec": 2, "ready": 2, "starting": 0, "pending": 0}, "l4": second}
    row = cast(RowMapping, {"observed_at": NOW, "variants": seen})
    return variant_input(mixed().spec, row, None, NOW, {"L4": learn_interruptions(3.0, 30.0)})


def spot_of(**l4: Any) -> SpotShare | None:
    """Where the replicas of the second variant are, of which three serve."""
    sure, found = given(**l4).variants.states
    assert sure.spot is None
    return found.spot


def test_a_variant_is_on_spot_nodes_as_far_as_its_replicas_are() -> None:
    belief = 3.5, 40.0
    assert spot_of() is None
    assert spot_of(spot={"replicas": 2, "nodes": 1, "leaving": 0}) == SpotShare(
        SpotReplicas(2, 1, *belief), 3
    )
    # what is about to go is neither there nor elsewhere
    assert spot_of(spot={"replicas": 2, "nodes": 1, "leaving": 1}) == SpotShare(
        SpotReplicas(2, 1, *belief), 2
    )
    assert spot_of(spot={"replicas": 0, "nodes": 0, "leaving": 1}) is None


def test_what_is_about_to_go_is_neither_asked_for_nor_there() -> None:
    """The operator asks for as many more, so a decision that counted them would ask for fewer."""
    leaving = {"replicas": 0, "nodes": 0, "leaving": 2}
    now, before = given(spec=5, starting=2, start_ages_s=[9.0, 9.0], spot=leaving), given()
    assert [v.spec for v in now.variants.states] == [2, 3]
    assert now.replicas.spec == before.replicas.spec
    assert now.replicas.ready == before.replicas.ready - 1, "a replica of L4 is half a one"
    assert len(now.replicas.starting_age_s) == 1
    gone = given(spec=0, ready=0, spot=leaving)
    assert [v.spec for v in gone.variants.states] == [2, 0]


def test_a_variant_that_goes_to_spot_nodes_alone_is_known_before_it_serves() -> None:
    belief = 3.5, 40.0
    whole_node = SpotShare(SpotReplicas(8, 1, *belief), 8)
    assert spot_of(ready=0, spot={"only": True}) == whole_node
    assert spot_of(ready=0) is None
    serving = {"replicas": 3, "nodes": 2, "leaving": 0, "only": True}
    assert spot_of(spot=serving) == SpotShare(SpotReplicas(3, 2, *belief), 3)


def stuck_of(stuck_s: float = math.inf, **l4: Any) -> tuple[int, VariantInput]:
    """Starts of the second variant that never end, and what is known of both; three of it serve."""
    second = {"spec": 7, "ready": 3, "starting": 0, "pending": 4, "start_ages_s": [60.0] * 4} | l4
    seen = {"h100": {"spec": 2, "ready": 2, "starting": 0, "pending": 0}, "l4": second}
    row = cast(RowMapping, {"observed_at": NOW, "variants": seen})
    found = variant_input(mixed().spec, row, None, NOW, stuck_s={"l4": stuck_s})
    return found.variants.states[1].stuck, found


def test_starts_that_no_gpu_is_there_for_carry_nothing() -> None:
    n_stuck, found = stuck_of(schedulable_gpus=1)
    assert (n_stuck, found.variants.states[1].spec) == (3, 7)
    assert found.replicas.spec == 6, "two of twice, and four of half a reference replica"
    assert found.replicas.ready == 5
    assert found.replicas.pending_age_s == (60.0,)
    assert stuck_of(schedulable_gpus=4)[0] == 0
    assert stuck_of()[0] == 0, "whether one is there is unknown"


def test_starts_older_than_any_becomes_carry_nothing() -> None:
    ages = [900.0, 40.0, 30.0, 900.0, 900.0]
    n_stuck, found = stuck_of(800.0, spec=8, starting=3, pending=2, start_ages_s=ages)
    assert n_stuck == 3
    assert found.replicas.starting_age_s == (40.0,), "two of half a reference replica"
    assert found.replicas.pending_age_s == ()
    assert stuck_of(1_000.0, spec=8, starting=3, pending=2, start_ages_s=ages)[0] == 0


def test_what_is_stuck_makes_no_variant_move() -> None:
    assert stuck_of(schedulable_gpus=0)[1].moving == ("h100",)
    assert stuck_of(schedulable_gpus=1)[1].moving == ("h100", "l4")


def test_replicas_whose_pods_a_quota_refuses_carry_nothing() -> None:
    """Seven are asked for, three serve, and there is no pod of the others."""
    refused = {"pending": 0, "start_ages_s": []}
    assert stuck_of(**refused, schedulable_gpus=0)[0] == 4
    assert stuck_of(**refused, schedulable_gpus=1)[0] == 3
    assert stuck_of(**refused, schedulable_gpus=9)[0] == 0, "they are about to be made"
    some = {"pending": 1, "start_ages_s": [60.0]}
    assert stuck_of(**some, schedulable_gpus=2)[0] == 2


def test_pods_beyond_what_is_asked_for_are_not_stuck() -> None:
    """A roll-out starts some more while all old ones serve."""
    assert stuck_of(spec=3, schedulable_gpus=0)[0] == 0
    assert stuck_of(spec=4, schedulable_gpus=0)[0] == 1
