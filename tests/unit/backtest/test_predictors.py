"""What forecasts in a back-test: chosen on the history, never on the replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecaster import PRIOR_RUNG, HistoryTooShort
from services.backtest import predictors
from services.backtest.predictors import Trained, Untrained, pick, train, without_model
from services.backtest.series import MeasuredFleet
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.training.verdict import Verdict
from services.kernel.settings import Settings
from services.simulator import HistoryRun, simulate_history
from services.simulator.fleet import Fleet, FleetOptions, generate_fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.meters import ServiceMeters

STEP_S = 600
PER_DAY = 86_400 // STEP_S
N_HISTORY = 5 * PER_DAY


def office_hours(n_steps: int, begins: float = 8.0) -> FloatArray:
    """A step up in the morning and one down in the evening, which only the day before tells."""
    hour = np.arange(n_steps) % PER_DAY * STEP_S / 3600
    noise = np.random.default_rng(1).lognormal(0.0, 0.04, n_steps)
    return np.where((hour >= begins) & (hour < 18.0), 100.0, 12.0) * noise


def uneven(n_steps: int) -> FloatArray:
    """A day's rise and fall whose size no other day tells."""
    rng, hour = np.random.default_rng(2), np.arange(n_steps) % PER_DAY / PER_DAY
    size = rng.uniform(0.5, 1.5, n_steps // PER_DAY + 1)[np.arange(n_steps) // PER_DAY]
    noise = rng.lognormal(0.0, 0.15, n_steps)
    return np.asarray(size * (50.0 + 40.0 * np.sin(2 * np.pi * hour)) * noise)


def fleet_of(*demand: FloatArray) -> Fleet:
    """Workloads whose demand is all that is measured of them."""
    n_replay = PER_DAY // 4
    options = FleetOptions(
        seed=3, n_workloads=len(demand), step_s=STEP_S, n_history=N_HISTORY, n_replay=n_replay
    )
    made = generate_fleet(options)
    rows = np.stack([one[: N_HISTORY + n_replay] for one in demand])
    return replace(
        made,
        workloads=tuple(
            replace(w, indicators=tuple(i for i in w.indicators if i.name == w.demand))
            for w in made.workloads
        ),
        demand=rows,
        values=rows[:, :, None].copy(),
        observed=np.ones((*rows.shape, 1), dtype=bool),
        has_closed_loop=False,
    )


def both() -> Fleet:
    n = N_HISTORY + PER_DAY
    return fleet_of(office_hours(n), uneven(n))


def picked(fleet: Fleet, untrained: Untrained | None = None) -> Trained:
    return pick(fleet, simulate_history(fleet), untrained or Untrained(), seed=7)


def rungs(fleet: Fleet, trained: Trained) -> list[str]:
    """Who answers at the replay's first step."""
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, simulate_history(fleet).ready_mean))
    windows = measured.windows(fleet.n_history, trained.config.window)
    found = trained.ladder.predict(windows, 12, 5, np.random.default_rng(1)).forecast
    assert found is not None
    return list(found.rung)


def test_who_answers_is_chosen_for_each_workload_as_a_fit_chooses() -> None:
    """A demand of office hours was answered by `smoothed`, which nobody had chosen."""
    fleet = both()
    trained = picked(fleet)
    assert trained.ladder.model is None
    assert rungs(fleet, trained) == ["seasonal_naive", PRIOR_RUNG]
    assert trained.ladder.simple_only == {fleet.workloads[0].key}
    assert "the prior for 1 of 2 workloads" in trained.reason
    assert "nothing was trained" in trained.reason


def test_what_is_replayed_is_never_chosen_by() -> None:
    """The same history before another replay."""
    fleet = both()
    other = fleet.demand.copy()
    other[:, N_HISTORY:] = other[::-1, N_HISTORY:] * 7.0
    changed = replace(fleet, demand=other, values=other[:, :, None].copy())
    one, two = picked(fleet), picked(changed)
    assert one.ladder.simple.picks == two.ladder.simple.picks
    assert one.ladder.simple_only == two.ladder.simple_only


def test_without_the_prior_the_best_simple_forecasters_answer() -> None:
    fleet = both()
    trained = picked(fleet, Untrained(prior=None))
    with_prior = picked(fleet)
    assert trained.ladder.prior is None
    assert trained.ladder.simple.picks == with_prior.ladder.simple.picks
    assert PRIOR_RUNG not in rungs(fleet, trained)
    assert trained.reason.startswith("the best simple forecaster of each workload")
    assert rungs(fleet, without_model(with_prior)) == rungs(fleet, trained)


def test_a_history_without_an_outcome_to_choose_on_is_answered_by_the_prior() -> None:
    fleet = both()
    seen = fleet.observed.copy()
    seen[:, N_HISTORY - PER_DAY : N_HISTORY] = False
    trained = picked(replace(fleet, observed=seen))
    assert (trained.ladder.simple.picks, trained.ladder.prior) == ({}, shipped_prior())
    assert "nothing was trained or chosen" in trained.reason


def test_settings_say_what_there_is_to_choose_from(settings: Settings) -> None:
    assert Untrained.of(settings).prior is shipped_prior()
    assert Untrained.of(settings) == Untrained()
    assert Untrained.of(settings.model_copy(update={"has_prior": False})).prior is None
    other = Untrained.of(settings.model_copy(update={"horizon_steps": 6, "stale_after_steps": 5}))
    assert (other.prior, other.config.window.horizon) == (None, 6)
    assert other.ladder({}).stale_after_steps == 5


class _Fitted:
    """Stands for a fit: what it was given, and a model."""

    def __init__(self) -> None:
        self.prior: Any = None
        self.longest = 0
        self.model = replace(shipped_prior(), version="fitted", name="model")

    def __call__(self, series: Any, config: Any, seed: int, **given: Any) -> _Fitted:
        self.prior, self.longest = given["prior"], max(s.n_steps for s in series)
        return self


def _verdict(is_better: bool, metrics: dict[str, Any]) -> Any:
    ladder = Untrained().ladder({})
    return lambda *_: Verdict(is_better, "as told", metrics, ladder)


@pytest.mark.parametrize("is_better", [True, False])
def test_a_fit_begins_with_the_prior_and_serves_where_it_beats_what_serves(
    monkeypatch: pytest.MonkeyPatch, is_better: bool
) -> None:
    fleet, fitted = both(), _Fitted()
    history: HistoryRun = simulate_history(fleet)
    office, uneven = (w.key for w in fleet.workloads)
    metrics = {"picks": {office: "seasonal_naive", uneven: "blend"}, "simple_only": [office]}
    monkeypatch.setattr(predictors, "fit", fitted)
    monkeypatch.setattr(predictors, "judge_fit", _verdict(is_better, metrics))
    trained = train(fleet, history, seed=7)
    assert fitted.prior is shipped_prior()
    assert fitted.longest < N_HISTORY
    assert (trained.ladder.model is fitted.model) == is_better
    expected = ["model", "model"] if is_better else ["seasonal_naive", PRIOR_RUNG]
    assert rungs(fleet, trained) == expected


def test_where_nothing_can_be_trained_the_choice_is_that_without_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise HistoryTooShort("none is long enough")

    monkeypatch.setattr(predictors, "fit", short)
    fleet = both()
    trained = train(fleet, simulate_history(fleet), seed=7)
    assert trained.ladder == picked(fleet).ladder
    assert trained.reason.startswith("no model (none is long enough): the prior for 1 of 2")
