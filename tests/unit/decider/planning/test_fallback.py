"""The ladder: a rung for every state of forecast and demand; an error is never a zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider import (
    DecideConfig,
    History,
    Limits,
    Reason,
    ReplicaState,
    decide_shard,
)
from tests.unit.decider.shards import NOW_S, STEP_S, noisy, observed, shard, workload
from tests.unit.decider.tables.load_cases import STATED, bound, further_paths, load_shard

CONFIG = DecideConfig()


def decide_one(paths: np.ndarray, owner=None, **given):
    return decide_shard(shard(paths, [owner or workload()], **given), CONFIG, NOW_S)[0]


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


@pytest.mark.parametrize("kind", [*BAD_PATHS, "missing"])
def test_a_demand_is_not_planned_with_while_a_further_load_is_unknown(kind: str) -> None:
    """It would look lighter than it is; the history's demand, the equivalent one, answers."""
    paths = noisy(100.0, n_paths=20)
    owner = bound(1, history=observed(*[80.0] * 11, 100.0))
    request = load_shard(paths, further_paths(paths, 1), owner)
    further = None if kind == "missing" else BAD_PATHS[kind][None]
    (decision,) = decide_shard(replace(request, further_paths=(further,)), CONFIG, NOW_S)
    assert decision.rung == "trailing_percentile"
    assert decision.final == 11
    assert decision.bound_by == ()
    assert "further loads" in decision.guard_trace[0].detail


def test_further_loads_of_an_older_forecast_are_shifted_with_the_demand() -> None:
    paths = np.full((20, 6), 10.0)
    further = np.full((1, 20, 6), STATED[0])
    further[:, :, 0] *= 30.0  # a peak that has passed
    owner = bound(1, forecast_origin_s=NOW_S - 2 * STEP_S)
    (decision,) = decide_shard(load_shard(paths, further, owner), CONFIG, NOW_S)
    assert decision.rung == "last_forecast"
    assert decision.raw < 5
