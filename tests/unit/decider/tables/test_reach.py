"""Decisions look as far as starts take: paths go on beyond their forecast as the demand did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import (
    DecideConfig,
    ForecastArrays,
    History,
    ShardRequest,
    StepQuantiles,
    decide_shard,
    decision_bytes,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
    predictive_draws,
    reach_steps,
    replay_decision,
)
from decider.belief.lead_time import LeadTimeBelief
from decider.tables.reach import CLASS_STEPS, MOST_STEPS, reaching
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload
from tests.unit.decider.tables.load_cases import bound, load_shard

CONFIG = DecideConfig()
HORIZON, LEAD_STEPS = 12, 30
RISE = 43.0 / 19.0
"""A replica carries 10: 200 at the end of the forecast, 243 in the step that a start lands in."""


def ramp(first: int, n: int) -> np.ndarray:
    """Demand from step `first` on; step 0 is the first that is forecast."""
    return 200.0 + RISE * (np.arange(first, first + n) - (HORIZON - 1))


def slow(history: np.ndarray, paths: np.ndarray, *, sigma: float = 0.02) -> ShardRequest:
    """A workload whose starts take thirty steps."""
    lead = LeadTimeBelief.from_median(LEAD_STEPS * STEP_S, sigma, 1e6)
    owner = workload(history=observed(*history))
    return shard(paths, [owner], lead_s=predictive_draws(lead, 8)[None])


def looking(request: ShardRequest) -> ShardRequest:
    """The request with the reach that its first workload asks for."""
    history, lead = request.workloads[0].history, request.lead_time_draws_s[0]
    return replace(request, reach=reach_steps(history, lead, STEP_S, request.horizon))


def ramped(n_history: int = 100) -> ShardRequest:
    return slow(ramp(-n_history, n_history), np.tile(ramp(0, HORIZON), (200, 1)))


def test_a_ramp_is_met_by_a_start_that_lands_behind_the_forecast() -> None:
    (blind,) = decide_shard(ramped(), CONFIG, NOW_S)
    (seeing,) = decide_shard(looking(ramped()), CONFIG, NOW_S)
    assert blind.raw == 20
    assert seeing.raw == pytest.approx(24.3, rel=0.05)
    assert "looks 36 steps ahead, 12 of them forecast" in decision_summary(seeing)
    assert decision_to_dict(seeing)["reach"] == {
        "steps": 36,
        "forecast_steps": HORIZON,
        "wanted_steps": 33,
    }
    assert "reach" not in decision_to_dict(blind)


def test_history_that_is_too_short_carries_nothing_and_says_so() -> None:
    request = looking(ramped(n_history=HORIZON))
    assert request.reach == HORIZON
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.raw == 20
    assert decision.reach is not None
    assert "12 of them forecast, where starts may take 33" in decision_summary(decision)


def test_starts_within_the_forecast_change_nothing() -> None:
    request = replace(ramped(), lead_time_draws_s=np.full((1, 8), 5 * STEP_S))
    assert looking(request).reach == HORIZON
    (before,) = decide_shard(request, CONFIG, NOW_S)
    (after,) = decide_shard(looking(request), CONFIG, NOW_S)
    assert decision_bytes(after) == decision_bytes(before)


@given(
    n=st.integers(0, 400),
    horizon=st.integers(1, 300),
    lead=st.floats(0, 1e6),
    gaps=st.floats(0, 0.4),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_reach_is_never_shorter_than_the_forecast_nor_longer_than_history_carries(
    n: int, horizon: int, lead: float, gaps: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    demand = np.where(rng.random(n) < gaps, np.nan, 100.0)
    found = reach_steps(History(demand, NOW_S), np.array([lead]), STEP_S, horizon)
    assert horizon <= found <= max(horizon, MOST_STEPS)
    assert found - horizon <= max(0, (n - horizon) // 2)
    assert found == horizon or found < lead / STEP_S + 3 + CLASS_STEPS


@given(seed=st.integers(0, 99), horizon=st.integers(1, 12), scale=st.sampled_from([1e-6, 1.0, 1e9]))
@settings(max_examples=40, deadline=None)
def test_paths_go_on_in_any_unit_and_never_below_zero(
    seed: int, horizon: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    history = np.maximum(rng.normal(50.0, 40.0, 100), 0.0)
    paths = np.maximum(rng.normal(50.0, 40.0, (40, horizon)), 0.0)
    one = reaching(replace(slow(history, paths), reach=40)).paths
    scaled = reaching(replace(slow(history * scale, paths * scale), reach=40)).paths
    assert one.shape == (1, 40, 40)
    assert one.min() >= 0
    np.testing.assert_allclose(scaled, one * scale, rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_array_equal(one[0, :, :horizon], paths)


def test_noise_does_not_go_on_and_its_spread_stays() -> None:
    rng = np.random.default_rng(3)
    request = slow(100.0 + rng.normal(0, 5.0, 140), 100.0 + rng.normal(0, 5.0, (200, HORIZON)))
    last = reaching(replace(request, reach=60)).paths[0, :, -1]
    assert np.median(last) == pytest.approx(100.0, abs=3.0)
    assert last.std() == pytest.approx(5.0, rel=0.4)


def test_the_spread_grows_as_that_of_the_demand_did() -> None:
    """Of what wanders, the share that lies within the range is near what the range promises."""
    rng = np.random.default_rng(5)
    inside, widths = [], []
    for _ in range(300):
        walk = 500.0 + np.cumsum(rng.normal(0, 3.0, 144 + 36))
        paths = np.repeat(walk[None, 144 : 144 + HORIZON], 200, axis=0)
        beyond = reaching(replace(slow(walk[:144], paths), reach=36)).paths[0, :, HORIZON:]
        low, high = np.quantile(beyond, (0.05, 0.95), axis=0)
        inside.append((low[-1] <= walk[-1]) & (walk[-1] <= high[-1]))
        widths.append(high - low)
    width = np.mean(widths, axis=0)
    assert width[0] < width[11] < width[-1]
    assert 0.7 < np.mean(inside) < 0.95


def steady(n: int, seed: int = 1) -> np.ndarray:
    return 100.0 * np.exp(0.02 * np.random.default_rng(seed).standard_normal(n))


def beyond(history: np.ndarray, level: float = 100.0) -> np.ndarray:
    """(200, 36) paths of a steady forecast, where it ends: starts take longer."""
    rng = np.random.default_rng(5)
    paths = level * np.exp(0.02 * rng.standard_normal((200, HORIZON)))
    return np.asarray(
        reaching(replace(slow(history, paths), reach=HORIZON + 36)).paths[0, :, HORIZON:]
    )


@given(
    at=st.integers(0, 279),
    times=st.sampled_from([0.0, 3.0, 10.0, 100.0, 1e4]),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_one_outlier_in_the_past_moves_no_middle(at: int, times: float, seed: int) -> None:
    """About their mean all paths lay a quarter too low after one step of a hundred times."""
    history = steady(300, seed)
    plain = beyond(history)
    history[at] *= times
    found = beyond(history)
    np.testing.assert_allclose(np.median(found, axis=0), np.median(plain, axis=0), rtol=0.05)
    assert (np.quantile(found, 0.99, axis=0) > 100.0).all()


def test_a_jump_stays_where_it_is() -> None:
    """About their mean the paths went back: what rose once was taken from what is to come."""
    history = steady(300)
    history[-20:] *= 10.0
    assert np.median(beyond(history, 1000.0), axis=0) == pytest.approx(1000.0, rel=0.05)


def test_an_outlier_takes_no_replica_away() -> None:
    paths = 100.0 * np.exp(0.02 * np.random.default_rng(5).standard_normal((200, HORIZON)))
    history, once = steady(300), steady(300)
    once[150] *= 100.0
    asked = []
    for seen in (history, once):
        (decision,) = decide_shard(
            looking(slow(seen, paths)), replace(CONFIG, reactive_floor_ratio=0.0), NOW_S
        )
        asked.append(decision.raw)
    assert asked[1] >= asked[0] >= 11


def test_gaps_are_filled_and_a_history_of_gaps_carries_nothing() -> None:
    history = ramp(-100, 100)
    history[10:20] = np.nan
    few = looking(slow(history, np.tile(ramp(0, HORIZON), (200, 1))))
    assert decide_shard(few, CONFIG, NOW_S)[0].raw == pytest.approx(24.3, rel=0.05)
    history[30:60] = np.nan
    assert looking(slow(history, np.tile(ramp(0, HORIZON), (200, 1)))).reach == HORIZON


def test_a_decision_is_the_same_in_any_company() -> None:
    alone = looking(ramped())
    noise = workload("other", history=observed(*noisy(80.0, 4, n_paths=1, horizon=100)[0]))
    together = replace(
        alone,
        workloads=(noise, *alone.workloads),
        paths=np.stack([noisy(80.0, 1, horizon=HORIZON), alone.paths[0]]),
        capacity_draws=np.repeat(alone.capacity_draws, 2, axis=0),
        lead_time_draws_s=np.repeat(alone.lead_time_draws_s, 2, axis=0),
    )
    (one,), (_, other) = decide_shard(alone, CONFIG, NOW_S), decide_shard(together, CONFIG, NOW_S)
    assert decision_bytes(one) == decision_bytes(other)


def test_further_loads_go_on_in_proportion() -> None:
    further = np.stack([noisy(300.0, 1), noisy(1.5, 2)])
    request = load_shard(noisy(200.0), further, bound(history=observed(*ramp(-100, 100))), None)
    whole = reaching(replace(request, reach=30))
    more = whole.further(0)
    assert more is not None
    ratio = whole.paths[0, :, 6:].mean() / request.paths.mean()
    np.testing.assert_allclose(
        more[:, :, 6:].mean(axis=(1, 2)), ratio * np.array([300.0, 1.5]), 0.03
    )


@pytest.mark.parametrize("is_apart", [True, False])
@pytest.mark.parametrize("has_quantiles", [True, False])
def test_such_a_decision_is_made_again_from_its_inputs(is_apart: bool, has_quantiles: bool) -> None:
    paths = np.tile(ramp(0, HORIZON), (200, 1)) * noisy(1.0, 7, horizon=HORIZON, cv=0.02)
    request = looking(
        slow(ramp(-100, 100) * noisy(1.0, 8, n_paths=1, horizon=100, cv=0.02)[0], paths)
    )
    if has_quantiles:
        levels = np.array([0.05, 0.5, 0.95, 0.99])
        steps = StepQuantiles(levels, np.quantile(paths, levels, axis=0))
        request = replace(request, quantiles=(steps,))
    (decision,) = decide_shard(request, CONFIG, NOW_S)
    assert decision.reach is not None
    assert decision.reach.steps == 36
    forecast = ForecastArrays(request.paths, (), request.steps(0)) if is_apart else None
    blob = inputs_to_bytes(request, 0, decision, CONFIG, NOW_S, forecast)
    assert decision_bytes(replay_decision(blob, forecast)) == decision_bytes(decision)
