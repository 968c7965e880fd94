"""Variants with what was learned of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import RowMapping

from decider import SpotReplicas, SpotShare, learn_interruptions, prior_draws
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
    plain = LearnedResponse.of(prior_draws(10.0, 0.0, 0.05, 64), member().spec, 100.0)
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
