"""Mixes of variants whose GPUs cost nothing, as those that one owns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from decider import Limits, VariantState, decide_shard
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, replay_decision
from tests.unit.decider.mix.decided import CONFIG, counts, one
from tests.unit.decider.mix.test_options import asked, best
from tests.unit.decider.shards import NOW_S, noisy, shard
from tests.unit.decider.variant_sets import h100, l4, mixed

BUDGETS: tuple[dict[str, int | None], ...] = ({}, {"H100": 100, "L4": 100})


def owned(spec: int, **changes: Any) -> VariantState:
    return replace(h100(spec, **changes), price_usd_per_gpu_hour=0.0)


@pytest.mark.parametrize("budgets", BUDGETS)
def test_what_costs_nothing_is_scaled_in_too(budgets: dict[str, int | None]) -> None:
    """Six serve what forty run for: they stayed for ever, since fewer cost no less."""
    for others in (l4(), l4(price=0.0)):
        w = mixed("m", owned(40), others, limits=Limits(1, 60))
        found = one(w, 40.0, budgets=budgets)
        assert (found.raw, found.final) == (6, 6)
        assert counts(found) == {"h100": 6, "l4": 0}
        assert str(found.reason) == "scale_down_risk_allows"


def test_what_costs_nothing_is_used_before_what_costs_something() -> None:
    assert best(asked(10, owned(0), l4(20))) == (10, 0)
    assert best(asked(10, owned(0, most=4), l4(20))) == (4, 12)
    assert best(asked(10, owned(20), l4())) == (10, 0)


def test_where_nothing_costs_anything_gpus_are_counted_and_pods_stay_for_few() -> None:
    free = l4(20, price=0.0)
    assert best(asked(10, owned(0), free)) == (10, 0)
    assert best(asked(10, owned(0), free, start_ratio=1.0, stop_ratio=0.5)) == (0, 20)


def test_prices_told_are_the_stated_ones() -> None:
    found = one(mixed("m", owned(40), l4(2), limits=Limits(1, 60)), 40.0)
    assert found.mix is not None
    assert (found.mix.usd_per_hour, found.mix.usd_before) == (0.0, 2.0)


def test_decisions_of_before_the_revision_are_made_again_as_they_were() -> None:
    request = shard(noisy(40.0), [mixed("m", owned(40), l4(), limits=Limits(1, 60))])
    config = replace(CONFIG, revision=5)
    (before,) = decide_shard(request, config, NOW_S)
    assert counts(before) == {"h100": 40, "l4": 0}
    blob = inputs_to_bytes(request, 0, before, config, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(before)
