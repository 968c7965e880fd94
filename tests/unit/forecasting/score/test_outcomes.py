"""What came of forecasts: only what was observed counts, and the steps before give the last one."""

from __future__ import annotations

import numpy as np

from services.forecasting.rows.translate import SAMPLE, IndicatorKey
from services.forecasting.score.outcomes import load_outcomes

DEMAND, LOAD = IndicatorKey(1, "load_rps"), IndicatorKey(1, "kv_token_seconds")


def packed(*records: tuple[int, float]) -> bytes:
    return np.array(list(records), dtype=SAMPLE).tobytes()


def test_steps_after_the_origin_are_outcomes_and_those_up_to_it_give_the_last_value() -> None:
    samples = {DEMAND: packed((-3, 5), (-1, 6), (1, 7), (3, 0))}
    found = load_outcomes(samples, [DEMAND], 4)
    assert found.outcome.actual.tolist() == [[7, 0, 0, 0]]
    assert found.outcome.observed.tolist() == [[True, False, True, False]]
    assert found.last.tolist() == [6]


def test_an_indicator_without_samples_is_unknown_not_zero() -> None:
    samples = {LOAD: packed((2, 9)), DEMAND: b""}
    found = load_outcomes(samples, [DEMAND, LOAD], 2)
    assert found.outcome.observed.tolist() == [[False, False], [False, True]]
    assert found.outcome.actual[1].tolist() == [0, 9]
    assert np.isnan(found.last).all()


def test_without_keys_there_are_no_rows() -> None:
    found = load_outcomes({}, [], 3)
    assert found.outcome.actual.shape == (0, 3)
