"""Every guard alone, their order, and the limits that always hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    Control,
    DirectionRules,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    Sla,
)
from decider.planning.guards import ORDER, GuardInput, apply_guards
from decider.types import Hardware
from tests.unit.decider.shards import NOW_S, workload


def guard_input(current: int = 10, last_demand: float | None = None, **changes: Any) -> GuardInput:
    changes.setdefault("replicas", ReplicaState(current, current))
    has_response, carried, unseen = (
        changes.pop(n, d) for n, d in (("has_response", False), ("carried", None), ("unseen", ""))
    )
    own = workload(**changes)
    return GuardInput(own, NOW_S, last_demand, 10.0, 1.0, has_response, carried, unseen)


def passed(raw: int, **changes: Any) -> tuple[int, str]:
    """Count after the guards and the guards that moved it."""
    count, trace = apply_guards(guard_input(**changes), raw)
    return count, ",".join(s.guard for s in trace if s.before != s.after)


def up(**rules: Any) -> Limits:
    return Limits(1, 60, scale_up=DirectionRules(**rules))


def down(**rules: Any) -> Limits:
    return Limits(1, 60, scale_down=DirectionRules(**rules))


def pods(value: int, period_s: float = 60.0) -> RatePolicy:
    return RatePolicy("Pods", value, period_s)


def percent(value: int, period_s: float = 60.0) -> RatePolicy:
    return RatePolicy("Percent", value, period_s)


MEASURED = Sla(0.01, good_share=0.99)
CASES = [
    # raw, expected, moved by, changes
    (15, (15, ""), {}),
    (15, (10, "paused"), {"control": Control(is_paused=True)}),
    (15, (10, "paused"), {"control": Control(paused_until_s=NOW_S + 1)}),
    (15, (15, ""), {"control": Control(paused_until_s=NOW_S)}),
    (15, (10, "one_way"), {"control": Control(scale_in_only=True)}),
    (5, (5, ""), {"control": Control(scale_in_only=True)}),
    (5, (10, "one_way"), {"control": Control(scale_out_only=True)}),
    (15, (15, ""), {"control": Control(scale_out_only=True)}),
    (5, (10, "schedule"), {"control": Control(freeze="ScaleDown")}),
    (15, (15, ""), {"control": Control(freeze="ScaleDown")}),
    (15, (10, "schedule"), {"control": Control(freeze="Both")}),
    (15, (12, "bounds"), {"control": Control(schedule_max=12)}),
    (3, (8, "bounds"), {"control": Control(schedule_min=8)}),
    (99, (60, "bounds"), {}),
    (0, (1, "bounds"), {}),
    (5, (8, "consolidation"), {"last_demand": 80.0}),
    (5, (5, ""), {"last_demand": 50.0}),
    (5, (10, "consolidation"), {"last_demand": 300.0}),
    (5, (10, "consolidation"), {"last_demand": 1.0, "unseen": "stale"}),
    (15, (15, ""), {"last_demand": 1.0, "unseen": "stale"}),
    (15, (15, ""), {"last_demand": 300.0}),
    (5, (10, "consolidation"), {"forecast_rung": "short_history"}),
    (15, (15, ""), {"forecast_rung": "short_history"}),
    # with an objective, and no step yet that says what load does to the requests
    (5, (10, "consolidation"), {"sla": MEASURED}),
    (15, (15, ""), {"sla": MEASURED}),
    (5, (10, "consolidation"), {"sla": MEASURED, "risk": RiskState(observed_steps=11.0)}),
    (
        5,
        (10, "consolidation"),
        {"sla": MEASURED, "risk": RiskState(observed_steps=99.0), "is_relearning": True},
    ),
    (5, (5, ""), {"sla": MEASURED, "risk": RiskState(observed_steps=12.0)}),
    (5, (5, ""), {"sla": MEASURED, "has_response": True}),
    # a replica is brought to a quarter more than any has carried, and no further
    (3, (8, "consolidation"), {"last_demand": 40.0, "carried": 4.0}),
    (3, (4, "consolidation"), {"last_demand": 40.0, "carried": 9.0}),
    (3, (10, "consolidation"), {"last_demand": 40.0, "carried": 2.0}),
    (9, (9, ""), {"last_demand": 40.0, "carried": 4.0}),
    (15, (15, ""), {"last_demand": 40.0, "carried": 0.1}),
    (5, (5, ""), {"carried": 0.1}),
    (15, (12, "schedulable"), {"replicas": ReplicaState(10, 10, schedulable_gpus=2)}),
    (15, (10, "schedulable"), {"replicas": ReplicaState(10, 10, schedulable_gpus=0)}),
    (15, (15, ""), {"replicas": ReplicaState(10, 10, schedulable_gpus=None)}),
    # two starts have no node yet: they are served before any new one
    (15, (11, "schedulable"), {"replicas": ReplicaState(10, 8, (), (5.0, 5.0), 3)}),
    (
        15,
        (11, "schedulable"),
        {
            "replicas": ReplicaState(10, 10, schedulable_gpus=7),
            "hardware": Hardware("H100", 4, 2.5),
        },
    ),
    (15, (14, "rate_limit"), {"limits": up(policies=(pods(4),))}),
    (30, (20, "rate_limit"), {"limits": up(policies=(pods(4), percent(100)))}),
    (
        30,
        (14, "rate_limit"),
        {"limits": up(policies=(pods(4), percent(100)), select_policy="Min")},
    ),
    (15, (10, "rate_limit"), {"limits": up(select_policy="Disabled")}),
    (2, (8, "rate_limit"), {"limits": down(policies=(pods(2),))}),
    (2, (9, "rate_limit"), {"limits": down(policies=(percent(10),))}),
    (2, (9, "rate_limit"), {"limits": down(policies=(percent(5),))}),  # 9.5 is truncated
    (11, (10, "tolerance"), {"limits": up(tolerance=0.1)}),
    (12, (12, ""), {"limits": up(tolerance=0.1)}),
    (9, (10, "tolerance"), {"limits": down(tolerance=0.1)}),
]


@pytest.mark.parametrize(("raw", "expected", "changes"), CASES)
def test_guard(raw: int, expected: tuple[int, str], changes: dict[str, Any]) -> None:
    assert passed(raw, **changes) == expected


def test_rate_limits_count_what_was_changed_in_the_period() -> None:
    history = History(changes=((NOW_S - 100, 3), (NOW_S - 30, 2), (NOW_S - 20, -1)))
    # 10 now, two added and one removed in the last minute: the period began at 9
    assert passed(30, limits=up(policies=(pods(4),)), history=history) == (13, "rate_limit")


def test_an_exhausted_rate_limit_holds_and_never_reverses() -> None:
    history = History(changes=((NOW_S - 10, 6),))
    assert passed(12, limits=up(policies=(pods(4),)), history=history) == (10, "rate_limit")


def test_stabilisation_takes_the_highest_recent_recommendation_downwards() -> None:
    history = History(recommendations=((NOW_S - 400, 20), (NOW_S - 200, 8), (NOW_S - 60, 7)))
    limits = down(stabilization_window_s=300.0)
    assert passed(5, limits=limits, history=history) == (8, "stabilisation")
    assert passed(9, limits=limits, history=history) == (9, "")


def test_stabilisation_takes_the_lowest_recent_recommendation_upwards() -> None:
    history = History(recommendations=((NOW_S - 60, 12), (NOW_S - 30, 30)))
    limits = up(stabilization_window_s=120.0)
    assert passed(20, limits=limits, history=history) == (12, "stabilisation")


def test_out_of_bounds_jumps_to_the_bound_past_rates_and_windows() -> None:
    rules = DirectionRules(300.0, "Max", (pods(1),), 0.5)
    limits = Limits(1, 6, scale_up=rules, scale_down=rules)
    assert passed(8, limits=limits) == (6, "bounds")


@pytest.mark.parametrize("is_schedule", [True, False])
def test_from_the_bound_that_it_jumps_to_a_count_goes_on_as_any_other(is_schedule: bool) -> None:
    """A lower maximum, or a higher minimum, is no leave to go to any count at once."""

    def held(raw: int, low: int, high: int, *, rules: DirectionRules, **changes: Any) -> Any:
        if not is_schedule:
            limits = Limits(low, high, scale_up=rules, scale_down=rules)
            return passed(raw, limits=limits, **changes)
        control = Control(schedule_min=low, schedule_max=high)
        limits = Limits(1, 60, scale_up=rules, scale_down=rules)
        return passed(raw, limits=limits, control=control, **changes)

    slow = DirectionRules(policies=(pods(1),))
    assert held(3, 1, 8, rules=slow) == (7, "rate_limit")
    assert held(50, 12, 60, rules=slow) == (13, "rate_limit")
    never = DirectionRules(select_policy="Disabled")
    assert held(3, 1, 8, rules=never) == (8, "rate_limit")
    assert held(50, 12, 60, rules=never) == (12, "rate_limit")
    steady = DirectionRules(stabilization_window_s=300.0)
    history = History(recommendations=((NOW_S - 60, 9),))
    assert held(3, 1, 8, rules=steady, history=history) == (8, "stabilisation")
    coarse = DirectionRules(tolerance=0.2)
    assert held(7, 1, 8, rules=coarse) == (8, "tolerance")
    free = DirectionRules()
    assert held(3, 1, 8, rules=free, last_demand=75.0) == (8, "consolidation")
    assert held(3, 1, 8, rules=free, forecast_rung="short_history") == (8, "consolidation")
    assert held(3, 1, 8, rules=free) == (3, "")


def test_an_unmeasured_state_is_held_even_out_of_bounds() -> None:
    assert passed(8, limits=Limits(1, 6), has_replica_state=False) == (10, "replicas_known")


def test_the_trace_names_every_guard_in_order() -> None:
    _, trace = apply_guards(guard_input(), 12)
    assert [s.guard for s in trace] == [name for name, _ in ORDER]
    assert all(a.after == b.before for a, b in pairwise(trace))


rules = st.builds(
    DirectionRules,
    stabilization_window_s=st.sampled_from([0.0, 300.0]),
    select_policy=st.sampled_from(["Max", "Min", "Disabled"]),
    policies=st.lists(
        st.builds(
            RatePolicy,
            st.sampled_from(["Pods", "Percent"]),
            st.integers(1, 200),
            st.sampled_from([15.0, 600.0]),
        ),
        max_size=2,
    ).map(tuple),
    tolerance=st.sampled_from([0.0, 0.1]),
)
controls = st.builds(
    Control,
    is_paused=st.just(False),
    scale_in_only=st.booleans(),
    scale_out_only=st.booleans(),
    schedule_min=st.none() | st.integers(0, 80),
    schedule_max=st.none() | st.integers(0, 80),
    freeze=st.sampled_from([None, None, "ScaleDown"]),
)
events = st.lists(
    st.tuples(st.floats(NOW_S - 900, NOW_S - 1), st.integers(-20, 20)), max_size=4
).map(lambda items: tuple(sorted(items)))


@st.composite
def situations(draw: st.DrawFn) -> tuple[GuardInput, int]:
    low = draw(st.integers(0, 20))
    limits = Limits(low, draw(st.integers(low, 40)), draw(rules), draw(rules))
    ready = draw(st.integers(0, 40))
    n_pending = draw(st.integers(0, 5))
    state = ReplicaState(
        ready + n_pending, ready, (), (10.0,) * n_pending, draw(st.none() | st.integers(0, 30))
    )
    owner = workload(
        replicas=state,
        limits=limits,
        control=draw(controls),
        history=History(changes=draw(events), recommendations=draw(events)),
    )
    last = draw(st.none() | st.floats(0, 500))
    return GuardInput(owner, NOW_S, last, 10.0, 1.0), draw(st.integers(0, 90))


@given(situations())
@settings(max_examples=200, deadline=None)
def test_limits_always_hold(situation: tuple[GuardInput, int]) -> None:
    seen, raw = situation
    count, trace = apply_guards(seen, raw)
    limits = seen.workload.limits
    low, high = limits.min_replicas, limits.max_replicas
    is_held = any(s.guard in ("one_way", "schedule") and s.detail for s in trace)
    assert low <= count <= high or (is_held and count == seen.current)
    if low <= seen.current <= high:
        assert low <= count <= high


@given(situations())
@settings(max_examples=200, deadline=None)
def test_no_guard_raises_what_it_caps(situation: tuple[GuardInput, int]) -> None:
    """Past the bounds, every guard moves the count towards the current one, never past it."""
    seen, raw = situation
    _, trace = apply_guards(seen, raw)
    for step in trace:
        if step.guard in ("bounds", "schedulable"):
            assert step.guard == "bounds" or step.after <= step.before
            continue
        low, high = sorted((step.before, seen.current))
        assert low <= step.after <= high


@given(situations(), st.integers(1, 1000))
@settings(max_examples=100, deadline=None)
def test_a_pause_holds_whatever_else_is_said(situation: tuple[GuardInput, int], raw: int) -> None:
    seen, _ = situation
    control = replace(seen.workload.control, is_paused=True)
    held = replace(seen, workload=replace(seen.workload, control=control))
    assert apply_guards(held, raw)[0] == seen.current
