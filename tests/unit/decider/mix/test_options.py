"""Mixes of variants: exact on small instances, and laws that hold on all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.errors import InvalidRequest
from decider.mix.candidates import MixRequest, bounds_of
from decider.mix.options import make_options
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


def every_mix(request: MixRequest) -> list[tuple[int, ...]]:
    """All mixes within the bounds and the total."""
    ranges = [range(b.least, b.most + 1) for b in bounds_of(request)]
    found = list(itertools.product(*ranges))
    return [m for m in found if whole(request.variants.units(m)) <= request.high]


def test_by_hand_the_cheaper_capacity_is_taken() -> None:
    """L4: 2 USD/h per reference replica against 4; 3 of capacity are six L4."""
    assert best(asked(3, h100(0), l4())) == (0, 6)
    assert best(asked(3, h100(0), l4(price=3.0))) == (3, 0)
    assert best(asked(3, h100(0), l4(most=3))) == (2, 2)


def test_what_runs_stays_where_moving_costs_more_than_it_saves() -> None:
    """Six L4 save 6 USD/h; stops and starts cost 12 and 6 USD, spread over so many hours."""
    stay = asked(3, h100(3), l4(), start_ratio=0.5, stop_ratio=0.5)
    assert best(stay) == (3, 0)
    assert best(replace(stay, start_ratio=0.1, stop_ratio=0.1)) == (0, 6)


def test_a_slow_start_costs_the_time_for_which_it_does_not_serve() -> None:
    """Six L4 cost 10 % less than three H100, and are paid for a fifth of the horizon unused."""
    request = asked(3, h100(0), l4(price=1.8))
    assert best(request) == (0, 6)
    assert best(replace(request, wait_ratio=(0.0, 0.05))) == (0, 6)
    assert best(replace(request, wait_ratio=(0.0, 0.2))) == (3, 0)
    running = asked(3, h100(0), l4(6, price=1.8), wait_ratio=(0.0, 0.2))
    assert best(running) == (0, 6), "what runs already waits for nothing"
    with pytest.raises(InvalidRequest, match="wait_ratio has 1 entries, must have 2 or none"):
        replace(request, wait_ratio=(0.0,))


@given(seed=seeds, n=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_the_cheapest_mix_is_found(seed: int, n: int) -> None:
    """Against all mixes: as much of what is asked for as any serves, at the least price."""
    request = random_request(seed, n_variants=n)
    mixes = every_mix(request)
    if not mixes:
        return  # the variants' own least counts are beyond the total: they come first
    served = {m: min(whole(request.variants.units(m)), request.wanted) for m in mixes}
    most = max(served.values())
    least_usd = min(request.variants.usd_per_hour(m) for m in mixes if served[m] == most)
    found = best(request)
    assert min(whole(request.variants.units(found)), request.wanted) == most
    assert request.variants.usd_per_hour(found) == pytest.approx(least_usd)


@given(seed=seeds, n=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_a_mix_costs_no_more_than_any_variant_alone(seed: int, n: int) -> None:
    request = random_request(seed, n_variants=n)
    states = tuple(replace(v, least=0, most=50) for v in request.variants.states)
    free = replace(request, variants=VariantSet(states), high=1_000)
    found = free.variants.usd_per_hour(best(free))
    for variant in states:
        alone = replace(free, variants=VariantSet((variant,)))
        assert found <= alone.variants.usd_per_hour(best(alone)) + 1e-9


@given(seed=seeds, n=st.integers(2, 3), at=st.integers(0, 2), by=st.floats(1.05, 5))
@settings(max_examples=100, deadline=None)
def test_a_dearer_variant_is_never_used_more(seed: int, n: int, at: int, by: float) -> None:
    request = random_request(seed, n_variants=n)
    at %= n
    states = list(request.variants.states)
    price = states[at].price_usd_per_gpu_hour * by
    states[at] = replace(states[at], price_usd_per_gpu_hour=price)
    dearer = replace(request, variants=VariantSet(tuple(states)))
    assert best(dearer)[at] <= best(request)[at]


@given(seed=seeds)
@settings(max_examples=100, deadline=None)
def test_what_is_started_keeps_the_rate_but_for_the_rest_of_a_replica(seed: int) -> None:
    request = random_request(seed)
    inside = tuple(
        replace(v, spec=min(max(v.spec, v.least), v.most)) for v in request.variants.states
    )
    request = replace(request, variants=VariantSet(inside), most_started=1.0, high=100)
    largest = max(v.capacity_ratio for v in inside)
    started = sum(
        max(0, n - v.spec) * v.capacity_ratio for n, v in zip(best(request), inside, strict=True)
    )
    assert started < 1.0 + largest
