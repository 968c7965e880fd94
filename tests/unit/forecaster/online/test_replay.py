"""Replay of a record: every origin knows what was known there, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.errors import ShapeError
from forecaster.online.calibration import Calibration
from forecaster.online.hedge import Experts, Hedge
from forecaster.online.learner import Outcome
from forecaster.online.replay import replay
from forecaster.types import Forecast
from tests.unit.forecaster.online.records import LEVELS, forecast_of

HORIZON = 3
N_ORIGINS = 40
NAMES = tuple("abcd")
CALIBRATION = Calibration(LEVELS)
EMPTY = CALIBRATION.empty_state(NAMES)


def record(seed: int = 0) -> tuple[Forecast, Outcome]:
    """Forecasts of four workloads at forty origins, the last workload only at every other."""
    rng = np.random.default_rng(seed)
    which, at = np.meshgrid(np.arange(len(NAMES)), np.arange(N_ORIGINS), indexing="ij")
    kept = ~((which == len(NAMES) - 1) & (at % 2 == 1))
    n_rows = int(kept.sum())
    quantiles = np.sort(rng.gamma(3, 10, (n_rows, LEVELS.size, HORIZON)), axis=1)
    paths = rng.gamma(3, 10, (n_rows, 2, HORIZON)).astype(np.float32)
    given = forecast_of(quantiles, [NAMES[i] for i in which[kept]], at[kept], 60, paths)
    actual = rng.gamma(3, 12, (n_rows, HORIZON)).astype(np.float32)
    return given, Outcome(actual, rng.random((n_rows, HORIZON)) < 0.9)


def steps(given: Forecast) -> np.ndarray:
    return given.origin_s // given.step_s


def test_it_is_the_loop_of_applying_and_observing_with_the_delay() -> None:
    given, outcome = record()
    found, after = replay(CALIBRATION, EMPTY, given, outcome)
    state, expected = EMPTY, {}
    for origin in range(N_ORIGINS + HORIZON):
        past = np.flatnonzero(steps(given) == origin - HORIZON)
        if past.size:
            at = np.array([NAMES.index(given.workloads[i]) for i in past])
            issued = expected[origin - HORIZON]
            learned = CALIBRATION.observe(state.rows(at), issued, outcome.rows(past))
            state = state.with_rows(at, learned)
        now = np.flatnonzero(steps(given) == origin)
        if now.size:
            at = np.array([NAMES.index(given.workloads[i]) for i in now])
            expected[origin] = CALIBRATION.apply(state.rows(at), given.rows(now))
            np.testing.assert_array_equal(found.quantiles[now], expected[origin].quantiles)
            np.testing.assert_array_equal(found.paths[now], expected[origin].paths)
    assert after.to_dicts() == state.to_dicts()
    assert np.abs(found.quantiles - given.quantiles).max() > 1


@pytest.mark.parametrize("learner", [CALIBRATION, Hedge()])
def test_outcomes_are_not_known_before_the_horizon_has_passed(
    learner: Calibration | Hedge,
) -> None:
    forecast, outcome = record()
    given = Experts(forecast, 2 * forecast.quantiles) if isinstance(learner, Hedge) else forecast
    is_late = steps(forecast) >= 20
    other = replace(outcome, actual=np.where(is_late[:, None], np.float32(1e4), outcome.actual))
    state = learner.empty_state(NAMES)
    before, _ = replay(learner, state, given, outcome)  # type: ignore[type-var]
    after, _ = replay(learner, state, given, other)  # type: ignore[type-var]
    is_blind = steps(forecast) < 20 + HORIZON
    np.testing.assert_array_equal(before.quantiles[is_blind], after.quantiles[is_blind])
    assert (before.quantiles[~is_blind] != after.quantiles[~is_blind]).any()


def test_the_order_of_rows_does_not_matter_and_the_given_state_is_left_alone() -> None:
    given, outcome = record()
    found, state = replay(CALIBRATION, EMPTY, given, outcome)
    assert (EMPTY.offsets == 0).all()
    order = np.random.default_rng(1).permutation(len(given))
    shuffled, other = replay(CALIBRATION, EMPTY, given.rows(order), outcome.rows(order))
    np.testing.assert_array_equal(shuffled.quantiles, found.quantiles[order])
    assert other.to_dicts() == state.to_dicts()


def test_two_halves_equal_the_whole_where_outcomes_are_known_between_them() -> None:
    given, outcome = record()
    is_kept = (steps(given) < 20) | (steps(given) >= 20 + HORIZON)
    kept = np.flatnonzero(is_kept)
    whole, state = replay(CALIBRATION, EMPTY, given.rows(kept), outcome.rows(kept))
    part, halves = EMPTY, []
    for rows in (np.flatnonzero(steps(given) < 20), np.flatnonzero(steps(given) >= 20 + HORIZON)):
        answer, part = replay(CALIBRATION, part, given.rows(rows), outcome.rows(rows))
        halves.append((rows, answer.quantiles))
    for rows, quantiles in halves:
        np.testing.assert_array_equal(whole.quantiles[np.searchsorted(kept, rows)], quantiles)
    assert part.to_dicts() == state.to_dicts()


def test_an_empty_record_changes_nothing() -> None:
    given, outcome = record()
    none = np.zeros(0, dtype=np.int64)
    found, state = replay(CALIBRATION, EMPTY, given.rows(none), outcome.rows(none))
    assert found.quantiles.shape == (0, LEVELS.size, HORIZON)
    assert (state.offsets == 0).all()


def test_a_warm_start_brings_a_narrow_forecast_to_nominal_coverage() -> None:
    rng = np.random.default_rng(2)
    grid = np.quantile(rng.normal(size=50_000), LEVELS)
    n_origins, names = 500, "abcdefgh"
    n_rows = len(names) * n_origins
    quantiles = np.tile((50 + 0.6 * grid)[None, :, None], (n_rows, 1, HORIZON))
    owners = [name for name in names for _ in range(n_origins)]
    given = forecast_of(quantiles, owners, np.tile(np.arange(n_origins), len(names)))

    def outcome() -> Outcome:
        actual = rng.normal(50, 1, (n_rows, HORIZON)).astype(np.float32)
        return Outcome(actual, np.ones(actual.shape, dtype=bool))

    _, state = replay(CALIBRATION, CALIBRATION.empty_state(names), given, outcome())
    later = outcome()
    found, _ = replay(CALIBRATION, state, given, later)
    share = (later.actual[:, None] <= found.quantiles).mean(axis=(0, 2))
    raw = (later.actual[:, None] <= given.quantiles).mean(axis=(0, 2))
    tail = LEVELS >= 0.95
    assert np.abs(share - LEVELS)[tail].max() < 0.006
    assert np.abs(raw - LEVELS)[tail].max() > 0.05


def test_a_record_that_does_not_fit_is_refused() -> None:
    given, outcome = record()
    first = np.zeros(2, dtype=np.int64)
    with pytest.raises(ShapeError, match="two forecasts at one origin"):
        replay(CALIBRATION, EMPTY, given.rows(first), outcome.rows(first))
    with pytest.raises(ShapeError, match="no workload 'd'"):
        replay(CALIBRATION, CALIBRATION.empty_state("abc"), given, outcome)
    with pytest.raises(ShapeError, match=r"\(140, 3\) is right"):
        replay(CALIBRATION, EMPTY, given, outcome.rows(first))
