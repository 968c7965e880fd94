"""Drift of inputs: calm demand stays quiet, changes are found in a stated number of steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecaster.errors import ConfigError, HistoryTooShort
from forecaster.online.drift import worst_drift
from forecaster.online.drift_input import (
    KINDS,
    LEVEL,
    MISSING,
    SHAPE,
    SPREAD,
    STUCK,
    InputDriftConfig,
    InputReference,
    input_reference,
    input_verdicts,
)
from forecaster.types import Series

STEP_S = 600
DAY = 144
N_HISTORY = 14 * DAY


def demand(seed: int, n_steps: int) -> np.ndarray:
    """A daily wave, quiet weekends, correlated noise."""
    rng = np.random.default_rng(seed)
    steps = np.arange(n_steps)
    noise = np.zeros(n_steps)
    for t in range(1, n_steps):
        noise[t] = 0.9 * noise[t - 1] + rng.normal(0, 0.05)
    weekend = steps // DAY % 7 >= 5
    return 100 * np.exp(0.5 * np.sin(2 * np.pi * steps / DAY) - 0.3 * weekend + noise)


def series(values: np.ndarray, first: int = 0) -> Series:
    column = values.astype(np.float32)[:, None]
    return Series("w", column, np.isfinite(column), ("rate",), (1,), 0, first * STEP_S, STEP_S)


def kinds_at(values: np.ndarray, end: int, known: InputReference) -> set[str]:
    window = series(values[end - DAY : end], end - DAY)
    return {v.kind for v in input_verdicts(window, known, {}) if v.is_drifted}


def test_calm_demand_stays_quiet() -> None:
    n_checks, n_alarms = 0, 0
    for seed in range(12):
        values = demand(seed, N_HISTORY + 7 * DAY)
        known = input_reference(series(values[:N_HISTORY]))
        for end in range(N_HISTORY + DAY, values.size, 24):
            n_alarms += bool(kinds_at(values, end, known))
            n_checks += 1
    assert n_checks > 300
    assert n_alarms / n_checks <= 0.03


CHANGES = {
    "twice the level": (lambda v, _rng: 2 * v, DAY // 2, {LEVEL, SPREAD, SHAPE}),
    "half the level": (lambda v, _rng: v / 2, DAY, {LEVEL, SPREAD, SHAPE}),
    "noise": (lambda v, rng: v * np.exp(rng.normal(0, 1, v.size)), DAY, {SPREAD, SHAPE}),
    "stuck": (lambda v, _rng: np.full(v.size, v[0]), 12, {STUCK}),
    "silent": (lambda v, _rng: np.full(v.size, np.nan), 30, {MISSING, SHAPE}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_within_a_stated_number_of_steps(name: str) -> None:
    change, n_most, kinds = CHANGES[name]
    for seed in range(6):
        values = demand(seed, N_HISTORY + 3 * DAY)
        start = N_HISTORY + DAY
        known = input_reference(series(values[:N_HISTORY]))
        values[start:] = change(values[start:], np.random.default_rng(seed))
        found = (kinds_at(values, start + n, known) & kinds for n in range(1, n_most + 1))
        assert any(found), (name, seed)


@pytest.mark.parametrize("wrong", [1e5, 8e18])
def test_wrong_samples_of_the_past_hide_no_drift(wrong: float) -> None:
    values = demand(0, N_HISTORY + DAY)
    values[[300, 301, 900]] = wrong
    known = input_reference(series(values[:N_HISTORY]))
    assert kinds_at(values, N_HISTORY + DAY, known) == set()
    assert {LEVEL, SPREAD} <= kinds_at(
        np.r_[values[:N_HISTORY], 3 * values[N_HISTORY:]], values.size, known
    )


def test_a_rare_burst_is_as_usual_as_it_was() -> None:
    """Of what is larger than nearly all of the past, both sides count the same."""
    values = demand(0, N_HISTORY + DAY)
    values[[300, 900, N_HISTORY + 50]] = 1e5
    known = input_reference(series(values[:N_HISTORY]))
    assert kinds_at(values, values.size, known) == set()


def test_verdicts_speak_and_keep_their_beginning() -> None:
    values = demand(0, N_HISTORY + 2 * DAY)
    known = input_reference(series(values[:N_HISTORY]))
    late = series(3 * values[N_HISTORY : N_HISTORY + DAY], N_HISTORY)
    by_kind = {v.kind: v for v in input_verdicts(late, known, {LEVEL: 600})}
    assert tuple(by_kind) == KINDS
    assert by_kind[LEVEL].since_s == 600
    assert by_kind[SPREAD].since_s == late.last_s
    assert "differs by a factor of" in by_kind[LEVEL].reason
    assert by_kind[MISSING].since_s is None
    found = worst_drift(list(by_kind.values()))
    assert found is not None
    assert found.severity > 1
    # What has ended is not remembered.
    calm = input_verdicts(series(values[N_HISTORY : N_HISTORY + DAY]), known, {LEVEL: 600})
    assert not any(v.is_drifted for v in calm)


def test_a_window_without_demand_is_missing_and_nothing_else() -> None:
    known = input_reference(series(demand(1, N_HISTORY)))
    silent = input_verdicts(series(np.full(DAY, np.nan)), known, {})
    assert [v.kind for v in silent if v.is_drifted] == [MISSING]
    # A sensor that has only just begun to report again: the steps before count as gaps.
    short = input_verdicts(series(demand(1, N_HISTORY)[-20:]), known, {})
    assert MISSING in {v.kind for v in short if v.is_drifted}


def test_demand_that_is_often_zero_or_constant_makes_no_drift_of_itself() -> None:
    rng, n_alarms = np.random.default_rng(2), 0
    for _ in range(20):
        values = rng.poisson(3, N_HISTORY + DAY) * (rng.random(N_HISTORY + DAY) < 0.1)
        known = input_reference(series(values[:N_HISTORY].astype(float)))
        window = series(values[N_HISTORY:].astype(float))
        n_alarms += any(v.is_drifted for v in input_verdicts(window, known, {}))
    assert n_alarms <= 1
    constant = input_reference(series(np.full(N_HISTORY, 5.0)))
    same = input_verdicts(series(np.full(DAY, 5.0)), constant, {})
    assert not any(v.is_drifted for v in same)
    doubled = input_verdicts(series(np.full(DAY, 10.0)), constant, {})
    assert LEVEL in {v.kind for v in doubled if v.is_drifted}


def test_a_reference_survives_json() -> None:
    known = input_reference(series(demand(3, N_HISTORY)))
    assert InputReference.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_too_short_a_history_is_named() -> None:
    with pytest.raises(HistoryTooShort, match="hold 3 windows of 144 steps"):
        input_reference(series(demand(4, 2 * DAY)))


@pytest.mark.parametrize("field", ["window", "min_windows", "margin", "log_ratio", "stuck"])
def test_wrong_settings_are_named(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}=0 must be"):
        InputDriftConfig(**{field: 0})
