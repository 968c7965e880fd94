"""Ready replicas of variants in finished steps, as the spec states them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import RowMapping

from services.decision.beliefs.miss_data import (
    MissSteps,
    group_of,
    learned_for,
    summary_of,
)
from services.decision.beliefs.miss_view import draws_of
from services.decision.beliefs.ready_mix import ReadyMixes, n_worths, stated_mix, stated_ratios
from services.decision.rows.members import ShardMember
from services.decision.rows.translate import from_draws
from tests.unit.decider.belief.test_variant_learning import PRIOR
from tests.unit.decision.beliefs.test_miss_data import member

VARIANTS = [
    {"name": "h100", "target": "Deployment/a", "gpu_type": "H100", "capacity_per_replica": 20.0},
    {"name": "l4", "target": "Deployment/b", "gpu_type": "L4", "capacity_per_replica": 5.0},
]


def mixed() -> ShardMember:
    return member(variants=VARIANTS)


def row(**columns: Any) -> RowMapping:
    return cast(RowMapping, columns)


READY = row(
    steps_s=[60.0, 120.0, 240.0],
    ready_mean=[4.0, 3.0, 2.0],
    ready=[{"h100": 2.0, "l4": 0.0}, {"h100": 1.0, "l4": 4.0}, {"gone": 1.0}],
)


def test_a_step_without_its_mix_is_unknown_and_left_out() -> None:
    """Demand 40 on two H100, on one H100 and four L4 (scored as 3 replicas), on what is gone."""
    spec = mixed().spec
    mixes = ReadyMixes.of(READY, spec)
    steps = np.array([60.0, 120.0, 180.0, 240.0])
    stored = row(steps_s=steps, load=40.0 / np.array([4.0, 3.0, 3.0, 2.0]),
                 missed=np.zeros(4), total=np.full(4, 9.0))  # fmt: skip
    found = MissSteps.of(stored, spec, mixes=mixes)
    assert found.steps_s.tolist() == [60.0, 120.0]
    assert found.load == pytest.approx([10.0, 10.0]), "per reference replica as stated"
    assert found.mix == pytest.approx(np.array([[0.0], [0.5]]))
    assert MissSteps.of(stored, spec, mixes=ReadyMixes.of(None, spec)).size == 0


def test_ratios_and_mixes_are_those_of_the_spec() -> None:
    spec = mixed().spec
    assert stated_ratios(spec) == (2.0, 0.5)
    assert stated_mix(spec, np.array([1.0, 4.0])) == pytest.approx([0.5])
    assert stated_mix(spec, np.zeros(2)).tolist() == [0.0]
    assert (n_worths(spec), n_worths(member().spec)) == (1, 0)


def test_other_ratios_are_another_response_of_the_same_group() -> None:
    one, other = mixed(), member(variants=[VARIANTS[0], VARIANTS[1] | {"capacity_per_replica": 4}])
    assert group_of(one) == group_of(other)
    assert learned_for(one) != learned_for(other)
    assert "variants" not in learned_for(member())


def test_a_stored_response_comes_back_with_its_variants() -> None:
    one, draws = mixed(), PRIOR.draws(64)
    n = 8
    steps = MissSteps(60.0 * np.arange(n), np.full(n, 8.0), np.zeros(n), np.full(n, 99.0),
                      np.full((n, 1), 0.5))  # fmt: skip
    summary = summary_of(draws, one, steps)
    assert summary["variants"]["l4"]["in_force"] == 1.0, "nothing was learned"
    assert summary["variants"]["l4"]["p10"] < 0.8
    assert summary["learned_for"] == learned_for(one)
    again = draws_of({"summary": summary, "draws": from_draws(draws.to_array().ravel())})
    assert again.worth == pytest.approx(draws.worth, rel=1e-6)
