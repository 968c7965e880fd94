"""Mixes of variants: exact on small instances, and laws that hold on all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.errors import InvalidRequest
from decider.mix.candidates import MixRequest, bounds_of
from decider.mix.choice import JointChoice, MixClaim, choose_jointly, demand_of
from decider.mix.mix import Options, make_options
from decider.variant_types import VariantSet, VariantState, whole
from tests.unit.decider.variant_sets import TYPES, h100, l4, random_request

NOTHING = np.zeros(1)
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


def claim(request: MixRequest, types: tuple[str, ...]) -> MixClaim:
    options = make_options(request)
    gpus = np.array(
        [[v.gpus_per_replica * (v.gpu_type == t) for t in types] for v in request.variants.states]
    )
    held = np.array(request.variants.current) @ gpus
    return MixClaim(options, options.counts @ gpus, held)


def judged(claims: list[MixClaim], chosen: tuple[int, ...]) -> tuple[bool, float, float]:
    """All have enough; what it costs then; what it costs where capacity may be given up."""
    picked = list(zip(claims, chosen, strict=True))
    is_enough = all(bool(c.options.is_enough[k]) for c, k in picked)
    extra = sum(float(c.options.extra_usd_per_hour[k]) for c, k in picked)
    return is_enough, extra, sum(float(c.cost[k]) for c, k in picked)


@given(seed=seeds, n=st.integers(1, 3), share=st.floats(0.0, 1.1))
@settings(max_examples=80, deadline=None)
def test_the_joint_choice_is_exact_on_small_fleets(seed: int, n: int, share: float) -> None:
    """Against every combination: enough for all first, then the least cost, always in budget."""
    types = TYPES[:2]
    claims = [claim(random_request(seed + 7 * i), types) for i in range(n)]
    free = choose_jointly(claims, np.array([10_000, 10_000]))
    used = sum(c.use[k] for c, k in zip(claims, free.chosen, strict=True))
    budgets = np.floor(share * np.asarray(used)).astype(np.int64)
    choice = choose_jointly(claims, budgets)
    options = [range(c.use.shape[0]) for c in claims]
    fitting = [
        combo for combo in itertools.product(*options)
        if (sum(c.use[k] for c, k in zip(claims, combo, strict=True)) <= budgets).all()
        and all(bool(c.options.is_least[k]) for c, k in zip(claims, combo, strict=True))
    ]  # fmt: skip
    if not fitting:
        assert not choice.is_feasible
        assert all(bool(c.options.is_least[k]) for c, k in zip(claims, choice.chosen, strict=True))
        return
    assert choice.is_feasible
    assert (sum(c.use[k] for c, k in zip(claims, choice.chosen, strict=True)) <= budgets).all()
    found = [judged(claims, combo) for combo in fitting]
    is_enough, extra, cost = judged(claims, choice.chosen)
    assert is_enough == any(ok for ok, _, _ in found)
    if is_enough:
        assert extra == pytest.approx(min(e for ok, e, _ in found if ok), abs=1e-6)
    else:
        assert cost == pytest.approx(min(c for _, _, c in found), abs=1e-6)


def test_by_hand_the_scarce_type_goes_to_whom_the_other_costs_more() -> None:
    """Both want 4 of capacity on H100 at 4 USD/h. An L4 is worth half a replica to one and a
    tenth to the other: with four H100 the first one moves."""
    near = asked(4, h100(4), l4(price=2.5))
    far = asked(4, h100(4), l4(ratio=0.1, price=2.5))
    types = ("H100", "L4")
    claims = [claim(near, types), claim(far, types)]
    choice: JointChoice = choose_jointly(claims, np.array([4, 100]))
    counts = [tuple(c.options.counts[k]) for c, k in zip(claims, choice.chosen, strict=True)]
    assert counts == [(0, 8), (4, 0)]
    assert choice.prices[0] > 0
    assert choice.prices[1] == 0


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_demand_falls_with_the_price_and_ends_at_the_least(seed: int) -> None:
    given_ = claim(random_request(seed), TYPES[:2])
    for at in range(2):
        demand = demand_of(given_, np.zeros(2), at)
        assert (np.diff(demand) <= 0).all()
        assert demand[-1] == given_.use[given_.options.is_least, at].min()


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
        (lambda: MixRequest(VariantSet((h100(),)), 2, 3, 5, np.zeros(1)), "low <= wanted"),
        (lambda: MixRequest(VariantSet((h100(),)), 3, 2, 5, np.zeros(1)), r"must be \(2,\)"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()


def test_options_name_what_limits_them() -> None:
    def limit(request: MixRequest) -> str:
        found: Options = make_options(request)
        return found.limit

    assert limit(asked(3, h100(3), l4())) == ""
    assert limit(asked(9, h100(3, most=4), l4(most=2))) == "variant_limits"
    assert limit(asked(9, h100(3, schedulable_gpus=1), l4(schedulable_gpus=0))) == "schedulable"
    assert limit(asked(9, h100(3, held="gone"), l4(held="gone"))) == "held"
    closed = frozenset({"H100", "L4"})
    assert limit(asked(9, h100(3), l4(), closed_types=closed)) == "gpu_budget"


def fleet_claims(seed: int, n: int) -> list[MixClaim]:
    return [claim(random_request(seed + 7 * i), TYPES[:2]) for i in range(n)]


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_a_larger_fleet_keeps_its_budgets_and_is_near_the_bound(share: float) -> None:
    """Too many for a search: still within 2 % of what no choice can be below."""
    claims = fleet_claims(11, 80)
    free = choose_jointly(claims, np.array([10_000, 10_000]))
    used = np.asarray(sum(c.use[k] for c, k in zip(claims, free.chosen, strict=True)))
    budgets = np.floor(share * used).astype(np.int64)
    choice = choose_jointly(claims, budgets)
    assert choice.is_feasible
    assert (sum(c.use[k] for c, k in zip(claims, choice.chosen, strict=True)) <= budgets).all()
    is_enough, extra, cost = judged(claims, choice.chosen)
    bound = -float(choice.prices @ budgets)
    for c in claims:
        own = np.where(c.options.is_enough, c.options.extra_usd_per_hour, np.inf)
        own = own if is_enough else np.where(c.options.is_least, c.cost, np.inf)
        bound += float((own + c.use @ choice.prices).min())
    found = extra if is_enough else cost
    assert bound <= found + 1e-6
    assert found <= 1.02 * bound + 1e-6
