"""Trailing percentile, static and oracle grids by hand; laws that all recommenders obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies import PolicyView, Solo
from services.simulator.policies.grid import GridView
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
from services.simulator.policies.trailing_percentile import (
    TrailingPercentileGrid,
    known_percentiles,
    ordered_percentile,
)

NAN = float("nan")
DAY_S = 86_400.0 * 20_000


def see(demand, *, n_settings=1, step_s=60.0, replicas=3.0, future=None, **changes):
    """Demand (W, C) or (C,), at the boundary after its last step."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    W = demand.shape[0]
    spec = np.broadcast_to(np.asarray(replicas, dtype=float), (n_settings, W)).copy()
    fields = {
        "now_s": DAY_S + step_s * demand.shape[1],
        "step_s": step_s,
        "demand": demand,
        "ready": spec,
        "starting": np.zeros_like(spec),
        "replicas": spec,
        "capacity": np.full(W, 2.0),
        "min_replicas": np.ones(W),
        "max_replicas": np.full(W, 50.0),
        "future": None if future is None else np.atleast_2d(np.asarray(future, dtype=float)),
    }
    return GridView(**(fields | changes))


def once(policy, view):
    return policy.decide(view, policy.initial_state())[0]


class TestTrailingPercentileGrid:
    def test_each_setting_has_its_window_percentile_and_margin(self):
        policy = TrailingPercentileGrid(
            np.array([120.0, 240.0, 240.0]), np.array([100.0, 50.0, 50.0]), np.array([0.0, 0.0, 1])
        )
        # demand 20, 6, 4, 8: the peak of two steps is 8 (4 replicas); the median of four is 7
        # (3.5, so 4), doubled 14 (7)
        assert once(policy, see([20, 6, 4, 8], n_settings=3)).ravel().tolist() == [4, 4, 7]

    def test_gaps_are_left_out_per_workload(self):
        policy = TrailingPercentileGrid(240.0, 50.0, 0.0)
        # medians of 6, 8; of 2, 4, 6, 8; of nothing
        demand = [[NAN, 6, NAN, 8], [2, 4, 6, 8], [NAN, NAN, NAN, np.inf]]
        assert once(policy, see(demand, replicas=9)).tolist() == [[4, 3, 9]]

    def test_no_history_holds(self):
        view = see(np.empty((2, 0)), replicas=4)
        assert once(TrailingPercentileGrid(), view).tolist() == [[4, 4]]

    def test_label(self):
        policy = TrailingPercentileGrid(np.array([900.0, 21_600.0]), 99.0, 0.15)
        assert policy.label(1) == "p99 of 6 h + 15 %"

    @pytest.mark.parametrize("bad", [{"window_s": 0}, {"percentile": -1}, {"margin": -1}])
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            TrailingPercentileGrid(**{k: np.array([50.0, v]) for k, v in bad.items()})

    @given(
        values=arrays(
            float,
            st.tuples(st.integers(1, 4), st.integers(1, 60)),
            elements=st.one_of(st.floats(0, 1e6), st.just(NAN)),
        ),
        percentiles=arrays(float, st.integers(1, 25), elements=st.floats(0, 100)),
    )
    def test_percentiles_are_those_of_the_sorted_known_values(self, values, percentiles):
        # up to 25 percentiles: both the selection and the sort are tried
        found = known_percentiles(values, percentiles)
        for w, row in enumerate(values):
            known = np.sort(row[np.isfinite(row)]).tolist()
            for p, percentile in enumerate(percentiles):
                if known:
                    assert found[p, w] == ordered_percentile(known, percentile)
                else:
                    assert np.isnan(found[p, w])


class TestStaticGrid:
    def test_fixed_at_the_first_decision(self):
        policy = StaticGrid(np.array([100.0, 50.0]), np.array([0.0, 0.25]))
        # peak 16: 8; median 8 with 25 %: 10, so 5
        first, state = policy.decide(see([0, 8, 16], n_settings=2), policy.initial_state())
        assert first.ravel().tolist() == [8, 5]
        later, _ = policy.decide(see([0, 8, 16, 90], n_settings=2), state)
        assert later.ravel().tolist() == [8, 5]

    def test_a_workload_without_history_is_fixed_later_and_alone(self):
        policy = StaticGrid()
        held, state = policy.decide(see([[NAN, NAN], [4, 6]], replicas=7), policy.initial_state())
        assert held.tolist() == [[7, 3]]
        later, state = policy.decide(see([[NAN, NAN, 9], [4, 6, 90]]), state)
        assert later.tolist() == [[5, 3]]
        assert policy.decide(see([[NAN, NAN, 9, 90], [4, 6, 90, 9]]), state)[0].tolist() == [[5, 3]]


class TestOracleGrid:
    def test_looks_as_far_as_each_setting_says(self):
        policy = OracleGrid(np.array([0.0, 60.0, 61.0, 9000.0]))
        view = see([1.0], n_settings=4, future=[2, 4, 6, 8, 100])
        # 2, 4, 6 over capacity 2; the end of the future is as far as one can see
        assert once(policy, view).ravel().tolist() == [1, 2, 3, 50]

    def test_gaps_in_the_future_are_left_out(self):
        view = see([[1.0], [1.0]], future=[[NAN, 8], [NAN, NAN]], replicas=6)
        assert once(OracleGrid(60.0), view).tolist() == [[4, 6]]

    def test_without_a_future_it_is_an_error(self):
        with pytest.raises(ValueError, match=r"view\.future"):
            once(OracleGrid(60.0), see([1.0]))

    def test_an_ended_future_holds(self):
        assert once(OracleGrid(0.0), see([1.0], future=np.empty((1, 0)), replicas=6)) == 6


@given(
    demand=arrays(float, st.integers(0, 30), elements=st.one_of(st.floats(0, 99), st.just(NAN))),
    knobs=st.tuples(st.floats(30, 2000), st.floats(0, 100), st.floats(-0.5, 2)),
)
def test_single_policies_are_grids_of_one(demand, knobs):
    window_s, percentile, margin = knobs
    view = PolicyView(DAY_S, 60.0, demand, 3, 0, 0, 3, 2.0, 1, 50, future=demand)
    grids = [
        TrailingPercentileGrid(*knobs),
        StaticGrid(percentile, margin),
        OracleGrid(window_s),
    ]
    for grid in grids:
        single = Solo(grid)
        alone = single.decide(view, single.initial_state())[0]
        seen = see(demand[None], future=demand[None], now_s=DAY_S)
        assert isinstance(alone, int)
        assert alone == once(grid, seen)[0, 0]


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
