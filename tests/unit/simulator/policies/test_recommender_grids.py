"""Trailing percentile, static and oracle grids by hand; laws that all recommenders obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.predictive.aws_predictive import AwsPredictive
from services.simulator.policies.predictive.dynamo import DynamoPlanner
from services.simulator.policies.predictive.predicted import (
    AdaptiveConformal,
    ForecastQuantile,
    PointForecast,
)
from services.simulator.policies.reactive.autopilot import AutopilotMW
from services.simulator.policies.reactive.autopilot_horizontal import AutopilotH
from services.simulator.policies.reactive.autopilot_ml import AutopilotML
from services.simulator.policies.static_peak import StaticGrid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from tests.unit.simulator.policies.grid_views import once, see

NAN = float("nan")

RATIOS = np.array([0.3, 0.6, 0.6, 1.1])

GRIDS = [
    TrailingPercentileGrid(np.array([60.0, 600, 600, 3600]), np.array([50.0, 95, 99, 100]), 0.1),
    StaticGrid(np.array([50.0, 90, 100, 100]), np.array([0.0, 0.1, 0.2, 0])),
    OracleGrid(np.array([0.0, 60, 100, 600])),
    AutopilotMW(
        np.array([50.0, 95, 95, 99]), np.array([600.0, 600, 3600, 3600]), 0.1, np.array([60.0] * 4)
    ),
    AutopilotMW(95.0, 600.0, np.array([0.0, 0.1, 0.2, 0.3]), statistic="average"),
    AutopilotMW(95.0, 600.0, 0.0, np.array([0.0, 300.0, 600.0, 900.0]), statistic="peak"),
    AutopilotH(RATIOS, "max", np.array([300.0, 600, 900, 900]), np.array([0.0, 600, 600, 300])),
    AutopilotH(RATIOS, "p95", 900.0, 0.0, 0.1, 0.2),
    AutopilotML(np.array([0.5, 5.0, 5.0, 50.0]), 0.1, np.array([0.0, 0.1, 0.3, 0.3])),
    AwsPredictive(RATIOS, np.array([0.0, 300, 600, 600]), np.array([0.0, 60, 120, 300])),
    DynamoPlanner(RATIOS, predictor="constant"),
    DynamoPlanner(RATIOS, np.array([0.0, 1, 2, 4]), "kalman", has_load_loop=True),
    DynamoPlanner(RATIOS, predictor="arima", refit_steps=4),
    PointForecast(np.array([0.0, 0.1, 0.2, 0.5])),
    ForecastQuantile(np.array([0.5, 0.9, 0.99, 1.0])),
    AdaptiveConformal(np.array([0.01, 0.05, 0.1, 0.3]), 0.05),
    AdaptiveConformal(0.1, np.array([0.01, 0.05, 0.05, 0.1]), np.array([0.0, 0.5, 1.0, 1.0])),
]

NAMED = pytest.mark.parametrize("policy", GRIDS, ids=lambda p: f"{p.name}-{p.label(1)}")


def some_demand(seed, n_steps=50, n_workloads=3):
    rng = np.random.default_rng(seed)
    demand = np.abs(np.cumsum(rng.normal(0, 4, (n_workloads, n_steps)), axis=1)) + 5
    demand[rng.random(demand.shape) < 0.1] = NAN
    demand[0, :7] = 0.0
    return demand


def some_paths(seed, step, n_workloads=3):
    rng = np.random.default_rng([seed, step])
    return rng.gamma(4.0, 5.0, (n_workloads, 40, 4))


def replay(policy, demand, *, seed=0, step_s=60.0, first=1, **changes):
    """(T, G, W) answers at every boundary; starts take one step."""
    G, W = policy.n_settings, demand.shape[0]
    spec, ready = np.full((G, W), 3.0), np.full((G, W), 3.0)
    state, answers = policy.initial_state(), []
    for n in range(first, demand.shape[1] + 1):
        view = see(
            demand[:, :n],
            n_settings=G,
            step_s=step_s,
            replicas=spec,
            ready=ready,
            starting=spec - ready,
            paths=some_paths(seed, n, W),
            future=demand[:, n:],
            **changes,
        )
        wanted, state = policy.decide(view, state)
        answers.append(wanted)
        # what was asked for a step ago serves now; what is cut is gone at once
        spec, ready = wanted, np.minimum(spec, wanted)
    return np.stack(answers)


def setting_of(policy, setting):
    """The grid of one setting."""
    changes = {
        field: value[setting]
        for field in policy.__dataclass_fields__
        if isinstance(value := getattr(policy, field), np.ndarray)
    }
    return replace(policy, **changes)


@NAMED
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), step_s=st.sampled_from([60.0, 300.0, 600.0]))
def test_answers_are_whole_and_within_bounds(policy, seed, step_s):
    bounds = {"min_replicas": np.array([0.0, 1, 4]), "max_replicas": np.array([6.0, 9, 30])}
    answers = replay(policy, some_demand(seed), seed=seed, step_s=step_s, **bounds)
    assert answers.shape[1:] == (4, 3)
    np.testing.assert_array_equal(answers, np.round(answers))
    assert (answers >= bounds["min_replicas"]).all()
    assert (answers <= bounds["max_replicas"]).all()


@NAMED
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), step_s=st.sampled_from([60.0, 300.0]))
def test_a_grid_is_its_settings_run_alone(policy, seed, step_s):
    demand = some_demand(seed, 40)
    together = replay(policy, demand, seed=seed, step_s=step_s)
    for setting in range(4):
        alone = replay(setting_of(policy, setting), demand, seed=seed, step_s=step_s)
        np.testing.assert_array_equal(together[:, setting], alone[:, 0])


@pytest.mark.parametrize("seed", [0, 6, 7])
def test_settings_with_an_hourly_forecast_run_alone_alike(seed):
    policy = AwsPredictive(RATIOS, np.array([0.0, 300, 900, 3500]), np.array([0.0, 60, 120, 300]))
    demand = some_demand(seed, 2 * 288 + 40)
    # room above, so that the bound does not hide the forecast
    room = {"max_replicas": np.full(3, 1000.0)}
    first = 2 * 288 - 40
    together = replay(policy, demand, step_s=300.0, first=first, **room)
    shorter = replace(policy, history_s=90_000.0)
    assert (together != replay(shorter, demand, step_s=300.0, first=first, **room)).any()
    for setting in range(4):
        alone = replay(setting_of(policy, setting), demand, step_s=300.0, first=first, **room)
        np.testing.assert_array_equal(together[:, setting], alone[:, 0])


@NAMED
def test_unknown_demand_and_no_forecast_hold(policy):
    demand = np.full((2, 9), NAN)
    replicas = np.array([[4.0, 7.0]] * 4)
    view = see(demand, n_settings=4, replicas=replicas, future=demand)
    state = policy.initial_state()
    for _ in range(2):
        wanted, state = policy.decide(view, state)
        np.testing.assert_array_equal(wanted, replicas)


@NAMED
def test_the_state_is_not_changed_in_place(policy):
    # the same decision twice from the same memory: the same answer
    demand = some_demand(5)
    state = policy.initial_state()
    for n in (20, 21, 22):
        view = see(demand[:, :n], n_settings=4, paths=some_paths(5, n), future=demand[:, n:])
        first, after = policy.decide(view, state)
        second, _ = policy.decide(view, state)
        np.testing.assert_array_equal(first, second)
        state = after


@NAMED
def test_labels_differ_and_are_plain(policy):
    labels = [policy.label(g) for g in range(4)]
    assert policy.n_settings == 4
    assert all(labels)
    assert len(set(labels)) > 1


# policies whose answer is a function of the history, whatever was decided before
HISTORIES = [
    GRIDS[0],
    AutopilotMW(np.array([50.0, 99.0]), np.array([600.0, 3600.0]), 0.1, 0.0),
    AutopilotMW(95.0, np.array([600.0, 3600.0]), 0.1, 0.0, "average"),
    AutopilotMW(95.0, 600.0, np.array([0.0, 0.1]), 0.0, "peak"),
    DynamoPlanner(np.array([0.4, 0.8]), predictor="constant"),
    DynamoPlanner(np.array([0.4, 0.8]), predictor="kalman"),
    DynamoPlanner(np.array([0.4, 0.8]), predictor="arima", refit_steps=1),
]


@pytest.mark.parametrize("policy", HISTORIES, ids=lambda p: f"{p.name}-{p.label(1)}")
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), step_s=st.sampled_from([60.0, 120.0, 300.0, 600.0]))
def test_memory_equals_recomputation(policy, seed, step_s):
    demand = some_demand(seed)
    stepwise = replay(policy, demand, step_s=step_s)
    for n in (1, 13, 50):
        spec = stepwise[n - 2] if n > 1 else 3.0
        view = see(demand[:, :n], n_settings=policy.n_settings, step_s=step_s, replicas=spec)
        np.testing.assert_array_equal(stepwise[n - 1], once(policy, view))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), step_s=st.sampled_from([60.0, 300.0, 600.0]))
def test_histograms_learned_stepwise_equal_those_learned_at_once(seed, step_s):
    demand = some_demand(seed)
    window = AutopilotMW(95.0, np.array([900.0, 7200.0]))
    learner = AutopilotML(np.array([4.0, 9.0]))
    for policy in (window, learner):
        state = policy.initial_state()
        for n in range(1, demand.shape[1] + 1):
            _, state = policy.decide(see(demand[:, :n], n_settings=2, step_s=step_s), state)
        view = see(demand, n_settings=2, step_s=step_s)
        _, whole = policy.decide(view, policy.initial_state())
        if policy is window:
            np.testing.assert_allclose(state.histogram.load, whole.histogram.load, rtol=1e-9)
            np.testing.assert_allclose(state.histogram.count, whole.histogram.count, rtol=1e-9)
        else:
            np.testing.assert_allclose(state.weight, whole.weight, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n_kept=st.integers(5, 30))
def test_a_sliding_context_is_read_like_a_growing_one(seed, n_kept):
    demand = some_demand(seed)
    for policy in (AutopilotMW(np.array([50.0, 99.0]), 900.0), DynamoPlanner(RATIOS[:2])):
        growing = sliding = policy.initial_state()
        for n in range(1, demand.shape[1] + 1):
            full = see(demand[:, :n], n_settings=2)
            short = replace(full, demand=full.demand[:, -n_kept:])
            wanted, growing = policy.decide(full, growing)
            again, sliding = policy.decide(short, sliding)
            np.testing.assert_array_equal(wanted, again)


MONOTONE = [
    TrailingPercentileGrid(600.0, np.array([50.0, 80, 95, 100]), 0.1),
    TrailingPercentileGrid(600.0, 95.0, np.array([0.0, 0.1, 0.3, 0.9])),
    StaticGrid(np.array([50.0, 80, 95, 100])),
    OracleGrid(np.array([0.0, 60, 300, 900])),
    AutopilotMW(np.array([20.0, 50, 95, 100]), 900.0),
    AutopilotH(np.array([1.1, 0.8, 0.5, 0.3]), "max", 900.0, 0.0, 0.0, 0.99),
    PointForecast(np.array([0.0, 0.1, 0.3, 0.9])),
    ForecastQuantile(np.array([0.2, 0.5, 0.9, 1.0])),
    DynamoPlanner(np.array([1.1, 0.8, 0.5, 0.3])),
]


@pytest.mark.parametrize("policy", MONOTONE, ids=lambda p: f"{p.name}-{p.label(1)}")
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_more_headroom_never_wants_fewer(policy, seed):
    answers = replay(policy, some_demand(seed), seed=seed)
    # judged by the last answer: what a policy holds meanwhile depends on its past
    assert (np.diff(answers[-1], axis=0) >= 0).all()
