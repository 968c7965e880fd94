"""An incumbent is judged on steps that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from forecaster import FitReport, FitResult, Forecast, ForecasterConfig, Series, Windows
from forecaster.choice.baselines import POOLS
from forecaster.config import QUANTILE_LEVELS
from services.forecasting.training.verdict import TRAINED_UNTIL, Incumbent, judge_fit

STEP_S = 600
N_STEPS = 900
N_HELD = 120
CONFIG = ForecasterConfig()
START_S = 1_767_571_200
REPORT = FitReport(0.1, 0.1, {}, {}, 1, 1, 1, None, 0.0, None, {}, ())
NEXT = np.arange(1, CONFIG.window.horizon + 1)


def noisy(name: str, seed: int) -> Series:
    """Demand that no simple forecaster foresees."""
    values = np.random.default_rng(seed).uniform(50.0, 150.0, (N_STEPS, 1)).astype(np.float32)
    return Series(name, values, np.ones((N_STEPS, 1), bool), ("rps",), (1,), 0, START_S, STEP_S)


SERIES = [noisy("a", 1), noisy("b", 2)]
HELD_FROM_S = START_S + (N_STEPS - N_HELD - 1) * STEP_S
"""The newest step that is not held out."""


@dataclass(frozen=True)
class Learned:
    """A model that has learned by heart what it was trained on, and errs by so much after that."""

    version: str
    trained_until_s: int
    error: float
    config: ForecasterConfig = CONFIG
    name: str = "model"

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        step = (windows.origin_s - START_S) // STEP_S
        ahead = np.minimum(step[:, None] + NEXT[:horizon], N_STEPS - 1)
        by_name = {one.workload: one.values[:, 0] for one in SERIES}
        truth = np.stack([by_name[w][row] for w, row in zip(windows.workloads, ahead, strict=True)])
        known = START_S + ahead * STEP_S <= self.trained_until_s
        level = (truth + np.where(known, 0.0, self.error)).astype(np.float32)
        levels = np.array(QUANTILE_LEVELS)
        n = len(windows.workloads)
        return Forecast(
            windows.workloads,
            windows.origin_s,
            STEP_S,
            levels,
            np.repeat(level[:, None], levels.size, axis=1),
            np.zeros((n, n_paths, horizon), np.float32),
            self.version,
            ("model",) * n,
            ("",) * n,
        )


def judged(incumbent: Incumbent, error: float = 10.0) -> tuple[bool, str, dict[str, Any]]:
    model: Any = Learned("new", HELD_FROM_S, error)
    found = judge_fit(SERIES, FitResult(model, REPORT), incumbent, N_HELD, 7)
    return found.is_better, found.reason, found.metrics


def trained_until(n_unknown: int, error: float = 20.0) -> Any:
    """An incumbent that knows all but the last so many steps."""
    return Learned("old", START_S + (N_STEPS - n_unknown - 1) * STEP_S, error)


def test_steps_that_the_incumbent_was_trained_on_do_not_count() -> None:
    """After a history was filled in, it had learned most of the held-out part by heart."""
    old = trained_until(40)
    assert not judged(Incumbent(old))[0], "where that is not known it is judged as it was"
    is_better, reason, metrics = judged(Incumbent(old, old.trained_until_s))
    assert is_better
    assert "on the last 40 steps, which it was not trained on" in reason
    assert metrics[TRAINED_UNTIL] == HELD_FROM_S
    assert not judged(Incumbent(old, old.trained_until_s), error=25.0)[0]


@pytest.mark.parametrize("n_unknown", [0, 2 * CONFIG.window.horizon - 1])
def test_the_incumbent_stays_where_it_knows_nearly_all_of_what_is_judged_on(
    n_unknown: int,
) -> None:
    old = trained_until(n_unknown)
    is_better, reason, _ = judged(Incumbent(old, old.trained_until_s))
    assert not is_better
    assert (
        f"incumbent old stays: it was trained on all but the last {n_unknown} of the {N_HELD} "
        "steps that are judged on (24 are right)" in reason
    )


@pytest.mark.parametrize("n_later", [0, 30])
def test_one_that_was_fitted_on_earlier_steps_is_judged_on_all_that_are_held_out(
    n_later: int,
) -> None:
    old = trained_until(N_HELD + n_later)
    is_better, reason, _ = judged(Incumbent(old, old.trained_until_s))
    assert is_better
    assert "not trained on" not in reason


@dataclass(frozen=True)
class Lucky(Learned):
    """It errs but for an hour."""

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        found = super().predict(windows, horizon, n_paths, rng)
        step = (windows.origin_s - START_S) // STEP_S - (N_STEPS - N_HELD)
        is_lucky = (step >= 46) & (step < 53)  # within one of ten blocks
        right = found.quantiles - np.float32(self.error)
        quantiles = np.where(is_lucky[:, None, None], right, found.quantiles)
        return replace(found, quantiles=quantiles)


@pytest.mark.parametrize(("error", "is_better"), [(20.0, False), (15.0, True)])
def test_a_lead_that_may_be_luck_replaces_no_incumbent(error: float, is_better: bool) -> None:
    """The incumbent errs by 20. The new one does, too, but for an hour; or by less all the time."""
    old = Incumbent(trained_until(N_HELD, error=20.0))
    model: Any = Lucky("new", HELD_FROM_S, error)
    found = judge_fit(SERIES, FitResult(model, REPORT), old, N_HELD, 7)
    assert found.metrics["backtest_skill"] > 0
    assert found.is_better == is_better
    assert ("may be luck" in found.reason) != is_better


def test_a_lead_over_the_simple_forecasters_that_may_be_luck_is_none() -> None:
    """It errs as much as they do, but for one hour."""
    errors = np.arange(20.0, 60.0, 0.5)
    error = next(e for e in errors if skill_of(Learned("new", HELD_FROM_S, float(e))) < 0)
    model: Any = Lucky("new", HELD_FROM_S, float(error))
    found = judge_fit(SERIES, FitResult(model, REPORT), None, N_HELD, 7)
    assert found.metrics["backtest_skill"] > 0
    assert not found.is_better
    assert "may be luck" in found.reason


def skill_of(model: Any) -> float:
    found = judge_fit(SERIES, FitResult(model, REPORT), None, N_HELD, 7)
    return float(found.metrics["backtest_skill"])


def test_who_was_too_young_to_be_fitted_has_a_pick_like_all_that_were_scored() -> None:
    """It was kept from the prior, and had none: `smoothed` answered, which nobody had chosen."""
    report = replace(REPORT, picks={"a": "none of them", "gone": "last_value"}, skipped={"b": "no"})
    model: Any = Learned("new", HELD_FROM_S, 10.0)
    prior: Any = Learned("prior", HELD_FROM_S, 500.0)
    found = judge_fit(SERIES, FitResult(model, report), None, N_HELD, 7, prior)
    picks = found.metrics["picks"]
    assert found.metrics["simple_only"] == ["a", "b"]
    assert picks.keys() == {"a", "b", "gone"}
    assert {picks["a"], picks["b"]} <= set(POOLS)
    assert picks["gone"] == "last_value", "it had no outcome to choose by: the fit's own pick stays"
    assert found.ladder.simple.picks == picks
    assert found.ladder.simple_only == {"a", "b"}, "as the registry's ladder has it"
