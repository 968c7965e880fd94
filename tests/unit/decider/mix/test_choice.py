"""One mix for each workload under several budgets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.mix.candidates import MixRequest
from decider.mix.choice import JointChoice, MixClaim, choose_jointly, demand_of
from decider.mix.options import make_options
from decider.variant_types import VariantSet, VariantState
from tests.unit.decider.variant_sets import TYPES, h100, l4, random_request

seeds = st.integers(0, 100_000)


def asked(wanted: int, *states: VariantState, low: int = 0, **changes: object) -> MixRequest:
    loss = 100.0 * np.arange(wanted - low, -1, -1)
    given_ = {"high": wanted + 5, "loss_usd_per_hour": loss} | changes
    return MixRequest(VariantSet(states), wanted, low, **given_)  # type: ignore[arg-type]


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


@given(seed=seeds, n=st.integers(1, 3), missing=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_least_that_does_not_fit_costs_nobody_another_type(
    seed: int, n: int, missing: int
) -> None:
    """As if the budget of the type were just what the least capacities take of it."""
    types = TYPES[:2]
    claims = [claim(random_request(seed + 7 * i), types) for i in range(n)]
    least = np.sum([c.use[c.options.is_least].min(axis=0) for c in claims], axis=0)
    budgets = np.array([10_000, int(least[1]) - missing])
    if budgets[1] < 0:
        return
    choice = choose_jointly(claims, budgets)
    raised = choose_jointly(claims, np.array([10_000, int(least[1])]))
    assert choice.fits == (True, False)
    assert choice.chosen == raised.chosen


def test_leasts_that_two_types_cannot_give_together_are_had_where_they_cost_least() -> None:
    """Two of either type must run, and one H100 is there: the two are L4, the third is it."""
    both = claim(asked(3, h100(0), l4(ratio=1.0), low=2), ("H100", "L4"))
    choice = choose_jointly([both], np.array([1, 0]))
    assert choice.fits == (True, False)
    assert both.options.counts[choice.chosen[0]].tolist() == [1, 2]


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
