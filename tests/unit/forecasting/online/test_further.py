"""Calibration of further loads: what is stored covers what comes, each load by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from forecaster import Forecast, ForecasterConfig, JointPaths, Outcome
from services.forecasting.online.further import (
    FURTHER,
    corrected_further,
    further_keys,
    learned_further,
    with_further,
)
from services.forecasting.rows.repository import DueForecast
from services.forecasting.rows.translate import IndicatorKey, WorkloadRow, pack_paths
from services.kernel.domain import CapacitySpec, FurtherLoadSpec, IndicatorSpec, WorkloadSpec

LEVELS = np.array(ForecasterConfig().window.quantile_levels)
S, H = 200, 6
LOADS = ("output_tokens_per_s", "kv_token_seconds")
KEYS = {1: "shop/a", 2: "shop/b"}


def demand_forecast(workloads: tuple[str, ...], paths: int = S) -> Forecast:
    n = len(workloads)
    quantiles = np.broadcast_to(np.arange(1, LEVELS.size + 1.0)[:, None], (n, LEVELS.size, H))
    return Forecast(
        workloads,
        np.zeros(n, dtype=np.int64),
        60,
        LEVELS,
        quantiles.astype(np.float32),
        np.ones((n, paths, H), dtype=np.float32),
        "flow-1",
        ("model",) * n,
        ("",) * n,
    )


def drawn(rng: np.random.Generator, size: float) -> JointPaths:
    """Paths of both loads around `size`, one in each stratum as the forecaster draws them."""
    ranks = np.argsort(rng.random((len(LOADS), S, H)), axis=1)
    values = size * (1 + (ranks + rng.random(ranks.shape)) / S).astype(np.float32)
    return JointPaths(np.ones((S, H), dtype=np.float32), values, is_joint=True)


def stored_row(workload_id: int, joint: JointPaths | None) -> DueForecast:
    packed = [] if joint is None else [pack_paths(one) for one in joint.further]
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return DueForecast(
        workload_id,
        workload_id,
        at,
        "flow-1",
        60,
        LEVELS.tolist(),
        np.ones((LEVELS.size, H)).tolist(),
        S,
        list(LOADS) if packed else None,
        b"".join(one for one, _ in packed) if packed else None,
        [scale for _, scale in packed] if packed else None,
    )


def workload(workload_id: int, loads: tuple[str, ...] = LOADS) -> WorkloadRow:
    also = tuple(FurtherLoadSpec(indicator=name, per_replica=5.0) for name in loads)
    spec = WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=tuple(IndicatorSpec(name=name, level=1) for name in ("load_rps", *LOADS)),
        capacity=CapacitySpec(per_replica=1.0, also_bound_by=also),
    )
    namespace, name = KEYS[workload_id].split("/")
    return WorkloadRow(workload_id, namespace, name, 60, spec)


def outcome(values: np.ndarray) -> Outcome:
    return Outcome(values.astype(np.float32), np.ones(values.shape, dtype=bool))


def test_before_any_outcome_nothing_changes() -> None:
    joint = drawn(np.random.default_rng(1), 50.0)
    names = [LOADS, LOADS]
    first, second = corrected_further(
        {}, demand_forecast(("shop/a", "shop/b")), names, [None, joint]
    )
    assert first is None
    assert second is not None
    assert np.array_equal(second.further, joint.further)
    assert corrected_further({}, demand_forecast(("shop/a",)), [LOADS], [None]) == [None]


def test_loads_that_were_forecast_too_low_are_covered_after_a_while() -> None:
    """Loads come a quarter higher than forecast; of the stored paths nine in ten still hold."""
    rng = np.random.default_rng(2)
    forecast = demand_forecast(("shop/a",))
    state: dict[int, dict[str, Any]] = {1: {}}
    covered = []
    for step in range(400):
        joint = drawn(rng, 50.0)
        (given,) = corrected_further({"shop/a": state[1]}, forecast, [LOADS], [joint])
        assert given is not None
        came = 50 * (1.25 + rng.random((len(LOADS), H)))
        if step >= 200:
            covered.append(came <= np.quantile(given.further, 0.9, axis=1))
        learned = learned_further(state, [stored_row(1, given)], forecast, outcome(came))
        state = with_further(state, state, learned, {1: workload(1)})
    assert np.mean(covered) == pytest.approx(0.9, abs=0.04)
    raw = np.mean(50 * (1.25 + rng.random(4000)) <= 50 * 1.9)
    assert raw < 0.7
    assert state[1][FURTHER].keys() == set(LOADS)
    assert state[1][FURTHER][LOADS[0]]["n_seen"] == 400 * H


def test_paths_keep_their_ranks_and_loads_do_not_mix() -> None:
    joint = drawn(np.random.default_rng(3), 50.0)
    forecast = demand_forecast(("shop/a",))
    learned = learned_further(
        {}, [stored_row(1, joint)], forecast, outcome(np.array([[99.0] * H, [75.0] * H]))
    )
    state = learned[1][LOADS[0]] | {"offsets": [[0.5] * 3] * LEVELS.size}
    stored = {"shop/a": {FURTHER: {LOADS[0]: state}}}
    (given,) = corrected_further(stored, forecast, [LOADS], [joint])
    assert given is not None
    assert (given.further[0] > joint.further[0]).all()
    assert np.array_equal(given.further[1], joint.further[1])
    assert np.array_equal(given.demand, joint.demand)
    order = np.argsort(joint.further[0], axis=0)
    assert (np.diff(np.take_along_axis(given.further[0], order, axis=0), axis=0) >= 0).all()


def test_rows_without_further_loads_take_no_part() -> None:
    rows = [stored_row(2, None), stored_row(1, drawn(np.random.default_rng(4), 50.0))]
    assert further_keys(rows) == [IndicatorKey(1, name) for name in LOADS]
    forecast = demand_forecast(("shop/b", "shop/a"))
    learned = learned_further({}, rows, forecast, outcome(np.full((2, H), 70.0)))
    assert learned.keys() == {1}
    assert (
        learned_further({}, rows[:1], demand_forecast(("shop/b",)), outcome(np.ones((0, H)))) == {}
    )


def test_what_learned_nothing_is_kept_and_what_the_spec_no_longer_names_is_not() -> None:
    before: dict[int, dict[str, Any]] = {
        1: {FURTHER: {LOADS[0]: {"n_seen": 3}, LOADS[1]: {"n_seen": 4}}},
        2: {"n_seen": 1},
    }
    states = {1: {"n_seen": 9}, 2: {"n_seen": 2}}
    fleet = {1: workload(1), 2: workload(2)}
    assert with_further(states, before, {}, fleet) == {1: {"n_seen": 9, **before[1]}, 2: states[2]}
    learned = {1: {LOADS[1]: {"n_seen": 8}}}
    fleet[1] = workload(1, LOADS[1:])
    after = with_further(states, before, learned, fleet)
    assert after[1] == {"n_seen": 9, FURTHER: {LOADS[1]: {"n_seen": 8}}}
