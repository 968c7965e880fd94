"""The record of a mix: counts, reason, words, JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decider.explain import decision_summary, decision_to_dict
from tests.unit.decider.mix.decided import counts, one
from tests.unit.decider.variant_sets import h100, l4, mixed


def test_the_cheaper_variant_takes_over_and_the_record_says_why() -> None:
    decision = one(mixed())
    mix = decision.mix
    assert mix is not None
    assert counts(decision)["h100"] == 0
    assert mix.units >= decision.final >= 9
    assert decision.cost_delta_usd_per_hour == mix.usd_per_hour - 40.0 < 0
    assert [step.guard for step in decision.guard_trace[-2:]] == ["mix", "fleet"]
    record = decision_to_dict(decision)["mix"]
    assert isinstance(record, dict)
    assert record["variants"][1]["usd_per_hour_per_reference_replica"] == 2.0
    assert "h100 10 -> 0" in decision_summary(decision)
    assert "USD/h per reference replica: h100 4.00, l4 2.00" in record["detail"]


def test_a_pure_change_of_the_mix_has_its_own_reason() -> None:
    decision = one(mixed("m", h100(10), l4()), level=92.0)
    held = replace(decision.mix or pytest.fail("no mix"))
    if decision.final == decision.current:
        assert str(decision.reason) == "rebalance_variants"
        assert decision.binding_constraint == "price"
    assert held.is_changed
