"""Laws that every online learner keeps: calibration, the hedge and the test for drift."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecaster.errors import ShapeError
from forecaster.online.calibration import Calibration
from forecaster.online.drift import DriftTest
from forecaster.online.hedge import Experts, Hedge
from forecaster.online.learner import Learner, LearnerState, Outcome
from forecaster.types import Forecast
from tests.unit.forecaster.online.records import LEVELS, forecast_of

NAMES = tuple("abcd")
HORIZON = 4


@dataclass(frozen=True)
class Case:
    """A learner, and what it is given with a forecast.

    Attributes:
        learner: Settings under which workloads do not share what they learn.
        given: A forecast to what the learner reads of it.
    """

    learner: Learner[Any, Any, Any]
    given: Callable[[Forecast], Any]


def experts(forecast: Forecast) -> Experts:
    return Experts(forecast, (1.5 * forecast.quantiles + 1).astype(np.float32))


CASES = {
    "calibration": Case(Calibration(LEVELS, pool_ratio=0.0), lambda forecast: forecast),
    "hedge": Case(Hedge(), experts),
    "drift": Case(DriftTest(), lambda forecast: forecast),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
seeds = given(st.integers(0, 10_000))
few = settings(max_examples=15, deadline=None)


def batch(rng: np.random.Generator, origin_step: int = 0) -> tuple[Forecast, Outcome]:
    """Forecasts of all workloads from one origin, some of whose steps were observed."""
    quantiles = np.sort(rng.gamma(2, 10, (len(NAMES), LEVELS.size, HORIZON)), axis=1)
    actual = rng.gamma(2, 12, (len(NAMES), HORIZON)).astype(np.float32)
    observed = rng.random(actual.shape) < 0.8
    return forecast_of(quantiles, NAMES, origin_step), Outcome(actual, observed)


def lived(case: Case, rng: np.random.Generator, n_origins: int = 4) -> LearnerState:
    """A state in the middle of its life."""
    state = case.learner.empty_state(NAMES)
    for n in range(n_origins):
        forecast, outcome = batch(rng, 4 * n)
        state = case.learner.observe(state, case.given(forecast), outcome)
    return state  # type: ignore[no-any-return]


def stored(state: LearnerState) -> dict[str, dict[str, Any]]:
    """What is read back from the database."""
    rows = json.loads(json.dumps(state.to_dicts()))
    return dict(zip(state.workloads, rows, strict=True))


@every
@few
@seeds
def test_what_was_not_observed_changes_nothing_and_is_not_read(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = lived(case, rng)
    forecast, outcome = batch(rng, 99)
    unseen = Outcome(np.full_like(outcome.actual, np.nan), np.zeros_like(outcome.observed))
    after = case.learner.observe(state, case.given(forecast), unseen)
    assert after.to_dicts() == state.to_dicts()
    found = []
    for filler in (0.0, 1e6, np.nan):
        actual = np.where(outcome.observed, outcome.actual, np.float32(filler))
        given = case.given(forecast)
        found.append(case.learner.observe(state, given, replace(outcome, actual=actual)))
    assert found[0].to_dicts() == found[1].to_dicts() == found[2].to_dicts()
    assert found[0].to_dicts() != state.to_dicts()


@every
@few
@seeds
def test_the_order_of_workloads_does_not_matter(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, order = lived(case, rng), rng.permutation(len(NAMES))
    forecast, outcome = batch(rng, 99)
    after = case.learner.observe(state, case.given(forecast), outcome)
    shuffled = state.rows(order)
    other = case.learner.observe(shuffled, case.given(forecast.rows(order)), outcome.rows(order))
    assert shuffled.workloads == other.workloads == tuple(NAMES[i] for i in order)
    for name, array in after.rows(order).arrays().items():
        np.testing.assert_allclose(getattr(other, name), array, rtol=1e-9, atol=1e-12)


@every
@few
@seeds
def test_a_workload_learns_the_same_alone(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, own = lived(case, rng), np.array([2])
    forecast, outcome = batch(rng, 99)
    after = case.learner.observe(state, case.given(forecast), outcome)
    alone = case.learner.observe(state.rows(own), case.given(forecast.rows(own)), outcome.rows(own))
    for name, array in after.rows(own).arrays().items():
        np.testing.assert_allclose(getattr(alone, name), array, rtol=1e-9, atol=1e-12)


@every
@few
@seeds
def test_a_state_survives_its_stored_form_and_an_unknown_workload_starts_empty(
    case: Case, seed: int
) -> None:
    state = lived(case, np.random.default_rng(seed))
    back = case.learner.from_dicts(("new", "d", "a"), stored(state))
    assert back.to_dicts()[1:] == [state.to_dicts()[3], state.to_dicts()[0]]
    assert back.to_dicts()[:1] == case.learner.empty_state(("new",)).to_dicts()


@every
def test_a_state_goes_on_from_its_stored_form(case: Case) -> None:
    rng = np.random.default_rng(5)
    state = through = case.learner.empty_state(NAMES)
    for n in range(30):
        forecast, outcome = batch(rng, 4 * n)
        state = case.learner.observe(state, case.given(forecast), outcome)
        through = case.learner.observe(through, case.given(forecast), outcome)
        through = case.learner.from_dicts(NAMES, stored(through))
    for name, array in state.arrays().items():
        np.testing.assert_allclose(getattr(through, name), array, rtol=1e-5, atol=1e-4)


@every
def test_a_stored_state_of_another_shape_starts_empty(case: Case) -> None:
    rows = stored(lived(case, np.random.default_rng(0)))
    for name, value in rows["a"].items():
        if isinstance(value, list):
            wrong = {"a": rows["a"] | {name: [*value, value[0]]}}
            empty = case.learner.empty_state(("a",))
            assert case.learner.from_dicts(("a",), wrong).to_dicts() == empty.to_dicts()


@every
@pytest.mark.parametrize("spoilt", [None, "much", [], {"a": 1}, float("nan"), 1e400])
def test_a_stored_state_without_numbers_starts_empty(case: Case, spoilt: object) -> None:
    """JSON has no word for NaN: what was none is stored as null."""
    rows = stored(lived(case, np.random.default_rng(0)))
    empty = case.learner.empty_state(("a",)).to_dicts()
    for name, value in rows["a"].items():
        bad = [spoilt] * len(value) if isinstance(value, list) else spoilt
        wrong = {"a": rows["a"] | {name: bad}}
        assert case.learner.from_dicts(("a",), wrong).to_dicts() == empty, name
    assert case.learner.from_dicts(("a",), {"a": spoilt}).to_dicts() == empty  # type: ignore[dict-item]


@every
def test_a_state_of_other_workloads_is_refused(case: Case) -> None:
    forecast, outcome = batch(np.random.default_rng(0))
    for names in (NAMES[:3], NAMES[::-1]):
        state = case.learner.empty_state(names)
        with pytest.raises(ShapeError, match="same workloads in order"):
            case.learner.apply(state, case.given(forecast))
        with pytest.raises(ShapeError, match="same workloads in order"):
            case.learner.observe(state, case.given(forecast), outcome)


@every
def test_observing_leaves_the_state_before_alone(case: Case) -> None:
    rng = np.random.default_rng(1)
    state = lived(case, rng)
    before = state.to_dicts()
    forecast, outcome = batch(rng, 99)
    after = case.learner.observe(state, case.given(forecast), outcome)
    part = np.array([1])
    assert state.with_rows(part, after.rows(part)).to_dicts() != before
    case.learner.apply(after, case.given(forecast))
    assert state.to_dicts() == before


def test_an_empty_state_changes_no_forecast_but_by_the_prior() -> None:
    forecast, _ = batch(np.random.default_rng(2))
    calibration, hedge = CASES["calibration"].learner, Hedge(prior=1e-9)
    same = calibration.apply(calibration.empty_state(NAMES), forecast)
    np.testing.assert_array_equal(same.quantiles, forecast.quantiles)
    mixed = hedge.apply(hedge.empty_state(NAMES), experts(forecast))
    np.testing.assert_allclose(mixed.quantiles, forecast.quantiles, rtol=1e-6)
    verdicts = DriftTest().apply(DriftTest().empty_state(NAMES), forecast)
    assert [v.is_drifted for v in verdicts] == [False] * len(NAMES)


def test_an_outcome_of_two_shapes_is_refused() -> None:
    with pytest.raises(ShapeError, match="must both be"):
        Outcome(np.zeros((2, 3), dtype=np.float32), np.ones((2, 4), dtype=bool))
