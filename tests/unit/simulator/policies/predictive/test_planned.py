"""Harmony on a grid asks for what `decide_shard` asks for, at the same price of risk."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    Hardware,
    History,
    Limits,
    ReplicaState,
    RiskControlConfig,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
)
from decider.planning.fallback import Standing
from decider.planning.outlook import look_ahead
from decider.planning.plan import solve
from services.simulator.policies.grid import GridView
from services.simulator.policies.predictive.known_laws import KnownLaws
from services.simulator.policies.predictive.planned import PlannedGrid

STEP_S = 60.0
NOW_S = 1_000_000 * STEP_S
NAN = float("nan")
LEVELS = np.array([0.05, 0.5, 0.95])
# The first action's own limit is out of the way as far as it can be: it never exceeds 1.
CONFIG = DecideConfig(first_step_ratio=1e9, risk=RiskControlConfig(multiplier_gain=0.0))


def instance(
    seed: int, *, n_settings: int = 1, n_workloads: int = 3, scale: float = 8.0, draws: bool = True
) -> tuple[PlannedGrid, GridView]:
    """A random moment: forecasts, replicas, starts on their way, prices."""
    rng = np.random.default_rng(seed)
    G, W, S, H = n_settings, n_workloads, 40, 8
    level = scale * rng.uniform(0.5, 1.5, (W, 1, 1))
    shape = 1 + 0.5 * np.sin(np.arange(H) / 3 + rng.uniform(0, 6, (W, 1, 1)))
    paths = level * shape * rng.lognormal(0, 0.3, (W, S, H))
    capacity = rng.uniform(0.5, 2.0, W)
    top = int(2.5 * scale / capacity.min()) + 3
    spec = np.clip((level[:, 0, 0] / capacity * rng.uniform(0.6, 1.6, (G, W))).round(), 1, top)
    ready = np.maximum(spec - rng.integers(0, 4, (G, W)), 0)
    missing = (spec - ready).astype(int)
    ages = np.full((G, W, 3), NAN)
    for g, w in np.ndindex(G, W):
        ages[g, w, : missing[g, w]] = np.sort(rng.uniform(0, 200, missing[g, w]))[::-1]
    demand = level[:, :, 0] * rng.lognormal(0, 0.3, (W, 30))
    demand[rng.random((W, 30)) < 0.2] = NAN
    policy = PlannedGrid(
        np.exp(rng.uniform(0, 5, G)),
        rng.lognormal(math.log(rng.uniform(20, 300)), 0.4, 16),
        CONFIG,
        horizon=6,
        capacity_draws=rng.lognormal(0.05, 0.1, 8) if draws else np.ones(1),
    )
    low, high = np.ones(W), np.full(W, float(top))
    return policy, GridView(
        NOW_S,
        STEP_S,
        demand,
        ready,
        spec - ready,
        spec,
        capacity,
        low,
        high,
        paths=paths,
        start_age_s=ages,
    )


def request_of(policy: PlannedGrid, view: GridView, setting: int) -> ShardRequest:
    """What `decide_shard` would be given for one setting."""
    W = view.shape[1]
    multiplier = policy.multiplier(view)[setting]
    inputs = []
    for w in range(W):
        ages = view.start_age_s[setting, w]
        inputs.append(
            WorkloadInput(
                f"w{w}",
                ReplicaState(
                    int(view.replicas[setting, w]),
                    int(view.ready[setting, w]),
                    tuple(ages[np.isfinite(ages)]),
                ),
                Limits(int(view.min_replicas[w]), int(view.max_replicas[w])),
                Sla(0.99) if policy.laws is None else Sla(),
                Hardware("any"),
                history=History(view.demand[w], NOW_S),
                risk=RiskState(log_multiplier=math.log(multiplier[w])),
                forecast_origin_s=NOW_S - STEP_S,
            )
        )
    draws = policy.lead_time_s
    return ShardRequest(
        tuple(inputs),
        view.paths[:, :, : policy.horizon],
        view.capacity[:, None] * policy.capacity_draws,
        np.broadcast_to(draws, (W, draws.shape[-1])),
        STEP_S,
        quantiles=() if policy.laws is None else policy.laws.at(NOW_S),
    )


def decided(policy: PlannedGrid, view: GridView) -> tuple[np.ndarray, np.ndarray]:
    """(G, W) counts of `decide_shard`, and where the first action's limit changed the plan."""
    G, W = view.shape
    counts, is_bound = np.empty((G, W)), np.zeros((G, W), dtype=bool)
    for g in range(G):
        request = request_of(policy, view, g)
        counts[g] = [d.final for d in decide_shard(request, policy.config, NOW_S)]
        outlook = look_ahead(request, [Standing("forecast", "", 0, 0.0, None)] * W, policy.config)
        free = solve(outlook.program, outlook.multiplier)
        is_bound[g] = free.index[:, 0] != outlook.plan.index[:, 0]
    return counts, is_bound


def assert_equal_where_free(policy: PlannedGrid, view: GridView) -> int:
    ours, _ = policy.decide(view, policy.initial_state())
    theirs, is_bound = decided(policy, view)
    np.testing.assert_array_equal(ours[~is_bound], theirs[~is_bound])
    return int(is_bound.sum())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), draws=st.booleans())
def test_one_setting_asks_for_what_decide_shard_asks_for(seed, draws):
    assert_equal_where_free(*instance(seed, draws=draws))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_each_of_several_settings_does(seed):
    """The settings share their tables, which span all settings' counts."""
    assert_equal_where_free(*instance(seed, n_settings=4))


def with_laws(policy: PlannedGrid, view: GridView) -> PlannedGrid:
    """The same with quantile functions twice as far apart as the paths say."""
    values = np.quantile(view.paths[:, :, : policy.horizon], LEVELS, axis=1).transpose(1, 0, 2)
    middle = values[:, 1:2]
    wide = np.maximum(middle + 2.0 * (values - middle), 0.0)
    return replace(policy, laws=KnownLaws(LEVELS, wide[None], NOW_S, STEP_S))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_quantile_functions_are_integrated_as_decide_shard_does(seed):
    policy, view = instance(seed, n_settings=2)
    assert_equal_where_free(with_laws(policy, view), view)


def test_quantile_functions_take_the_place_of_paths():
    policy, view = instance(3)
    by_law = with_laws(policy, view).decide(view, None)[0]
    assert (by_law >= policy.decide(view, None)[0]).all()
    assert (by_law > policy.decide(view, None)[0]).any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_one_setting_does_on_a_coarse_grid(seed):
    policy, view = instance(seed, scale=300.0)
    assert view.max_replicas.max() > CONFIG.max_candidates
    assert_equal_where_free(policy, view)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 100_000), by_law=st.booleans())
def test_each_of_several_settings_does_on_a_coarse_grid(seed, by_law):
    """Candidates lie around what is chosen, so the settings share no tables then."""
    policy, view = instance(seed, scale=300.0, n_settings=3)
    assert_equal_where_free(with_laws(policy, view) if by_law else policy, view)


def test_the_limit_on_the_first_action_seldom_binds():
    """What the comparison leaves out is little."""
    n_bound = sum(assert_equal_where_free(*instance(seed, n_settings=2)) for seed in range(40))
    assert n_bound < 0.02 * 40 * 6


def test_ages_of_starts_matter_where_there_are_any():
    n_different = 0
    for seed in range(30):
        policy, view = instance(seed)
        late = replace(policy, lead_time_s=np.full(8, 240.0))
        young = np.where(np.isfinite(view.start_age_s), 0.0, NAN)
        counts = [
            late.decide(replace(view, start_age_s=ages), None)[0] for ages in (young, young + 235.0)
        ]
        is_different = counts[0] != counts[1]
        assert not is_different[view.starting == 0].any()
        n_different += int(is_different.sum())
    assert n_different > 0


def test_lead_times_of_each_workload():
    policy, view = instance(5, n_workloads=2)
    leads = np.stack([np.full(16, 20.0), np.full(16, 400.0)])
    own = replace(policy, lead_time_s=leads, capacity_draws=np.array([[1.0, 1.2], [0.7, 0.8]]))
    together, _ = own.decide(view, None)
    for w in range(2):
        one = replace(own, lead_time_s=leads[w], capacity_draws=own.capacity_draws[w])
        assert one.decide(view, None)[0][0, w] == together[0, w]
    assert_equal_where_free(own, view)


class TestWhatIsNotKnown:
    @pytest.mark.parametrize("fault", [NAN, math.inf, -1.0])
    def test_a_workload_without_a_usable_forecast_holds_and_others_do_not(self, fault):
        policy, view = instance(11, n_settings=2)
        whole, _ = policy.decide(view, None)
        paths = view.paths.copy()
        paths[1, 3, 2] = fault
        broken, _ = policy.decide(replace(view, paths=paths), None)
        np.testing.assert_array_equal(broken[:, [0, 2]], whole[:, [0, 2]])
        np.testing.assert_array_equal(broken[:, 1], view.replicas[:, 1])

    def test_no_forecast_at_all_holds(self):
        policy, view = instance(11)
        held, _ = policy.decide(replace(view, paths=None), None)
        np.testing.assert_array_equal(held, np.clip(view.replicas, 1, view.max_replicas))

    @pytest.mark.parametrize(("n_missing", "is_known"), [(0, True), (15, True), (16, False)])
    def test_the_floor_holds_the_newest_demand_until_it_is_stale(self, n_missing, is_known):
        """Steps of 60 s, stale after 900 s; nothing is forecast, so the floor decides.

        Of a stale demand nothing is known: what runs is held.
        """
        view = calm(30.0 * np.ones(20), n_missing)
        policy = PlannedGrid(10.0, np.full(4, 30.0), CONFIG, capacity_draws=np.array([0.9, 0.9]))
        # 30 / (2 x 0.9) = 16.7
        assert policy.decide(view, None)[0][0, 0] == (17 if is_known else 3)
        theirs, _ = decided(policy, view)
        assert theirs[0, 0] == (17 if is_known else 3)


def calm(demand: np.ndarray, n_missing: int) -> GridView:
    seen = demand.copy()
    seen[seen.size - n_missing :] = NAN
    one: dict[str, Any] = {"ready": 3.0, "starting": 0.0, "replicas": 3.0}
    grids = {name: np.full((1, 1), value) for name, value in one.items()}
    return GridView(
        NOW_S,
        STEP_S,
        seen[None],
        **grids,
        capacity=np.array([2.0]),
        min_replicas=np.array([1.0]),
        max_replicas=np.array([50.0]),
        paths=np.zeros((1, 8, 6)),
        start_age_s=np.zeros((1, 1, 0)),
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_dearer_risk_never_asks_for_less(seed):
    policy, view = instance(seed, n_settings=5)
    same = replace(
        view,
        ready=np.tile(view.ready[:1], (5, 1)),
        starting=np.tile(view.starting[:1], (5, 1)),
        replicas=np.tile(view.replicas[:1], (5, 1)),
        start_age_s=np.tile(view.start_age_s[:1], (5, 1, 1)),
    )
    rising = replace(policy, risk_price=np.array([0.1, 1.0, 10.0, 100.0, 1000.0]))
    counts, _ = rising.decide(same, None)
    assert np.all(np.diff(counts, axis=0) >= 0)
