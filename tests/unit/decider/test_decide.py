"""The main flow: forecasts, floors and budgets become counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Direction,
    History,
    Limits,
    Reason,
    ReplicaState,
    RiskState,
    Sla,
    after_decision,
    decide_shard,
)
from tests.unit.decider.shards import (
    NOW_S,
    assert_limits_hold,
    drawn_workload,
    noisy,
    observed,
    shard,
    workload,
)

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


@pytest.mark.parametrize("age_s", [900.0, 6 * 3600.0])
@pytest.mark.parametrize(("spec", "ready"), [(12, 4), (10, 0)])
def test_what_is_needed_is_asked_for_beside_starts_that_hang(
    age_s: float, spec: int, ready: int
) -> None:
    """Eleven keep the promise. Those that have hung for so long may never serve."""
    hanging = (age_s,) * (spec - ready)
    state = ReplicaState(spec, ready, hanging, (), schedulable_gpus=100)
    request = shard(noisy(80.0), [workload(replicas=state)], lead_s=180.0)
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.final > 15
    assert decision.risk_after is not None
    assert decision.risk_after < 0.05
    assert not decision.is_short
    before = decide_shard(request, replace(CONFIG, revision=3), NOW_S)[0]
    assert before.final <= 14


def crashing(n_decisions: int, config: DecideConfig) -> list[int]:
    """Counts asked for where ten serve, fourteen are needed and no new one ever gets ready."""
    spec, ready, free = 10, 10, 100
    ages: tuple[float, ...] = ()
    counts, risk = [], RiskState()
    for _ in range(n_decisions):
        state = ReplicaState(spec, ready, ages, (), schedulable_gpus=free)
        request = shard(noisy(120.0, cv=0.05), [workload(replicas=state, risk=risk)])
        (decision,) = decide_shard(request, config, NOW_S)
        risk = after_decision(risk, decision, config.risk)
        new = decision.final - spec
        free -= new
        # Of those that do not serve the youngest are let go, as Kubernetes does.
        ages = tuple(age + request.step_s for age in ages) + (0.9 * request.step_s,) * max(0, new)
        spec = decision.final
        ages = ages[: spec - ready]
        counts.append(spec)
    return counts


def test_what_never_gets_ready_is_not_asked_for_again_and_again() -> None:
    """A release that crashes: what lacks is asked for once more, and not every free GPU."""
    counts = crashing(30, CONFIG)
    assert max(counts) >= 18
    assert max(counts) <= 26
    assert min(counts) >= 14
    assert max(crashing(30, replace(CONFIG, revision=4))) > 50


def test_no_fall_is_allowed_by_a_risk_that_no_count_keeps() -> None:
    """All of twenty hang, and no more may run: whatever is let go, the promise is not kept."""
    state = ReplicaState(20, 0, (6 * 3600.0,) * 20, (), schedulable_gpus=0)
    owner = workload(replicas=state, limits=Limits(1, 20))
    request = shard(noisy(80.0), [owner], lead_s=180.0)
    (decision,) = decide_shard(request, replace(CONFIG, shortage_price_ratio=0.5), NOW_S)
    assert decision.final < 20
    assert decision.reason == Reason.SCALE_DOWN_NOTHING_KEEPS
    config = replace(CONFIG, shortage_price_ratio=0.5, revision=3)
    assert decide_shard(request, config, NOW_S)[0].reason == Reason.SCALE_DOWN_RISK_ALLOWS


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


@pytest.mark.parametrize(("newest", "replicas"), [(120.0, range(8, 12)), (250.0, range(22, 26))])
def test_of_short_steps_the_floor_holds_what_chance_does_not_explain(
    newest: float, replicas: range
) -> None:
    """Steps go up and down by a fifth, so that a minute of 120 is no news, and one of 250 is."""
    history = observed(*[90.0, 110.0] * 15, *[newest] * 4)
    owner = workload(replicas=ReplicaState(5, 5), forecast_origin_s=NOW_S - 15.0, history=history)
    request = replace(shard(np.zeros((50, 6)), [owner]), step_s=15.0)
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.binding_constraint == "reactive_floor"
    assert decision.final in replicas


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


def test_out_of_reach_demand_still_serves_what_it_can() -> None:
    decision = decide_one(noisy(5000.0), workload(limits=Limits(1, 20)))
    assert (decision.final, decision.binding_constraint) == (20, "max_replicas")
    there = workload(limits=Limits(1, 20), replicas=ReplicaState(20, 20))
    held = decide_one(noisy(5000.0), there)
    assert (held.final, held.reason) == (20, Reason.HOLD_MAX_REPLICAS)


def test_a_scarce_budget_goes_to_the_higher_class() -> None:
    gold = workload("gold", sla=Sla(0.01, class_weight=4.0))
    bronze = workload("bronze", sla=Sla(0.01, class_weight=1.0))
    paths = np.stack([noisy(150.0, 1)] * 2)
    g, b = decide_shard(shard(paths, [gold, bronze], budgets={"H100": 30}), CONFIG, NOW_S)
    assert g.final > b.final


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
        promise = Sla(data.draw(st.sampled_from([0.001, 0.05, 0.5, None])))
        owners.append(drawn_workload(data, f"w{i}", promise))
        rows.append(noisy(data.draw(st.floats(0, 300)), data.draw(st.integers(0, 99)), n_paths=20))
    budget = data.draw(st.none() | st.integers(0, 200))
    given_shard = shard(np.stack(rows), owners, budgets={"L4": budget})
    decisions = decide_shard(given_shard, CONFIG, NOW_S)
    assert_limits_hold(owners, decisions, budget)


@pytest.mark.parametrize(("age_s", "final"), [(600.0, 2), (1000.0, 10)])
def test_an_outage_of_metrics_scales_nothing_in(age_s: float, final: int) -> None:
    """A forecast without the newest demand is one of before; a burst may be under way since."""
    past = History(np.array([15.0] * 12), NOW_S - age_s)
    request = shard(noisy(15.0), [workload(history=past)])
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.final == final
    (before,) = decide_shard(request, replace(CONFIG, revision=7), NOW_S)
    assert before.final == 2
