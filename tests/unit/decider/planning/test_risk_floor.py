"""The robust reactive floor against whatever is forecast, under the one rule of lead times.

What is checked is what `decider.planning.risk.reactive_floor` states. Counts are played on the
laboratory's
replicas with one fixed lead time; at the start of step t the demand of step t - 1 is the newest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from decider import DecideConfig, History, Limits, ReplicaState, Sla, decide_shard
from decider.planning.risk import reactive_floor
from services.simulator.replicas import GridReplicas, account
from tests.unit.decider.shards import NOW_S, STEP_S, shard, workload
from tests.unit.simulator.courses import make_course

CAPACITY, HORIZON, MOST = 10.0, 5, 60  # few enough for a grid of every count
FREE = DecideConfig(start_cost_steps=0.0, stop_cost_steps=0.0)
Forecast = Callable[[np.ndarray, int], np.ndarray]
"""(demand with the newest known at t - 1, t) to (S, H) paths of the steps t, t + 1, ..."""


@dataclass(frozen=True)
class Played:
    """What a run did: counts asked for, what the planner wanted, violations; by step."""

    asked: np.ndarray
    planned: np.ndarray
    violation: np.ndarray


def future(demand: np.ndarray, t: int) -> np.ndarray:
    """The next HORIZON steps as they will be; the last one stays."""
    return demand[np.minimum(np.arange(t, t + HORIZON), demand.size - 1)]


def nothing(demand: np.ndarray, t: int) -> np.ndarray:
    return np.zeros((3, HORIZON))


def constant(demand: np.ndarray, t: int) -> np.ndarray:
    return np.full((3, HORIZON), 70.0)


def opposite(demand: np.ndarray, t: int) -> np.ndarray:
    """High where demand will be low, and the other way round."""
    return np.tile(np.maximum(demand.max() - future(demand, t), 0.0), (3, 1))


def exploding(demand: np.ndarray, t: int) -> np.ndarray:
    return np.tile((demand[t - 1] + 1.0) * 3.0 ** np.arange(1, HORIZON + 1), (3, 1))


def perfect(demand: np.ndarray, t: int) -> np.ndarray:
    return np.tile(future(demand, t), (3, 1))


USELESS = [nothing, constant, opposite, exploding]


def play(
    demand: list[float],
    forecast: Forecast,
    ratio: float,
    lead_steps: float,
    epsilon: float = 0.01,
    *,
    is_asked_without: bool = False,
) -> Played:
    """Let the decider run from step 1 on; step 0 is known, and its demand fits the replicas.

    What the planner wants without the floor is asked only where a test compares with it.
    """
    values = np.array(demand)
    lead_s = lead_steps * STEP_S
    config, bare = (replace(FREE, reactive_floor_ratio=r) for r in (ratio, 0.0))

    def choose(t: int, replicas: GridReplicas) -> tuple[int, int]:
        now_s = NOW_S + t * STEP_S
        ready, spec = int(replicas.ready[0, 0]), int(replicas.spec[0, 0])
        ages = replicas.start_age_s(now_s)[0, 0]
        owner = workload(
            replicas=ReplicaState(spec, ready, tuple(float(a) for a in ages[np.isfinite(ages)])),
            limits=Limits(0, MOST),
            sla=Sla(epsilon),
            history=History(values[:t], now_s),
            forecast_origin_s=now_s - STEP_S,
        )
        request = shard(forecast(values, t), [owner], capacity=CAPACITY, lead_s=lead_s)
        (with_floor,) = decide_shard(request, config, now_s)
        assert with_floor.final == min(with_floor.raw, MOST)  # no other guard in the way
        if not is_asked_without:
            return with_floor.final, 0
        (without,) = decide_shard(request, bare, now_s)
        return with_floor.final, min(without.raw, MOST)

    return run(values, choose, ratio, lead_s)


def reactive(demand: list[float], ratio: float, lead_steps: float) -> Played:
    """The pure reactive rule, which asks for the floor and nothing else."""
    values = np.array(demand)

    def choose(t: int, replicas: GridReplicas) -> tuple[int, int]:
        floor = reactive_floor(float(values[t - 1]), CAPACITY, ratio)
        return floor, floor

    return run(values, choose, ratio, lead_steps * STEP_S)


def run(
    demand: np.ndarray,
    choose: Callable[[int, GridReplicas], tuple[int, int]],
    ratio: float,
    lead_s: float | np.ndarray,
) -> Played:
    first = reactive_floor(float(demand[0]), CAPACITY, ratio)
    course = make_course(demand, lead_s=lead_s, initial=first)
    replicas = GridReplicas(course, 1)
    asked, planned, violation = [], [], []
    for t in range(1, demand.size):
        now_s = NOW_S + t * STEP_S
        replicas.land(now_s)
        count, wish = choose(t, replicas)
        replicas.scale(np.array([[count]]), now_s)
        replicas.land(now_s)
        capacity = np.array([CAPACITY])
        outcome = account(replicas, demand[[t]], capacity, now_s, now_s + STEP_S)
        asked.append(count)
        planned.append(wish)
        violation.append(float(outcome.violation_ratio[0, 0]))
    return Played(np.array(asked), np.array(planned), np.array(violation))


def floors(demand: list[float], ratio: float) -> np.ndarray:
    return np.array([reactive_floor(d, CAPACITY, ratio) for d in demand[:-1]])


traces = st.lists(st.floats(0.0, 400.0), min_size=3, max_size=7)
leads = st.sampled_from([0.0, 0.4, 1.0, 2.5])
ratios = st.sampled_from([1.0, 1.3])


@pytest.mark.slow
@given(demand=traces, forecast=st.sampled_from(USELESS), ratio=ratios, lead_steps=leads)
@settings(max_examples=25, deadline=None)
def test_robustness_no_moment_is_lost_that_the_reactive_rule_keeps(
    demand: list[float], forecast: Forecast, ratio: float, lead_steps: float
) -> None:
    """Bound 2, step by step and so in total: violation is at most the reactive rule's."""
    found, pure = play(demand, forecast, ratio, lead_steps), reactive(demand, ratio, lead_steps)
    assert (found.asked >= pure.asked).all()
    assert (found.violation <= pure.violation + 1e-12).all()


@given(demand=traces, forecast=st.sampled_from(USELESS), ratio=ratios, lead_steps=leads)
@settings(max_examples=25, deadline=None)
def test_a_step_is_lost_only_to_growth_beyond_the_ratio_within_a_lead_time(
    demand: list[float], forecast: Forecast, ratio: float, lead_steps: float
) -> None:
    """Bound 1: some count in force within the last lead time was asked for after a step whose
    demand, times the ratio, is below the present demand."""
    found = play(demand, forecast, ratio, lead_steps)
    assert_lost_to_growth_alone(demand, found.violation, ratio, math.ceil(lead_steps))


@given(demand=traces, ratio=ratios, lead=st.lists(st.floats(0.0, 2.5), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_with_start_up_times_that_differ_the_longest_one_bounds(
    demand: list[float], ratio: float, lead: list[float]
) -> None:
    values = np.array(demand)

    def choose(t: int, replicas: GridReplicas) -> tuple[int, int]:
        return reactive_floor(float(values[t - 1]), CAPACITY, ratio), 0

    found = run(values, choose, ratio, np.array(lead) * STEP_S)
    assert_lost_to_growth_alone(demand, found.violation, ratio, math.ceil(max(lead)))


def assert_lost_to_growth_alone(
    demand: list[float], violation: np.ndarray, ratio: float, reach: int
) -> None:
    for index, share in enumerate(violation):
        t = index + 1
        seen = [demand[s - 1] for s in range(max(1, t - reach), t + 1)]
        if t - reach < 1:
            seen.append(demand[0])  # what was there before the first decision
        if share > 0:
            assert demand[t] > ratio * min(seen) * (1 - 1e-8)


@given(demand=traces, forecast=st.sampled_from(USELESS), ratio=ratios, lead_steps=leads)
@settings(max_examples=25, deadline=None)
def test_cost_is_the_reactive_rules_and_what_the_planner_asks_above_it(
    demand: list[float], forecast: Forecast, ratio: float, lead_steps: float
) -> None:
    """Bound 3, an identity: the floor and the planner never add up."""
    found = play(demand, forecast, ratio, lead_steps, is_asked_without=True)
    floor = floors(demand, ratio)
    np.testing.assert_array_equal(found.asked, np.maximum(found.planned, floor))
    above = np.maximum(found.planned - floor, 0)
    assert found.asked.sum() == reactive(demand, ratio, lead_steps).asked.sum() + above.sum()


def oracle(demand: list[float], lead_steps: float) -> np.ndarray:
    """Least counts that keep every moment: a count must hold until the next one has a lead time.

    What is asked for at the start of step t is in force, alone or as the least of a lead time,
    during the steps t to t + ceil(lead).
    """
    need = [math.ceil(d / CAPACITY * (1 - 1e-9)) for d in demand]
    last = len(demand) - 1
    reach = math.ceil(lead_steps)
    return np.array([max(need[t : min(t + reach, last) + 1]) for t in range(1, len(demand))])


@given(demand=traces, ratio=ratios, lead_steps=leads)
@example(demand=[0.0, 311.0, 0.0, 1.0, 0.0], ratio=1.0, lead_steps=2.5)
@settings(max_examples=40, deadline=None)
def test_consistency_a_perfect_forecast_costs_the_oracle_and_the_floors_excess(
    demand: list[float], ratio: float, lead_steps: float
) -> None:
    """Bound 4; and what is saved on the oracle is not taken from the promise."""
    found, best = play(demand, perfect, ratio, lead_steps), oracle(demand, lead_steps)
    excess = np.maximum(floors(demand, ratio) - best, 0)
    assert found.asked.sum() <= best.sum() + excess.sum()
    ideal = run(np.array(demand), lambda t, _: (int(best[t - 1]), 0), ratio, lead_steps * STEP_S)
    assert (found.violation <= ideal.violation + 1e-9).all()


@pytest.mark.parametrize("lead_steps", [0.0, 0.4, 1.0, 2.5])
def test_the_oracle_keeps_every_step_that_it_could_still_act_on(lead_steps: float) -> None:
    demand = [50.0, 50.0, 50.0, 50.0, 120.0, 30.0, 90.0, 10.0, 200.0, 60.0]
    counts = oracle(demand, lead_steps)

    def choose(t: int, replicas: GridReplicas) -> tuple[int, int]:
        return int(counts[t - 1]), 0

    played = run(np.array(demand), choose, 1.0, lead_steps * STEP_S)
    assert played.violation.tolist() == [0.0] * 9
    one_less = np.maximum(counts - 1, 0)
    counts = one_less
    assert run(np.array(demand), choose, 1.0, lead_steps * STEP_S).violation.sum() > 0


def test_without_the_floor_a_useless_forecast_is_unbounded() -> None:
    """What the bounds are worth: a forecast of nothing loses every step, with the floor none."""
    demand = [100.0] * 6
    assert play(demand, nothing, 0.0, 0.4).violation.sum() == pytest.approx(5.0)
    assert play(demand, nothing, 1.0, 0.4).violation.sum() == 0.0
