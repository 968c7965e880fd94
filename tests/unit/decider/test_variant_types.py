"""Variants and mixes: capacity and price in reference replicas; impossible ones are refused."""

from __future__ import annotations

import pytest

from decider.errors import InvalidRequest
from decider.variant_types import MixRecord, VariantCount, VariantSet, VariantState, whole
from tests.unit.decider.variant_sets import h100, l4


def test_a_mix_by_hand() -> None:
    """Two H100 at 4 USD/h and three L4, each worth half of one at 1 USD/h."""
    variants = VariantSet((h100(2), l4(3)))
    assert variants.current == (2, 3)
    assert variants.units(variants.current) == 3.5
    assert variants.usd_per_hour(variants.current) == 11.0
    assert [v.unit_usd_per_hour for v in variants.states] == [4.0, 2.0]
    assert VariantState("x", "B200", 4, 2.0, 5.0).usd_per_hour == 20.0


def test_a_capacity_holds_whole_replicas_in_floating_point_too() -> None:
    assert [whole(units) for units in (2.9, 3.0, 10 * 0.3)] == [2, 3, 3]


@pytest.mark.parametrize(("desired", "is_changed"), [(2, False), (3, True)])
def test_a_record_changes_with_any_count(desired: int, is_changed: bool) -> None:
    counts = (VariantCount("h100", "H100", 1, 1), VariantCount("l4", "L4", 2, desired))
    assert MixRecord(counts, 2.0, 6.0, 6.0, (), "", None, "").is_changed is is_changed


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: VariantSet(()), "at least one variant"),
        (lambda: VariantSet((h100(), h100())), "must be unique"),
        (lambda: VariantState("a", "H100", 0, 1.0, 1.0), "gpus_per_replica must be >= 1"),
        (lambda: VariantState("a", "H100", 1, 0.0, 1.0), "capacity_ratio=0"),
        (lambda: VariantState("a", "H100", 1, 1.0, -1.0), "price=-1"),
        (lambda: VariantState("a", "H100", 1, 1.0, 1.0, 3, 2), "least=3, most=2"),
        (lambda: VariantState("a", "H100", 1, 1.0, 1.0, spec=-1), "spec=-1"),
        (lambda: VariantState("a", "H100", 1, 1.0, 1.0, lead_s=0.0), "lead_s=0"),
    ],
)
def test_impossible_variants_are_refused(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()
