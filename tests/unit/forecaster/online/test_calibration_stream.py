"""Calibration of a record: every origin knows what was known there, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecaster.config import QUANTILE_LEVELS
from forecaster.errors import ShapeError
from forecaster.online.calibration import CalibrationConfig, corrected, empty_state, learned
from forecaster.online.calibration_stream import calibrate_stream

LEVELS = np.array(QUANTILE_LEVELS)
HORIZON = 3
N_WORKLOADS = 4
N_ORIGINS = 40


def record(seed: int = 0) -> dict[str, Any]:
    """Forecasts of four workloads at forty origins, the last workload only at every other."""
    rng = np.random.default_rng(seed)
    which, at = np.meshgrid(np.arange(N_WORKLOADS), np.arange(N_ORIGINS), indexing="ij")
    kept = ~((which == N_WORKLOADS - 1) & (at % 2 == 1))
    n_rows = int(kept.sum())
    quantiles = np.sort(rng.gamma(3, 10, (n_rows, LEVELS.size, HORIZON)), axis=1)
    return {
        "quantiles": quantiles.astype(np.float32),
        "actual": rng.gamma(3, 12, (n_rows, HORIZON)).astype(np.float32),
        "observed": rng.random((n_rows, HORIZON)) < 0.9,
        "workloads": which[kept].astype(np.int64),
        "origins": at[kept].astype(np.int64),
        "horizon": HORIZON,
        "state": empty_state(tuple("abcd"), LEVELS),
    }


def test_it_is_the_loop_of_correcting_and_learning_with_the_delay() -> None:
    given = record()
    found, after = calibrate_stream(**given)
    state = given["state"]
    expected = np.zeros_like(found)

    def learn(origin: int) -> None:
        rows = np.flatnonzero(given["origins"] == origin)
        part = learned(
            state.rows(given["workloads"][rows]),
            expected[rows],
            given["actual"][rows],
            given["observed"][rows],
        )
        for name in ("offsets", "error_scale", "demand_scale", "n_seen", "n_below"):
            getattr(state, name)[given["workloads"][rows]] = getattr(part, name)

    for origin in range(N_ORIGINS):
        if origin >= HORIZON:
            learn(origin - HORIZON)
        rows = np.flatnonzero(given["origins"] == origin)
        expected[rows] = corrected(given["quantiles"][rows], state.rows(given["workloads"][rows]))
    for origin in range(N_ORIGINS - HORIZON, N_ORIGINS):
        learn(origin)
    assert np.allclose(found, expected)
    assert np.allclose(after.offsets, state.offsets)
    assert after.n_seen.tolist() == state.n_seen.tolist()
    assert np.abs(found - given["quantiles"]).max() > 1


def test_outcomes_are_not_known_before_the_horizon_has_passed() -> None:
    given = record()
    before, _ = calibrate_stream(**given)
    late = given["origins"] >= 20
    given["actual"] = np.where(late[:, None], np.float32(1e4), given["actual"])
    after, _ = calibrate_stream(**given)
    is_blind = given["origins"] < 20 + HORIZON
    assert np.array_equal(before[is_blind], after[is_blind])
    assert (before[~is_blind] != after[~is_blind]).any()


def test_the_order_of_rows_does_not_matter_and_the_given_state_is_left_alone() -> None:
    given = record()
    found, state = calibrate_stream(**given)
    assert (given["state"].offsets == 0).all()
    order = np.random.default_rng(1).permutation(found.shape[0])
    columns = ("quantiles", "actual", "observed", "workloads", "origins")
    shuffled, other = calibrate_stream(**given | {k: given[k][order] for k in columns})
    assert np.allclose(shuffled, found[order], atol=1e-4)
    assert np.allclose(other.offsets, state.offsets)


def test_an_empty_record_changes_nothing() -> None:
    given = record()
    columns = ("quantiles", "actual", "observed", "workloads", "origins")
    found, state = calibrate_stream(**given | {k: given[k][:0] for k in columns})
    assert found.shape == (0, LEVELS.size, HORIZON)
    assert (state.offsets == 0).all()


def test_a_warm_start_brings_a_narrow_forecast_to_nominal_coverage() -> None:
    rng = np.random.default_rng(2)
    grid = np.quantile(rng.normal(size=50_000), LEVELS)
    n_origins = 500
    which = np.repeat(np.arange(8), n_origins)
    n_rows = which.size
    given = {
        "quantiles": np.tile((50 + 0.6 * grid)[None, :, None], (n_rows, 1, HORIZON)).astype("f4"),
        "observed": np.ones((n_rows, HORIZON), dtype=bool),
        "workloads": which,
        "origins": np.tile(np.arange(n_origins), 8),
        "horizon": HORIZON,
    }

    def actual() -> np.ndarray:
        return rng.normal(50, 1, (n_rows, HORIZON)).astype(np.float32)

    _, state = calibrate_stream(actual=actual(), state=empty_state("abcdefgh", LEVELS), **given)
    later = actual()
    found, _ = calibrate_stream(actual=later, state=state, **given)
    share = (later[:, None] <= found).mean(axis=(0, 2))
    raw = (later[:, None] <= given["quantiles"]).mean(axis=(0, 2))
    tail = LEVELS >= 0.95
    assert np.abs(share - LEVELS)[tail].max() < 0.006
    assert np.abs(raw - LEVELS)[tail].max() > 0.05


def test_settings_are_passed_on() -> None:
    given = record()
    still = CalibrationConfig(centre_rate=0.0, tail_rate=0.0, extreme_rate=0.0)
    found, _ = calibrate_stream(**given, config=still)
    assert np.allclose(found, given["quantiles"])


def two_at_one_origin(given: dict[str, Any]) -> dict[str, Any]:
    return given | {"origins": np.zeros_like(given["origins"])}


BROKEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "two forecasts at one origin": two_at_one_origin,
    "horizon=2 must be >= 3": lambda g: g | {"horizon": 2},
    r"must be in 0\.\.3": lambda g: g | {"workloads": g["workloads"] + 1},
    "must be \\(B, Q, H\\)": lambda g: g | {"actual": g["actual"][:, 1:]},
    "observed": lambda g: g | {"observed": g["observed"][1:]},
    "origins": lambda g: g | {"origins": g["origins"][1:]},
    "with Q=18": lambda g: g | {"state": empty_state(tuple("abcd"), LEVELS[1:])},
}


@pytest.mark.parametrize("message", list(BROKEN))
def test_a_record_that_does_not_fit_is_refused(message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        calibrate_stream(**BROKEN[message](record()))


def test_the_state_it_returns_is_whole() -> None:
    _, state = calibrate_stream(**record())
    assert replace(state).workloads == tuple("abcd")
    assert np.isfinite(state.offsets).all()
    assert (state.error_scale > 0).all()
