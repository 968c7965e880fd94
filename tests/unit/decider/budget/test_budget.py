"""GPU budgets over several shards: never exceeded, and scarce GPUs go where they avert most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import Control, Hardware, Limits, Reason, ReplicaState, Sla
from decider.budget import budget
from decider.budget.budget import Quota, SharedBudget, quota_of
from decider.budget.fleet import PRICES, Claims, allocate, demand_at
from decider.config import DecideConfig
from decider.decide import decide_shard
from decider.errors import InvalidRequest
from decider.fleet_types import Elsewhere
from decider.result import Decision
from decider.stored.inputs import inputs_to_bytes
from decider.stored.replay import replay_decision
from decider.types import DirectionRules, WorkloadInput
from tests.unit.decider.budget.test_fleet import SHAPES, budget_between, loss_of, random_claims
from tests.unit.decider.shards import NOW_S, noisy, observed, shard, workload

CONFIG = DecideConfig()


def curve(*steps: tuple[float, int]) -> np.ndarray:
    """GPUs taken up to each price."""
    taken = np.zeros(PRICES.size, dtype=np.int64)
    for price, gpus in reversed(steps):
        taken[price >= PRICES] = gpus
    return taken


def elsewhere(*parts: tuple[int, np.ndarray]) -> Elsewhere:
    return Elsewhere(np.array([p[0] for p in parts]), np.stack([p[1] for p in parts]))


def constant(gpus: int) -> np.ndarray:
    return np.full(PRICES.size, gpus)


def test_by_hand_a_quota_is_the_rest_where_the_others_stand_still() -> None:
    rest = quota_of(100, 20, curve((1.0, 80), (1e9, 10)), elsewhere((30, constant(30))))
    assert rest == Quota(70, rest.fleet_price, 30, True)
    assert 1.0 < rest.fleet_price < 2.0  # at 1 USD all of 110 are asked for


def test_by_hand_the_cheaper_claim_comes_down_before_the_dearer_one_rises() -> None:
    """Bronze holds 80 of 100 and values 70 of them at 1 USD; gold holds 20, values 90 at 50 USD."""
    bronze, gold = curve((1.0, 80), (1e9, 10)), curve((50.0, 90), (1e9, 10))
    assert quota_of(100, 20, gold, elsewhere((80, bronze))).gpus == 20  # nothing is free yet
    assert quota_of(100, 80, bronze, elsewhere((20, gold))).gpus == 10  # makes room
    assert quota_of(100, 20, gold, elsewhere((10, bronze))).gpus == 90


def test_by_hand_two_shards_over_a_shrunken_budget_come_down_to_their_parts_only() -> None:
    """Each holds 100; of 100 GPUs each one's part is 50: neither falls to its minimum."""
    each = curve((10.0, 100), (100.0, 50), (1e9, 4))
    first = quota_of(100, 100, each, elsewhere((100, each)))
    assert first.gpus == 50
    assert quota_of(100, 100, each, elsewhere((50, each))).gpus == 50


def test_least_counts_that_exceed_the_budget_are_the_part() -> None:
    found = quota_of(10, 0, constant(8), elsewhere((8, constant(8))))
    assert (found.gpus, found.is_feasible) == (2, False)


def test_curves_on_other_prices_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="prices"):
        quota_of(10, 0, np.zeros(3, int), elsewhere((0, constant(0))))
    with pytest.raises(InvalidRequest, match="must be >= 0"):
        elsewhere((-1, constant(0)))


@given(seed=st.integers(0, 100_000), share=st.floats(0, 1.3), n_shards=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_shards_that_decide_in_turn_never_exceed_the_budget(
    seed: int, share: float, n_shards: int
) -> None:
    """Whatever the order: from any start within the budget, each turn keeps it; three rounds on,
    the losses averted are near those of one solve over the whole fleet, if there is room for more
    than a gang or two beyond the least counts."""
    rng = np.random.default_rng(seed)
    claims = random_claims(seed, 5 * n_shards, shape=SHAPES[seed % 3])
    budget = budget_between(claims, share)
    part_of = np.arange(claims.low.size) % n_shards
    held = claims.low.copy()
    if seed % 2:  # someone took everything first
        most = max(float(one.max()) for one in claims.loss)
        held = allocate(replace(claims, loss=tuple(most - one for one in claims.loss)), budget)
        held = np.minimum(held.granted, claims.wanted)
    taken = demand_at(claims, PRICES) * claims.gpus[:, None]
    known: set[int] = set()
    for _ in range(4):
        for part in rng.permutation(n_shards):
            mine = part_of == part
            others = [
                ((held * claims.gpus)[part_of == o].sum(),
                 taken[part_of == o].sum(axis=0) if o in known
                 else constant((held * claims.gpus)[part_of == o].sum()))
                for o in range(n_shards) if o != part
            ]  # fmt: skip
            rest = elsewhere(*others) if others else Elsewhere(
                np.zeros(0, int), np.zeros((0, PRICES.size), int)
            )  # fmt: skip
            own = Claims(
                tuple(claims.loss[row] for row in np.flatnonzero(mine)),
                claims.low[mine],
                claims.wanted[mine],
                claims.gpus[mine],
            )
            quota = quota_of(
                budget, int((held * claims.gpus)[mine].sum()), taken[mine].sum(axis=0), rest
            )
            before = int((held * claims.gpus).sum())
            held[mine] = allocate(own, quota.gpus).granted
            known.add(int(part))
            assert (held >= claims.low).all()
            assert (held * claims.gpus).sum() <= max(budget, before)
    assert (held * claims.gpus).sum() <= budget
    together = loss_of(claims, allocate(claims, budget).granted)
    worst = loss_of(claims, claims.low)
    # Prices come in steps and each shard rounds to whole gangs: with room for one or two gangs in
    # all, the last of them may stay with a shard that needs it less.
    if share >= 0.1:
        assert worst - loss_of(claims, held) >= 0.5 * (worst - together) - 1e-9


def fleet(budget: int | None, owners: list[WorkloadInput], level: float = 150.0) -> list[Decision]:
    paths = np.stack([noisy(level, i) for i in range(len(owners))])
    return list(decide_shard(shard(paths, owners, budgets={"H100": budget}), CONFIG, NOW_S))


def classed(name: str, weight: float, n: int = 10, **changes: object) -> WorkloadInput:
    given = {"sla": Sla(0.01, class_weight=weight), "replicas": ReplicaState(n, n)} | changes
    return workload(name, **given)


def test_bronze_is_brought_down_so_that_gold_rises() -> None:
    gold, bronze = fleet(24, [classed("gold", 4.0, 6), classed("bronze", 1.0, 18)])
    assert gold.final > 6
    assert 1 <= bronze.final < 18
    assert gold.final + bronze.final <= 24
    assert (bronze.reason, bronze.binding_constraint) == (
        Reason.SCALE_DOWN_GPU_BUDGET,
        "gpu_budget",
    )


@pytest.mark.parametrize(
    "held",
    [
        {"control": Control(is_paused=True)},
        {"control": Control(paused_until_s=NOW_S + 60)},
        {"control": Control(freeze="Both")},
        {"control": Control(freeze="ScaleDown")},
        {"control": Control(scale_out_only=True)},
        {"control": Control(is_automatic=False)},
        {"has_replica_state": False},
        {"limits": Limits(1, 60, scale_down=DirectionRules(select_policy="Disabled"))},
    ],
)
def test_what_people_hold_is_never_taken(held: dict[str, object]) -> None:
    gold, bronze = fleet(24, [classed("gold", 4.0, 6), classed("bronze", 1.0, 18, **held)])
    assert bronze.final >= 18
    assert gold.final + bronze.final <= 24


def test_a_pause_that_has_ended_holds_nothing() -> None:
    ended = Control(paused_until_s=NOW_S - 60)
    _, bronze = fleet(24, [classed("gold", 4.0, 6), classed("bronze", 1.0, 18, control=ended)])
    assert bronze.final < 18


def test_a_minimum_is_kept_when_others_rise() -> None:
    """Gold needs about 10; of 25 GPUs a bronze of at least 15 leaves it all of them."""
    owners = [classed("gold", 4.0, 6), classed("bronze", 1.0, 18, limits=Limits(15, 60))]
    paths = np.stack([noisy(80.0), noisy(150.0, 1)])
    gold, bronze = decide_shard(shard(paths, owners, budgets={"H100": 25}), CONFIG, NOW_S)
    assert 6 < gold.final <= 10
    assert (bronze.final, bronze.reason) == (25 - gold.final, Reason.SCALE_DOWN_GPU_BUDGET)
    assert bronze.final >= 15


def test_what_is_held_by_hand_counts_and_is_advised_from_what_is_left() -> None:
    advised = classed("advised", 4.0, 6, control=Control(is_automatic=False))
    auto, by_hand = fleet(24, [classed("auto", 1.0, 6), advised])
    assert auto.final <= 18
    assert auto.final + by_hand.final <= 24
    assert by_hand.final >= 6


def test_an_explanation_says_the_price_and_what_was_lost() -> None:
    _, bronze = fleet(24, [classed("gold", 4.0, 6), classed("bronze", 1.0, 18)])
    detail = bronze.guard_trace[-1].detail
    price = bronze.shadow_price_usd_per_gpu_hour
    wanted = bronze.guard_trace[-1].before
    assert detail.startswith(f"24 GPUs, are shared at {price:.2f} USD per GPU-hour: ")
    assert f"{bronze.final} of {wanted} replicas, estimated risk " in detail
    assert f"{min(bronze.risk_after, 1.0):.2%} instead of " in detail


def test_every_budgeted_workload_says_what_it_would_take() -> None:
    owners = [classed("gold", 4.0), classed("hand", 1.0, control=Control(is_automatic=False))]
    gold, hand = fleet(1000, owners)
    assert len(gold.budget_demand) == PRICES.size
    assert gold.budget_demand[0] == gold.final
    assert gold.budget_demand[-1] == 1
    assert hand.budget_demand == ()
    assert fleet(None, owners)[0].budget_demand == ()


def test_a_cut_decision_is_made_again_from_its_inputs() -> None:
    owners = [classed("gold", 4.0, 6), classed("bronze", 1.0, 18)]
    request = shard(np.stack([noisy(150.0, i) for i in range(2)]), owners, budgets={"H100": 24})
    decisions = decide_shard(request, CONFIG, NOW_S)
    again = replay_decision(inputs_to_bytes(request, 1, decisions[1], CONFIG, NOW_S))
    assert (again.final, again.reason) == (decisions[1].final, decisions[1].reason)
    assert again.guard_trace == decisions[1].guard_trace


def test_what_others_hold_is_left_to_them() -> None:
    request = replace(
        shard(noisy(150.0), [workload()], budgets={"H100": 24}),
        elsewhere={"H100": elsewhere((12, constant(12)))},
    )
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.final == 12
    assert "24 GPUs, 12 of them for these" in decision.guard_trace[-1].detail


def test_a_part_is_never_told_as_more_than_its_budget() -> None:
    """What runs and must not be let go may be more than the whole."""
    assert str(SharedBudget(7, 64, 0.0, False)) == "7 GPUs"
    assert str(SharedBudget(7, 7, 0.0, True)) == "7 GPUs"
    assert str(SharedBudget(7, 3, 0.0, True)) == "7 GPUs, 3 of them for these"


@st.composite
def random_owner(draw: st.DrawFn, name: str) -> WorkloadInput:
    low = draw(st.integers(0, 6))
    high = draw(st.integers(max(low, 1), 30))
    spec = draw(st.integers(low, high))
    return workload(
        name,
        limits=Limits(low, high),
        replicas=ReplicaState(spec, draw(st.integers(0, spec)), (5.0,)),
        sla=Sla(
            draw(st.sampled_from([0.001, 0.05, None])),
            class_weight=draw(st.sampled_from([1.0, 2.0, 4.0])),
        ),
        hardware=Hardware(draw(st.sampled_from(["L4", "H100"])), draw(st.sampled_from([1, 2, 8]))),
        history=observed(draw(st.floats(0, 300))),
        control=Control(
            is_paused=draw(st.booleans()) and draw(st.booleans()),
            freeze=draw(st.sampled_from([None, None, None, "Both", "ScaleDown"])),
            is_automatic=draw(st.sampled_from([True, True, False])),
        ),
    )


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_budgets_and_limits_always_hold(data: st.DataObject) -> None:
    owners = [data.draw(random_owner(f"w{i}")) for i in range(data.draw(st.integers(1, 5)))]
    paths = np.stack(
        [noisy(data.draw(st.floats(0, 300)), i, n_paths=20) for i in range(len(owners))]
    )
    budgets = {"L4": data.draw(st.none() | st.integers(0, 300))}
    rest = data.draw(st.integers(0, 100))
    request = replace(
        shard(paths, owners, budgets=budgets), elsewhere={"L4": elsewhere((rest, constant(rest)))}
    )
    decisions = decide_shard(request, CONFIG, NOW_S)
    pairs = [(w, d) for w, d in zip(owners, decisions, strict=True) if w.hardware.gpu_type == "L4"]
    for w, d in pairs:
        assert w.limits.min_replicas <= d.final <= w.limits.max_replicas
        assert d.final >= 1 or w.limits.min_replicas == 0
        if budgets["L4"] is None:
            assert d.final <= d.current
    if budgets["L4"] is None:
        return
    held = sum(w.hardware.gpus_per_replica * w.replicas.spec for w, _ in pairs)
    used = sum(w.hardware.gpus_per_replica * d.final for w, d in pairs)
    least = sum(w.hardware.gpus_per_replica * _least(w, d) for w, d in pairs)
    assert used <= max(budgets["L4"] - rest, held, least)
    if least <= budgets["L4"] - rest:
        assert used <= budgets["L4"] - rest


def _least(w: WorkloadInput, d: Decision) -> int:
    is_held = w.control.is_paused or w.control.freeze or not w.control.is_automatic
    wanted = d.guard_trace[-1].before
    return min(wanted, max(w.limits.min_replicas, w.replicas.spec if is_held else 0))


def test_equals_do_not_change_places_with_every_forecast() -> None:
    """Six equal workloads, GPUs for three and a half: whoever is served stays served."""
    spec, moved = [10] * 6, 0
    for step in range(10):
        owners = [classed(f"w{i}", 1.0, spec[i]) for i in range(6)]
        paths = np.stack([noisy(150.0, 100 * step + i) for i in range(6)])
        decisions = decide_shard(shard(paths, owners, budgets={"H100": 60}), CONFIG, NOW_S)
        final = [d.final for d in decisions]
        moved += sum(abs(a - b) for a, b in zip(final, spec, strict=True)) if step else 0
        spec = final
        assert sum(final) <= 60
    assert moved <= 20


def test_shards_settle_and_keep_the_budget() -> None:
    """Three shards of six decide in turn; what is granted counts until it is seen applied."""
    keys = [(s, i) for s in range(3) for i in range(6)]
    spec = dict.fromkeys(keys, 9)
    granted, demand = dict(spec), {}
    moves = []
    for step in range(6):
        for own in range(3):
            owners = [classed(f"{own}-{i}", (1.0, 2.0, 4.0)[i % 3], spec[own, i]) for i in range(6)]
            paths = np.stack([noisy(120.0, 100 * step + 10 * own + i) for i in range(6)])
            held = [sum(max(spec[o, i], granted[o, i]) for i in range(6)) for o in range(3)]
            parts = [(held[o], demand.get(o, constant(held[o]))) for o in range(3) if o != own]
            request = replace(
                shard(paths, owners, budgets={"H100": 165}), elsewhere={"H100": elsewhere(*parts)}
            )
            decisions = decide_shard(request, CONFIG, NOW_S)
            granted |= {(own, i): d.final for i, d in enumerate(decisions)}
            demand[own] = np.array([d.budget_demand for d in decisions]).sum(axis=0)
            others = sum(held[o] for o in range(3) if o != own)
            own_held = sum(spec[own, i] for i in range(6))
            assert sum(d.final for d in decisions) <= max(165 - others, own_held)
        moves.append(sum(abs(spec[k] - granted[k]) for k in keys))
        spec = dict(granted)
        assert sum(spec.values()) <= 165
    assert sum(spec.values()) >= 0.9 * 165
    assert max(moves[-2:]) <= 20
    weight = {w: sum(spec[s, i] for s in range(3) for i in (w, w + 3)) for w in range(3)}
    assert weight[2] >= weight[1] >= weight[0]


def test_one_that_asks_for_all_the_world_does_not_make_the_others_tables_as_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One table holds all workloads, and was as wide as the most that one of them asked for."""
    widths: list[int] = []
    allocate_ = budget.allocate

    def watched(claims: Claims, gpus: int) -> object:
        widths.extend(one.size for one in claims.loss)
        return allocate_(claims, gpus)

    monkeypatch.setattr(budget, "allocate", watched)
    owners = [workload("a"), workload("greedy", limits=Limits(1, 100_000))]
    paths = np.stack([noisy(80.0), noisy(1e6, 1)])
    calm, greedy = decide_shard(shard(paths, owners, budgets={"H100": 6000}), CONFIG, NOW_S)
    assert max(widths) <= 6001
    assert calm.final >= 8
    assert greedy.final == 6000 - calm.final
    unbounded = decide_shard(shard(paths, owners), CONFIG, NOW_S)
    assert unbounded[1].final > 90_000
