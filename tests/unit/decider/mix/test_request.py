"""Pauses, one-way modes and rate limits of the total hold for its variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import (
    Control,
    DirectionRules,
    Limits,
)
from decider.types import RatePolicy
from decider.variant_types import whole
from tests.unit.decider.mix.decided import counts, decide, one
from tests.unit.decider.shards import STEP_S, observed, shard
from tests.unit.decider.variant_sets import h100, l4, mixed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"control": Control(is_paused=True)}, "hold_paused"),
        ({"control": Control(freeze="Both")}, "hold_freeze"),
        ({"has_replica_state": False}, "hold_unknown_replicas"),
    ],
)
def test_what_holds_the_total_holds_every_variant(changes: dict[str, object], reason: str) -> None:
    decision = one(mixed("m", h100(10), l4(2), **changes), level=300.0)
    assert counts(decision) == {"h100": 10, "l4": 2}
    assert reason in str(decision.reason)


def test_one_way_modes_hold_for_each_variant() -> None:
    grown = one(mixed("m", h100(10), l4(2), control=Control(scale_out_only=True)), level=120.0)
    assert counts(grown)["h100"] >= 10
    assert counts(grown)["l4"] > 2
    shrunk = one(mixed("m", h100(10), l4(2), control=Control(scale_in_only=True)), level=50.0)
    assert counts(shrunk)["l4"] <= 2
    assert counts(shrunk)["h100"] < 10


def test_rate_limits_of_the_total_slow_a_change_of_the_mix() -> None:
    """Two reference replicas may be started per minute: five L4 at most, not twenty."""
    slow = DirectionRules(policies=(RatePolicy("Pods", 2, 60.0),))
    decision = one(mixed("m", h100(10), l4(), limits=Limits(1, 60, scale_up=slow)))
    assert 0 < counts(decision)["l4"] <= 5
    assert whole(1.0 * counts(decision)["h100"] + 0.5 * counts(decision)["l4"]) >= 8


def test_beyond_a_bound_that_was_moved_the_rates_hold_for_the_mix_too() -> None:
    """Twelve reference replicas where eight are the most, and two may be stopped per minute."""
    slow = DirectionRules(policies=(RatePolicy("Pods", 2, 60.0),))
    limits = Limits(1, 8, scale_up=slow, scale_down=slow)
    decision = one(mixed("m", h100(12), l4(), limits=limits), level=20.0)
    assert (decision.final, counts(decision)) == (6, {"h100": 6, "l4": 0})


@pytest.mark.parametrize("reach", [0, 12, 36])
def test_a_start_is_not_cheaper_for_a_decision_that_looks_further(reach: int) -> None:
    """An L4 costs a tenth less, and starts later by a quarter of what is forecast."""
    late = l4(price=1.8, lead_s=60.0 + 3 * STEP_S)
    owner = mixed("m", h100(8, lead_s=60.0), late, history=observed(*np.full(100, 100.0)))
    paths = np.tile(np.linspace(95.0, 110.0, 200)[:, None], (1, 12))
    (decision,) = decide(replace(shard(paths, [owner]), reach=reach))
    assert counts(decision)["h100"] > 8
    assert counts(decision)["l4"] == 0
