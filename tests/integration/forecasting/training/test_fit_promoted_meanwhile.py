"""Two that decide at once what serves: a fit and a person, and two persons."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from forecaster import BestSimple, FitResult, Ladder
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.training import fit as service_fit
from services.forecasting.training.fit import FitOutcome, fit_models, promote, roll_back
from services.forecasting.training.verdict import Verdict
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.fitted_fleet import rows_of
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 9, tzinfo=UTC)


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    """A registry with the models a, b and c, of which a serves and served after b."""
    app = make_forecasting(settings, RecordingSender(), FixedClock(AT))
    with app.engine.begin() as connection:
        for version in "abc":
            model = registry.NewModel(version, registry.SHADOW, "fit", {}, {"picks": {}}, b"x")
            registry.insert_model(connection, model, AT)
    for version in "ba":
        promote(app, version, "by hand")
    return app


def statuses(app: Forecasting) -> dict[str, str]:
    return {row.version: row.status for row in rows_of(app.engine, "SELECT * FROM models")}


@pytest.fixture
def fitted(app: Forecasting, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FitOutcome]:
    """Fits a model that is better than what served, while something else is done."""
    model = shipped_prior()
    ladder = Ladder(model, BestSimple({}, model.config.window))

    def run(meanwhile: Callable[[], object] = lambda: None) -> FitOutcome:
        def train(*_: object, **__: object) -> Any:
            meanwhile()
            return FitResult(model, None)  # type: ignore[arg-type]  # nobody reads the report

        monkeypatch.setattr(service_fit, "fit", train)
        verdict = Verdict(True, "better", {}, ladder)
        monkeypatch.setattr(service_fit, "judge_fit", lambda *_: verdict)
        monkeypatch.setattr(service_fit, "warm_states", lambda *_: {})
        return fit_models(app)

    return run


def test_nobody_meddles_and_the_better_model_serves(
    app: Forecasting, fitted: Callable[..., FitOutcome]
) -> None:
    outcome = fitted()
    assert (outcome.status, outcome.reason) == ("promoted", "better")
    expected = {"a": "retired", "b": "retired", "c": "shadow", outcome.version: "promoted"}
    assert statuses(app) == expected


@pytest.mark.parametrize(
    ("meanwhile", "serving"),
    [(lambda app: roll_back(app, "a is bad"), "b"), (lambda app: promote(app, "c", "try"), "c")],
)
def test_what_somebody_lets_serve_during_a_fit_stays(
    app: Forecasting,
    fitted: Callable[..., FitOutcome],
    meanwhile: Callable[[Forecasting], object],
    serving: str,
) -> None:
    outcome = fitted(lambda: meanwhile(app))
    found = statuses(app)
    assert (found[serving], found[outcome.version], outcome.status) == (
        "promoted",
        "shadow",
        "shadow",
    )
    assert f"{serving} serves now where a did" in outcome.reason
    (row,) = rows_of(app.engine, f"SELECT * FROM models WHERE version = '{outcome.version}'")
    assert row.reason == outcome.reason


def test_of_a_model_that_was_there_the_present_status_is_told(
    app: Forecasting, fitted: Callable[..., FitOutcome]
) -> None:
    version = fitted().version
    roll_back(app, "it was not good")
    again = fitted()
    assert (again.version, again.status) == (version, "retired")
    assert "this very model was there" in again.reason
    assert statuses(app)[version] == "retired", "nothing but words has changed"


@pytest.mark.parametrize("has_served", [True, False])
def test_of_two_that_promote_at_once_both_do_and_the_later_one_serves(
    app: Forecasting, has_served: bool
) -> None:
    if not has_served:
        with app.engine.begin() as connection:
            connection.execute(text("UPDATE models SET status = 'shadow'"))
    with ThreadPoolExecutor(1) as pool:
        with app.engine.begin() as connection:
            registry.set_promoted(connection, 2, "first", AT)
            later: Future[None] = pool.submit(promote, app, "c", "second", "ada")
            eventually(lambda: is_waiting(app.engine), "that the later one waits")
        later.result(timeout=60)
    assert {k for k, v in statuses(app).items() if v == "promoted"} == {"c"}
    (audit,) = rows_of(app.engine, "SELECT before, after FROM audit WHERE actor = 'ada'")
    assert (audit.before["serving"], audit.after["serving"]) == ("b", "c")


def is_waiting(engine: Engine) -> bool:
    query = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
    return bool(rows_of(engine, query)[0].n)
