"""Inputs of a decision as plain mappings."""

from __future__ import annotations

from dataclasses import asdict, replace

from decider import DirectionRules, Limits, RatePolicy, VariantSet
from decider.plain_fields import plain_fields
from tests.unit.decider.shards import NOW_S, observed, workload
from tests.unit.decider.variant_sets import h100, l4


def test_inputs_are_written_as_asdict_writes_them() -> None:
    """It copies each value; what is written is the same without."""
    rules = DirectionRules(
        60.0, "Min", (RatePolicy("Pods", 4, 60.0), RatePolicy("Percent", 10, 60.0))
    )
    owner = workload(
        limits=Limits(1, 60, rules), variants=VariantSet((h100(4), l4(2))), history=observed(1.0)
    )
    owner = replace(owner, history=replace(owner.history, changes=((NOW_S, 2), (NOW_S, -1))))
    mine, given = plain_fields(owner), asdict(owner)
    for one in (mine, given):
        one["history"]["demand"] = one["history"]["demand"].tolist()
    assert mine == given
