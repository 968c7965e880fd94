"""A plan is granted as often as what others hold changes: always as one decision in one go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    PRICES,
    DecideConfig,
    Elsewhere,
    KnownBudgets,
    ShardRequest,
    decide_shard,
    decision_bytes,
    grant_shard,
    plan_shard,
)
from tests.unit.decider.shards import NOW_S, noisy, shard, workload
from tests.unit.decider.test_decide_pools import mixed
from tests.unit.decider.variant_sets import h100, l4, mixed as with_variants

CONFIG = DecideConfig()


def plain(seed: int) -> ShardRequest:
    rng = np.random.default_rng(seed)
    paths = np.stack([noisy(float(rng.uniform(50, 200)), seed + i, n_paths=50) for i in range(3)])
    return shard(paths)


def varied(seed: int) -> ShardRequest:
    """A workload with variants beside plain ones of one of its types."""
    given = plain(seed)
    owner = with_variants("mixed", h100(6), l4(2))
    return replace(given, workloads=(owner, *given.workloads[1:]))


def pooled(seed: int) -> ShardRequest:
    return mixed(seed, "TimeFraction", is_soft=True)


REQUESTS = {"plain": plain, "variants": varied, "pools": pooled}


@st.composite
def views(draw: st.DrawFn) -> KnownBudgets:
    budgets = {"H100": draw(st.none() | st.integers(4, 90))}
    if draw(st.booleans()):
        budgets["L4"] = draw(st.none() | st.integers(0, 30))
    others = {}
    for name, gpus in budgets.items():
        if gpus is not None and draw(st.booleans()):
            held = draw(st.integers(0, 40))
            demand = np.linspace(held + draw(st.integers(0, 40)), held // 2, PRICES.size)
            others[name] = Elsewhere(np.array([held]), demand.astype(np.int64)[None])
    return KnownBudgets(budgets, others)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(REQUESTS))
@given(seed=st.integers(0, 50), steps=st.lists(views(), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None)
def test_a_grant_after_others_is_byte_for_byte_a_decision_in_one_go(
    kind: str, seed: int, steps: list[KnownBudgets]
) -> None:
    request = REQUESTS[kind](seed)
    planned = plan_shard(request, CONFIG, NOW_S)
    earlier = None
    for view in steps:
        earlier = grant_shard(planned, view, earlier)
        whole = replace(request, gpu_budgets=view.gpu_budgets, elsewhere=view.elsewhere)
        alone = decide_shard(whole, CONFIG, NOW_S)
        assert [decision_bytes(d) for d in earlier.decisions] == [decision_bytes(d) for d in alone]
        assert [d.budget_demand for d in earlier.decisions] == [d.budget_demand for d in alone]


def test_only_those_who_are_granted_something_else_are_decided_anew() -> None:
    """One workload is of a type whose budget changes, the other of one without a budget."""
    owners = [workload("a"), workload("b")]
    owners[1] = replace(owners[1], hardware=replace(owners[1].hardware, gpu_type="L4"))
    planned = plan_shard(shard(np.stack([noisy(150.0), noisy(150.0, 1)]), owners), CONFIG, NOW_S)
    first = grant_shard(planned, KnownBudgets({"H100": 60}))
    same = grant_shard(planned, KnownBudgets({"H100": 60}), first)
    assert all(a is b for a, b in zip(first.decisions, same.decisions, strict=True))
    cut = grant_shard(planned, KnownBudgets({"H100": 12}), first)
    assert (cut.decisions[0].final, first.decisions[0].final > 12) == (12, True)
    assert cut.decisions[1] is first.decisions[1]


def test_pools_of_a_service_are_decided_anew_together() -> None:
    """The record of a pool names what the others were granted."""
    request = pooled(3)
    planned = plan_shard(request, CONFIG, NOW_S)
    first = grant_shard(planned, KnownBudgets({"H100": 500}))
    least = sum(d.current for d in first.decisions) - 4
    cut = grant_shard(planned, KnownBudgets({"H100": least}), first)
    for rows in request.services().values():
        changed = {row for row in rows if cut.decisions[row] is not first.decisions[row]}
        assert changed in (set(), set(rows))
    assert cut.decisions != first.decisions
