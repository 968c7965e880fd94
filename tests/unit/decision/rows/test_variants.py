"""Variants with what was learned of them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import RowMapping

from decider import prior_draws
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.variants import learned_spec, ready_and_bound
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
