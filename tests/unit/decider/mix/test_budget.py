"""Mixes under GPU budgets, beside workloads without variants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    Control,
    Hardware,
    Limits,
    ReplicaState,
    VariantSet,
    VariantState,
)
from decider.budget.fleet import PRICES
from decider.fleet_types import Elsewhere
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import decision_bytes, replay_decision
from decider.types import ShardRequest
from tests.unit.decider.mix.decided import CONFIG, counts, decide, one
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload
from tests.unit.decider.variant_sets import h100, l4, mixed


def test_one_variant_like_the_reference_decides_as_the_plain_form_does() -> None:
    """Counts, risk, reason and plan are those of the same workload without variants."""
    for seed, level in enumerate((30.0, 80.0, 150.0, 400.0)):
        state = VariantState("h100", "H100", 1, 1.0, 2.5, spec=10, most=60)
        variants = VariantSet((state,))
        plain, same = workload(), workload(variants=variants)
        paths = noisy(level, seed)
        a, b = (decide(shard(paths, [w]))[0] for w in (plain, same))
        assert b.mix is not None
        assert counts(b) == {"h100": a.final}
        trace = tuple(step for step in b.guard_trace if step.guard != "mix")
        ours = replace(b, mix=None, guard_trace=trace)
        assert decision_bytes(ours) == decision_bytes(a)


def test_workloads_of_one_kind_do_not_notice_the_others() -> None:
    paths = np.stack([noisy(80.0, 1), noisy(120.0, 2), noisy(60.0, 3)])
    plain = [workload("a"), workload("b", hardware=Hardware("L4", 2, 1.0))]
    alone = decide(shard(paths[:2], plain))
    beside = decide(shard(paths, [*plain, mixed()]))
    for row in range(2):
        assert decision_bytes(alone[row]) == decision_bytes(beside[row])
    request = shard(paths[:1], plain[:1])
    assert b'"variants"' not in inputs_to_bytes(request, 0, alone[0], CONFIG, NOW_S)


def test_a_scarce_budget_moves_a_workload_to_the_other_type() -> None:
    """L4 is dearer here: 5 against 4 USD/h of capacity. With four H100 the rest runs on L4."""
    w = mixed("m", h100(9), l4(price=2.5))
    free = one(w)
    assert counts(free)["l4"] == 0
    scarce = one(w, budgets={"H100": 4, "L4": 100})
    assert counts(scarce)["h100"] == 4
    assert scarce.final >= free.final
    assert scarce.mix is not None
    assert scarce.mix.binding == "gpu_budget"
    assert scarce.shadow_price_usd_per_gpu_hour > 0
    assert scarce.fleet_cap is None


def test_budgets_that_leave_too_little_cut_the_capacity() -> None:
    cut = one(mixed("m", h100(9), l4(price=2.5)), budgets={"H100": 4, "L4": 4})
    assert counts(cut) == {"h100": 4, "l4": 4}
    assert (cut.final, cut.fleet_cap) == (6, 6)
    assert str(cut.reason) == "scale_down_gpu_budget"
    assert cut.guard_trace[-1].before == 10
    nothing = one(mixed("m", h100(9), l4()), budgets={"H100": 0, "L4": 0})
    assert sum(counts(nothing).values()) >= 1  # the minimum comes first
    assert nothing.mix is not None
    assert "alone exceed" in nothing.mix.detail


@pytest.mark.parametrize("held_elsewhere", [0, 8])
def test_a_minimum_beyond_one_budget_makes_no_other_type_scarce(held_elsewhere: int) -> None:
    """One L4 must run and none may; of 1,000 H100 about forty are wanted."""
    plain = [workload(f"plain{i}") for i in range(3)]
    either = mixed("either", h100(4), l4(0, least=1))
    paths = np.stack([*(noisy(80.0, i) for i in range(3)), noisy(40.0, 9)])
    request = shard(paths, [*plain, either], budgets={"H100": 1000, "L4": held_elsewhere})
    taken = np.full((1, PRICES.size), held_elsewhere)
    request = replace(request, elsewhere={"L4": Elsewhere(np.array([held_elsewhere]), taken)})
    decisions, free = decide(request), decide(replace(request, gpu_budgets={}, elsewhere={}))
    assert [d.final for d in decisions] == [d.final for d in free]
    assert counts(decisions[-1]) == {"h100": decisions[-1].final, "l4": 1}
    assert not any("alone exceed" in d.guard_trace[-1].detail for d in decisions[:3])
    assert decisions[-1].mix is not None
    assert "L4: " in decisions[-1].mix.detail
    assert ", which the least capacities alone exceed" in decisions[-1].mix.detail
    assert "H100: 1000 GPUs;" in decisions[-1].mix.detail


def test_a_plain_minimum_beyond_one_budget_leaves_mixes_the_other_type() -> None:
    """The L4 that must run is a plain workload's; the mix only could take some."""
    plain = workload("plain", replicas=ReplicaState(0, 0), limits=Limits(1, 9),
                     hardware=Hardware("L4", 1, 0.7))  # fmt: skip
    request = shard(np.stack([noisy(4.0, 1), noisy(80.0, 2)]), [plain, mixed("either", h100(10))],
                    budgets={"H100": 1000, "L4": 0})  # fmt: skip
    one_l4, either = decide(request)
    assert (one_l4.final, str(one_l4.reason)) == (1, "scale_up_bounds")
    assert either.final >= 10
    assert either.fleet_cap is None


def test_a_budget_that_cannot_be_read_allows_no_increase() -> None:
    decision = one(mixed("m", h100(10), l4(2)), 300.0, budgets={"H100": None, "L4": None})
    assert counts(decision) == {"h100": 10, "l4": 2}
    assert str(decision.reason) == "hold_budget_unreadable"
    other = one(mixed("m", h100(10), l4(2)), 300.0, budgets={"L4": None})
    assert counts(other)["h100"] > 10
    assert counts(other)["l4"] <= 2


def test_not_even_a_minimum_is_added_under_a_budget_that_cannot_be_read() -> None:
    """As of a workload without variants: the operator would not carry it out either."""
    budgets: dict[str, int | None] = {"H100": None, "L4": None}
    w = mixed("m", h100(1, least=3), l4(0, least=2), limits=Limits(4, 20))
    decision = one(w, budgets=budgets)
    assert counts(decision) == {"h100": 1, "l4": 0}
    assert str(decision.reason) == "hold_budget_unreadable"
    plain = workload(replicas=ReplicaState(1, 1), limits=Limits(4, 20))
    assert decide(shard(noisy(80.0), [plain], budgets=budgets))[0].final == 1
    readable = one(w, budgets={"H100": 0, "L4": None})
    assert counts(readable) == {"h100": 4, "l4": 0}


def test_a_workload_of_one_kind_gets_what_mixes_leave_to_it() -> None:
    """Twelve H100 for two that want eleven each; one of them can run on L4 at little more."""
    single = workload("single", replicas=ReplicaState(9, 9))
    either = mixed("either", h100(9), l4(price=2.2))
    decisions = decide(
        shard(np.stack([noisy(80.0, 1), noisy(80.0, 1)]), [single, either],
              budgets={"H100": 12, "L4": 100})
    )  # fmt: skip
    assert decisions[0].final == decisions[0].raw == 11
    assert counts(decisions[1])["h100"] <= 1
    assert decisions[1].final >= decisions[1].raw
    assert decisions[0].budget_demand[0] == decisions[0].final
    demand = dict(decisions[1].mix.budget_demand) if decisions[1].mix else {}
    assert {len(taken) for taken in demand.values()} == {PRICES.size}


def test_what_others_hold_counts_against_each_budget() -> None:
    w = mixed("m", h100(9), l4(price=2.5))
    request = shard(noisy(80.0), [w], budgets={"H100": 12, "L4": 100})
    held = np.full((1, PRICES.size), 10)
    request = replace(request, elsewhere={"H100": Elsewhere(np.array([10]), held)})
    assert counts(decide(request)[0])["h100"] <= 2


def random_shard(seed: int) -> ShardRequest:
    rng = np.random.default_rng(seed)
    owners = []
    for i in range(4):
        n, m = int(rng.integers(0, 12)), int(rng.integers(0, 12))
        states = (
            h100(n, least=int(rng.integers(0, 2)), most=int(rng.integers(5, 20))),
            l4(m, float(rng.choice([0.3, 0.5, 2.0])), float(rng.uniform(0.5, 3)),
               most=int(rng.integers(3, 30)),
               schedulable_gpus=None if i % 2 else int(rng.integers(0, 20))),
        )  # fmt: skip
        limits = Limits(int(rng.integers(0, 3)), int(rng.integers(12, 40)))
        by_hand = Control(is_automatic=bool(rng.random() < 0.7))
        past = observed(*rng.uniform(20, 150, 5))
        if i == 3:
            owners.append(workload("plain", limits=limits, history=past, control=by_hand))
        else:
            owners.append(mixed(f"m{i}", *states, limits=limits, history=past, control=by_hand))
    paths = np.stack([noisy(float(rng.uniform(10, 250)), seed + i) for i in range(4)])
    budgets = [{}, {"H100": int(rng.integers(5, 60))},
               {"H100": int(rng.integers(5, 60)), "L4": int(rng.integers(0, 40))},
               {"H100": None, "L4": int(rng.integers(0, 40))}][seed % 4]  # fmt: skip
    return shard(paths, owners, budgets=budgets)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_budgets_and_limits_hold_and_every_decision_replays(seed: int) -> None:
    request = random_shard(seed)
    decisions = decide(request)
    used: dict[str, int] = {}
    before: dict[str, int] = {}
    floor: dict[str, int] = {}
    for w, d in zip(request.workloads, decisions, strict=True):
        states = w.variants.states if w.variants else ()
        mix = d.mix.counts if d.mix else ()
        for v, c in zip(states, mix, strict=True):
            assert c.desired <= max(v.most, v.spec)
            assert c.desired >= min(v.least, v.spec)
            used[v.gpu_type] = used.get(v.gpu_type, 0) + c.desired
            before[v.gpu_type] = before.get(v.gpu_type, 0) + v.spec
            held = 0 if w.control.is_automatic else v.spec
            floor[v.gpu_type] = floor.get(v.gpu_type, 0) + max(v.least, held)
        if not states:
            used["H100"] = used.get("H100", 0) + d.final
            before["H100"] = before.get("H100", 0) + w.replicas.spec
            low = w.limits.min_replicas if w.control.is_automatic else w.replicas.spec
            floor["H100"] = floor.get("H100", 0) + low
        if w.limits.min_replicas > 0:
            # under a budget that cannot be read a part of a reference replica may be all there is
            is_closed = None in request.gpu_budgets.values() and d.current == 0
            assert d.final > 0 or sum(v.spec for v in states) == 0 or is_closed
    # Least capacities come first; where they alone exceed a budget the decisions say so.
    is_told = any("alone exceed" in step.detail for d in decisions for step in d.guard_trace)
    for gpu_type, budget in request.gpu_budgets.items():
        if budget is None:
            assert used[gpu_type] <= before[gpu_type] + floor[gpu_type]
        elif not is_told:
            assert used[gpu_type] <= max(budget, floor[gpu_type])
    for row, d in enumerate(decisions):
        blob = inputs_to_bytes(request, row, d, CONFIG, NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(d)


def test_the_decision_does_not_depend_on_its_company_without_budgets() -> None:
    request = random_shard(0)
    whole_shard = decide(request)
    for row in range(4):
        part = ShardRequest(
            request.workloads[row : row + 1],
            request.paths[row : row + 1],
            request.capacity_draws[row : row + 1],
            request.lead_time_draws_s[row : row + 1],
            request.step_s,
        )
        assert decision_bytes(decide(part)[0]) == decision_bytes(whole_shard[row])
