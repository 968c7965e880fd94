"""Candidate mixes keep the bounds of their variants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.errors import InvalidRequest
from decider.mix.candidates import MixRequest, bounds_of
from decider.mix.options import MixOptions, make_options
from decider.variant_types import VariantSet, VariantState, whole
from tests.unit.decider.variant_sets import h100, l4, random_request

seeds = st.integers(0, 100_000)


def asked(wanted: int, *states: VariantState, low: int = 0, **changes: object) -> MixRequest:
    loss = 100.0 * np.arange(wanted - low, -1, -1)
    given_ = {"high": wanted + 5, "loss_usd_per_hour": loss} | changes
    return MixRequest(VariantSet(states), wanted, low, **given_)  # type: ignore[arg-type]


def best(request: MixRequest) -> tuple[int, ...]:
    options = make_options(request)
    return tuple(int(n) for n in options.counts[options.best()])


@given(seed=seeds, n=st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_limits_are_never_broken(seed: int, n: int) -> None:
    """Bounds of each variant, one-way modes, what is held, and the total."""
    request = random_request(seed, n_variants=n, is_free=False)
    bounds = bounds_of(request)
    least = tuple(b.least for b in bounds)
    options = make_options(request)
    for row in options.counts:
        counts = tuple(int(k) for k in row)
        assert all(b.least <= k <= b.most for b, k in zip(bounds, counts, strict=True))
        if counts != least:
            assert whole(request.variants.units(counts)) <= request.high
    for variant, k in zip(request.variants.states, best(request), strict=True):
        inside = variant.least <= variant.spec <= variant.most
        if request.is_fixed or variant.held:
            assert k == variant.spec
        elif inside and not request.may_rise:
            assert k <= variant.spec
        elif inside and not request.may_fall:
            assert k >= variant.spec
        elif variant.schedulable_gpus is not None and k > max(variant.spec, variant.least):
            fresh = variant.schedulable_gpus // variant.gpus_per_replica - variant.pending
            assert k - variant.spec <= max(0, fresh)
        if inside and variant.gpu_type in request.closed_types:
            assert k <= variant.spec


def test_nothing_goes_to_zero_unless_asked() -> None:
    assert sum(best(asked(1, h100(5), l4()))) >= 1
    assert best(asked(0, h100(5), l4())) == (0, 0)


def test_many_variants_are_looked_at_two_at_a_time() -> None:
    """Six variants and 60 of capacity: far too many mixes to look at all of them."""
    states = tuple(
        VariantState(f"v{i}", f"T{i}", 1, 1.0 + 0.1 * i, 3.0 + ((i * 7) % 6), most=20)
        for i in range(6)
    )
    request = asked(60, *states)
    options = make_options(request)
    assert options.counts.shape[0] < 40_000
    found = options.counts[options.best()]
    assert request.variants.units(found.tolist()) >= 60
    order = sorted(states, key=lambda v: v.unit_usd_per_hour)
    cheapest, left = 0.0, 60.0
    for v in order:
        n = min(20, int(np.ceil(left / v.capacity_ratio)))
        cheapest, left = cheapest + n * v.usd_per_hour, left - n * v.capacity_ratio
        if left <= 0:
            break
    assert request.variants.usd_per_hour(found.tolist()) <= cheapest + 1e-9


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MixRequest(VariantSet((h100(),)), 2, 3, 5, np.zeros(1)), "low <= wanted"),
        (lambda: MixRequest(VariantSet((h100(),)), 3, 2, 5, np.zeros(1)), r"must be \(2,\)"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()


def test_options_name_what_limits_them() -> None:
    def limit(request: MixRequest) -> str:
        found: MixOptions = make_options(request)
        return found.limit

    assert limit(asked(3, h100(3), l4())) == ""
    assert limit(asked(9, h100(3, most=4), l4(most=2))) == "variant_limits"
    assert limit(asked(9, h100(3, schedulable_gpus=1), l4(schedulable_gpus=0))) == "schedulable"
    assert limit(asked(9, h100(3, held="gone"), l4(held="gone"))) == "held"
    closed = frozenset({"H100", "L4"})
    assert limit(asked(9, h100(3), l4(), closed_types=closed)) == "gpu_budget"


@pytest.mark.parametrize(
    ("ratios", "wanted", "low"),
    [
        ((1.0, 1e39), 100_000, 50_000),
        ((1e-29, 1e3), 100_000, 3),
        ((1.0, 1.1, 1.3), 99_999, 0),
        ((1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7), 100_000, 50_000),
    ],
)
def test_no_ratio_and_no_bound_that_admission_lets_in_makes_more_mixes_than_memory_holds(
    ratios: tuple[float, ...], wanted: int, low: int
) -> None:
    states = tuple(
        VariantState(f"v{i}", f"T{i}", 1, ratio, 3.0 + i, most=100_000)
        for i, ratio in enumerate(ratios)
    )
    options = make_options(asked(wanted, *states, low=low))
    assert len(options.counts) <= 310_000
    assert options.is_enough[options.best()]
