"""The main flow: ladder, floor, fleet budgets, explanation, and refusals that are values."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    Control,
    DecideConfig,
    Direction,
    Hardware,
    History,
    Limits,
    Reason,
    ReplicaState,
    ShardRequest,
    Sla,
    decide_shard,
)
from decider.errors import InvalidConfig, InvalidRequest
from decider.explain import summary, to_dict
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload

CONFIG = DecideConfig()


def decide_one(paths: np.ndarray, owner=None, **given):
    return decide_shard(shard(paths, [owner or workload()], **given), CONFIG, NOW_S)[0]


def test_a_rising_forecast_scales_up_for_risk() -> None:
    decision = decide_one(noisy(150.0))
    assert decision.direction is Direction.UP
    assert decision.reason is Reason.SCALE_UP_RISK
    assert decision.binding_constraint == "risk"
    assert decision.final > 15
    assert decision.risk_after is not None
    assert decision.risk_before is not None
    assert decision.risk_after < 0.05 < decision.risk_before
    assert decision.cost_delta_usd_per_hour == pytest.approx(2.5 * (decision.final - 10))


def test_a_falling_forecast_scales_down() -> None:
    decision = decide_one(noisy(40.0))
    assert decision.reason is Reason.SCALE_DOWN_RISK_ALLOWS
    assert decision.final in (5, 6)
    assert decision.cost_delta_usd_per_hour < 0


def test_starts_on_their_way_are_not_asked_for_again() -> None:
    """Target counts are totals: what is pending counts, and the decision stays where it was."""
    paths = noisy(150.0)
    first = decide_one(paths)
    n = first.final
    on_the_way = workload(replicas=ReplicaState(n, 10, (20.0,) * (n - 10)))
    second = decide_one(paths, on_the_way)
    assert second.final == n
    assert second.reason is Reason.HOLD_WITHIN_RISK


def test_an_older_start_is_believed_to_land_sooner() -> None:
    """A start's clock runs on: with its age, the risk before anything new can land falls."""
    lead = np.exp(np.log(200.0) + 0.05 * np.linspace(-1, 1, 8))
    committed = [
        decide_one(
            noisy(150.0), workload(replicas=ReplicaState(18, 10, (age,) * 8)), lead_s=lead
        ).risk_committed
        for age in (0.0, 60.0, 120.0, 180.0)
    ]
    assert committed == sorted(committed, reverse=True)
    assert committed[0] > committed[-1] + 0.2


def test_starts_that_cannot_be_scheduled_are_not_counted_on() -> None:
    stuck = ReplicaState(18, 10, (), (60.0,) * 8, schedulable_gpus=0)
    coming = replace(stuck, schedulable_gpus=8)
    no_gpus = decide_one(noisy(150.0), workload(replicas=stuck))
    gpus = decide_one(noisy(150.0), workload(replicas=coming))
    assert no_gpus.risk_after > 0.5 > gpus.risk_after


def test_a_longer_lead_time_never_lowers_the_committed_risk() -> None:
    committed = [
        decide_one(noisy(130.0), workload(replicas=ReplicaState(16, 10, (0.0,) * 6)), lead_s=lead)
        for lead in (10.0, 60.0, 200.0, 299.0, 600.0)
    ]
    risks = [d.risk_committed for d in committed]
    assert risks == sorted(risks)


def test_the_reactive_floor_overrides_a_useless_forecast() -> None:
    decision = decide_one(np.zeros((50, 6)), workload(history=observed(90.0, 140.0)))
    assert decision.final == 14
    assert decision.reason is Reason.SCALE_UP_REACTIVE_FLOOR
    assert decision.binding_constraint == "reactive_floor"


@given(st.lists(st.floats(0, 400), min_size=5, max_size=12), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_robust_bound_on_adversarial_traces(demand: list[float], kind: int) -> None:
    """Whatever is forecast, a step is short only by the growth of demand over one step.

    Lead time 0: the count in force during step t holds the demand of step t - 1.
    """
    owner = workload(limits=Limits(0, 60))
    rng = np.random.default_rng(kind)
    for before, now in pairwise(demand):
        lie = [np.zeros((4, 3)), np.full((4, 3), before), rng.uniform(0, 9, (4, 3))][kind % 3]
        seen = replace(owner, history=observed(before))
        (decision,) = decide_shard(shard(lie, [seen], lead_s=0.0), CONFIG, NOW_S)
        assert decision.final * 10.0 >= before - 1e-6
        assert max(0.0, now - decision.final * 10.0) <= max(0.0, now - before) + 1e-6
        owner = replace(owner, replicas=ReplicaState(decision.final, decision.final))


BAD_PATHS = {
    "NaN": np.full((20, 6), np.nan),
    "infinite": np.full((20, 6), np.inf),
    "negative": np.full((20, 6), -1.0),
}


@pytest.mark.parametrize("kind", BAD_PATHS)
def test_bad_forecasts_fall_down_the_ladder(kind: str) -> None:
    history = observed(*[80.0] * 11, 100.0)
    decision = decide_one(BAD_PATHS[kind], workload(history=history))
    assert decision.rung == "trailing_percentile"
    assert decision.final == 11  # the last demand with a margin of 10 %
    assert decision.reason is Reason.SCALE_UP_FALLBACK
    assert decision.risk_after is None
    assert decision.guard_trace[0].detail


def test_rungs_of_the_ladder_in_order() -> None:
    good, bad = noisy(100.0), np.full((200, 6), np.nan)
    full, short = observed(*[90.0] * 12), observed(90.0)
    static = Limits(1, 60, static_replicas=12)

    def rung(paths: np.ndarray, **changes: object) -> str:
        return decide_one(paths, workload(**changes)).rung

    assert rung(good, history=full) == "forecast"
    assert rung(good, history=full, forecast_origin_s=NOW_S - 3 * STEP_S) == "last_forecast"
    assert rung(good, history=full, forecast_origin_s=NOW_S - 9 * STEP_S) == "trailing_percentile"
    assert rung(good, history=full, forecast_rung="") == "trailing_percentile"
    assert rung(bad, history=short) == "reactive"
    assert rung(bad, limits=static) == "static"
    assert rung(bad, limits=static, replicas=ReplicaState(13, 13)) == "hold_if_higher"
    assert rung(bad) == "hold"


def test_a_stale_forecast_without_demand_is_a_hold_never_zero() -> None:
    stale = workload(forecast_origin_s=NOW_S - 90 * STEP_S)
    decision = decide_one(np.zeros((20, 6)), stale)
    assert (decision.final, decision.reason) == (10, Reason.HOLD_STALE_FORECAST)


def test_stale_demand_is_unknown() -> None:
    old = History(np.array([500.0]), NOW_S - 4000.0)
    assert decide_one(np.full((20, 6), np.nan), workload(history=old)).final == 10


def test_unobserved_newest_steps_age_the_demand() -> None:
    gap = History(np.array([500.0, np.nan, np.nan, np.nan, np.nan]), NOW_S)
    assert decide_one(np.full((20, 6), np.nan), workload(history=gap)).rung == "hold"


def test_an_older_forecast_is_shifted_by_its_age() -> None:
    steps = np.tile(np.array([50.0, 100.0, 150.0, 200.0, 200.0, 200.0]), (30, 1))
    fresh = decide_one(steps)
    late = decide_one(steps, workload(forecast_origin_s=NOW_S - 3 * STEP_S))
    assert (fresh.raw, late.raw) == (10, 20)


def test_a_forecast_from_the_future_is_refused() -> None:
    decision = decide_one(noisy(100.0), workload(forecast_origin_s=NOW_S + 5 * STEP_S))
    assert decision.rung == "hold"
    assert "future" in decision.guard_trace[0].detail


def test_out_of_reach_demand_still_serves_what_it_can() -> None:
    decision = decide_one(noisy(5000.0), workload(limits=Limits(1, 20)))
    assert (decision.final, decision.binding_constraint) == (20, "max_replicas")
    there = workload(limits=Limits(1, 20), replicas=ReplicaState(20, 20))
    held = decide_one(noisy(5000.0), there)
    assert (held.final, held.reason) == (20, Reason.HOLD_MAX_REPLICAS)


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (Control(is_paused=True), Reason.HOLD_PAUSED),
        (Control(paused_until_s=NOW_S + 60), Reason.HOLD_PAUSED_UNTIL),
        (Control(scale_in_only=True), Reason.HOLD_SCALE_IN_ONLY),
        (Control(freeze="Both"), Reason.HOLD_FREEZE),
    ],
)
def test_people_outrank_the_plan(control: Control, reason: Reason) -> None:
    decision = decide_one(noisy(150.0), workload(control=control))
    assert (decision.final, decision.reason) == (10, reason)
    assert decision.raw > 10


def test_scale_out_only_names_itself() -> None:
    decision = decide_one(noisy(40.0), workload(control=Control(scale_out_only=True)))
    assert (decision.final, decision.reason) == (10, Reason.HOLD_SCALE_OUT_ONLY)


def test_unschedulable_growth_is_a_named_hold() -> None:
    state = ReplicaState(10, 10, schedulable_gpus=0)
    decision = decide_one(noisy(150.0), workload(replicas=state))
    assert (decision.final, decision.reason) == (10, Reason.HOLD_NOT_SCHEDULABLE)
    assert decision.binding_constraint == "schedulable"


def test_current_count_out_of_bounds_is_brought_back() -> None:
    high = decide_one(noisy(100.0), workload(limits=Limits(1, 6)))
    assert (high.final, high.reason) == (6, Reason.SCALE_DOWN_BOUNDS)
    low = decide_one(noisy(50.0), workload(limits=Limits(30, 40)))
    assert (low.final, low.reason) == (30, Reason.SCALE_UP_BOUNDS)


def test_a_budget_is_kept_and_explained() -> None:
    owners = [workload(f"w{i}", hardware=Hardware("H100", 2, 2.5)) for i in range(4)]
    paths = np.stack([noisy(150.0, i) for i in range(4)])
    decisions = decide_shard(shard(paths, owners, budgets={"H100": 104}), CONFIG, NOW_S)
    assert sum(2 * d.final for d in decisions) <= 104
    assert all(d.final >= 1 for d in decisions)
    cut = [d for d in decisions if d.fleet_cap is not None]
    assert cut
    assert all(d.binding_constraint == "gpu_budget" for d in cut)
    assert all(d.shadow_price_usd_per_gpu_hour > 0 for d in cut)


def test_a_scarce_budget_goes_to_the_higher_class() -> None:
    gold = workload("gold", sla=Sla(0.01, class_weight=4.0))
    bronze = workload("bronze", sla=Sla(0.01, class_weight=1.0))
    paths = np.stack([noisy(150.0, 1)] * 2)
    g, b = decide_shard(shard(paths, [gold, bronze], budgets={"H100": 30}), CONFIG, NOW_S)
    assert g.final > b.final


def test_an_unreadable_budget_stops_growth_never_means_unlimited() -> None:
    paths = np.stack([noisy(150.0), noisy(40.0)])
    owners = [workload("a"), workload("b")]
    up, down = decide_shard(shard(paths, owners, budgets={"H100": None}), CONFIG, NOW_S)
    assert (up.final, up.reason) == (10, Reason.HOLD_BUDGET_UNREADABLE)
    assert down.final < 10


def test_a_budget_below_the_minima_gives_the_minima_and_says_so() -> None:
    owners = [workload(f"w{i}", limits=Limits(8, 60)) for i in range(2)]
    paths = np.stack([noisy(150.0), noisy(150.0, 1)])
    decisions = decide_shard(shard(paths, owners, budgets={"H100": 10}), CONFIG, NOW_S)
    assert all(d.final <= 10 for d in decisions)
    assert all("minimum replicas alone exceed" in d.guard_trace[-1].detail for d in decisions)


def test_counterfactuals_order_and_stay_within_bounds() -> None:
    decision = decide_one(noisy(150.0, cv=0.2), workload(limits=Limits(1, 25)))
    others = decision.counterfactuals
    by_level = [others[f"epsilon_{e:g}"] for e in (0.001, 0.01, 0.05, 0.1)]
    assert by_level == sorted(by_level, reverse=True)
    assert others["median_forecast"] == 16
    assert all(1 <= n <= 25 for n in others.values())


def test_the_record_is_json_and_the_summary_reads() -> None:
    decision = decide_one(noisy(150.0))
    record = json.loads(json.dumps(to_dict(decision)))
    assert record["risk"]["target"] == 0.01
    assert record["guard_trace"][0]["guard"] == "stale_input"
    line = summary(decision)
    assert "w: 10 ->" in line
    assert "scale_up_risk" in line
    assert "promised" in line


@pytest.mark.parametrize("sharing", ["long_run", "step", "horizon"])
def test_the_counterfactual_at_the_own_promise_is_the_plan(sharing: str) -> None:
    config = DecideConfig(sharing=sharing)
    (decision,) = decide_shard(shard(noisy(150.0, cv=0.2)), config, NOW_S)
    assert decision.counterfactuals["epsilon_0.01"] == decision.raw


def test_a_higher_promise_never_asks_for_less() -> None:
    finals = [
        decide_one(noisy(100.0, cv=0.2), workload(sla=Sla(epsilon))).raw
        for epsilon in (0.001, 0.01, 0.05, 0.2)
    ]
    assert finals == sorted(finals, reverse=True)


def test_uncertain_capacity_asks_for_more() -> None:
    spread = 10.0 * np.exp(0.15 * np.linspace(-1.5, 1.5, 8))
    assert decide_one(noisy(100.0), capacity=spread).raw > decide_one(noisy(100.0)).raw


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_limits_and_budgets_always_hold(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 4))
    owners, rows = [], []
    for i in range(n):
        low = data.draw(st.integers(0, 6))
        high = data.draw(st.integers(low, 30))
        ready = data.draw(st.integers(low, high))
        owners.append(
            workload(
                f"w{i}",
                limits=Limits(low, high),
                replicas=ReplicaState(ready, data.draw(st.integers(0, ready)), (5.0,)),
                sla=Sla(data.draw(st.sampled_from([0.001, 0.05, 0.5, None]))),
                hardware=Hardware("L4", data.draw(st.integers(1, 4)), 1.0),
                history=observed(data.draw(st.floats(0, 300))),
            )
        )
        rows.append(noisy(data.draw(st.floats(0, 300)), data.draw(st.integers(0, 99)), n_paths=20))
    budget = data.draw(st.none() | st.integers(0, 200))
    given_shard = shard(np.stack(rows), owners, budgets={"L4": budget})
    decisions = decide_shard(given_shard, CONFIG, NOW_S)
    for owner, decision in zip(owners, decisions, strict=True):
        assert owner.limits.min_replicas <= decision.final <= owner.limits.max_replicas
        if budget is None:
            assert decision.final <= decision.current
    least = sum(w.hardware.gpus_per_replica * w.limits.min_replicas for w in owners)
    if budget is not None and least <= budget:
        used = sum(
            w.hardware.gpus_per_replica * d.final for w, d in zip(owners, decisions, strict=True)
        )
        assert used <= budget


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Sla(0.0), "epsilon=0"),
        (lambda: Sla(1.0), "epsilon=1"),
        (lambda: Limits(5, 2), "min_replicas=5, max_replicas=2"),
        (lambda: ReplicaState(-1, 0), "spec=-1"),
        (lambda: shard(np.zeros((1, 3, 2)), [workload(), workload()]), "must be W=2"),
        (lambda: shard(np.zeros((1, 3, 2)), capacity=0.0), "capacity_draws must be > 0"),
        (lambda: shard(np.zeros((1, 3, 2)), lead_s=np.nan), "lead_time_draws_s must be finite"),
        (lambda: shard(np.zeros((1, 3, 2)), budgets={"H100": -1}), "gpu_budgets"),
        (lambda: ShardRequest((), np.zeros((0, 1, 1)), np.ones((0, 1)), np.ones((0, 1)), 60.0),
         "at least one workload"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused_at_the_door(make, match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        make()


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="sharing='never'"):
        DecideConfig(sharing="never")
