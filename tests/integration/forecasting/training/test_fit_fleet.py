"""A fit of a fleet of which one workload cannot be read, or is changed while the fit runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, text

from forecaster import BestSimple, FitResult, Ladder, Series
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.rows import repository
from services.forecasting.training import fit as service_fit
from services.forecasting.training.fit import FitOutcome, fit_models
from services.forecasting.training.verdict import Verdict
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import ORIGIN, STEP, STEP_S, fill

pytestmark = pytest.mark.integration
LEARNED = {"n_seen": 99}


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    few = settings.model_copy(update={"step_s": STEP_S})
    return make_forecasting(few, RecordingSender(), FixedClock(ORIGIN + STEP))


@pytest.fixture
def fitted(app: Forecasting, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FitOutcome]:
    """Fits a model that is better than what served and teaches each history something."""
    model = shipped_prior()
    ladder = Ladder(model, BestSimple({}, model.config.window))

    def run(meanwhile: Callable[[], object] = lambda: None) -> FitOutcome:
        def train(series: Sequence[Series], *_: object, **__: object) -> Any:
            meanwhile()
            assert series
            return FitResult(model, None)  # type: ignore[arg-type]  # nobody reads the report

        def states(series: Sequence[Series], *_: object) -> dict[str, dict[str, Any]]:
            return {one.workload: LEARNED for one in series}

        monkeypatch.setattr(service_fit, "fit", train)
        verdict = Verdict(True, "better", {}, ladder)
        monkeypatch.setattr(service_fit, "judge_fit", lambda *_: verdict)
        monkeypatch.setattr(service_fit, "warm_states", states)
        return fit_models(app)

    return run


def change(app: Forecasting, workload_id: int, path: str, value: str) -> None:
    with app.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, CAST(:path AS text[]), "
                "to_jsonb(CAST(:value AS text))), updated_at = :at WHERE id = :id"
            ),
            {"path": path, "value": value, "id": workload_id, "at": app.clock.now()},
        )


def learned(app: Forecasting, ids: Sequence[int], version: str) -> set[int]:
    """The workloads whose next forecasts are calibrated by what the fit taught."""
    with app.engine.connect() as connection:
        return set(repository.load_calibration(connection, ids, version))


def test_a_workload_that_cannot_be_read_keeps_no_other_from_its_model(
    app: Forecasting, fitted: Callable[..., FitOutcome]
) -> None:
    good, bad, last = fill(app.engine)
    change(app, bad, "{demand}", "no_such_indicator")
    outcome = fitted()
    assert (outcome.status, outcome.reason) == ("promoted", "better")
    assert learned(app, [good, bad, last], outcome.version) == {good, last}


def test_one_that_is_spoilt_while_the_fit_runs_keeps_no_other_from_it(
    app: Forecasting, fitted: Callable[..., FitOutcome]
) -> None:
    good, bad, last = fill(app.engine)
    outcome = fitted(lambda: change(app, bad, "{demand}", "no_such_indicator"))
    assert (outcome.status, outcome.reason) == ("promoted", "better")
    assert learned(app, [good, last], outcome.version) == {good, last}


@pytest.mark.parametrize(
    ("path", "value"),
    [("{indicators,0,query}", "60 * sum(x)"), ("{demand}", "concurrency_requests")],
)
def test_what_was_learned_of_another_demand_corrects_no_forecast_of_the_new_one(
    app: Forecasting, fitted: Callable[..., FitOutcome], path: str, value: str
) -> None:
    changed, same = fill(app.engine, 2)
    outcome = fitted(lambda: change(app, changed, path, value))
    assert outcome.status == "promoted"
    assert learned(app, [changed, same], outcome.version) == {same}
