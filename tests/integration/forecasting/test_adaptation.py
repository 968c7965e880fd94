"""The model is updated between fits, and serves only where the update is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from forecaster.config import ForecasterConfig
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.score import drift as service_drift
from services.forecasting.training import adapt as service_adapt, fit as service_fit
from services.kernel.clock import FixedClock
from services.kernel.jobs import FORECAST_ADAPT, FORECAST_FIT
from tests.integration.forecasting.fitted_fleet import (
    FITTED_AT,
    N_AFTER,
    STEP,
    STEP_S,
    add_demand,
    add_workload,
    demand,
    promote,
    rows_of,
)

pytestmark = pytest.mark.integration


def changed_fleet(app: Forecasting) -> list[int]:
    """The fleet, and a workload unknown to the model, on a pattern it has not seen."""
    ids = []
    for i, name in enumerate(["w0", "w1", "w2", "new"]):
        values = demand(i)
        steps = np.arange(N_AFTER + 140)
        level = 100 * np.where(steps // 2 % 2 == 0, 0.3, 2.0)
        values[-steps.size :] = level * np.random.default_rng(i).uniform(0.97, 1.03, steps.size)
        ids.append(add_workload(app.engine, name))
        add_demand(app.engine, ids[-1], values)
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(N_AFTER * STEP_S)
    return ids


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates that learn much in little time."""
    plain = service_adapt.adapt_config
    monkeypatch.setattr(
        service_adapt,
        "adapt_config",
        lambda settings, step_s: replace(
            plain(settings, step_s),
            recent_steps=160,
            max_windows=240,
            batch=16,
            epochs=3,
            learning_rate=5e-3,
        ),
    )


@pytest.mark.usefixtures("brisk")
def test_an_update_that_is_better_serves_with_its_parents_states(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    parent = promote(app, trained)
    ids = changed_fleet(app)
    with app.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO calibration_states VALUES (:i, :v, '{\"offsets\": []}', now())"),
            {"i": ids[0], "v": parent},
        )
        connection.execute(
            text(
                "INSERT INTO drift_states (workload_id, model_version, state, updated_at) VALUES "
                '(:i, :v, \'{"pit": {"n_tested": 9}, "reference": null, "since": {}}\', now())'
            ),
            {"i": ids[0], "v": parent},
        )
    outcome = service_adapt.adapt_model(app)
    assert outcome.status == "promoted", outcome.reason
    assert outcome.reason.startswith(f"adapted from {parent}: held-out loss")
    rows = {r.version: r for r in rows_of(app.engine, "SELECT * FROM models")}
    assert {v: r.status for v, r in rows.items()} == {
        parent: "retired",
        outcome.version: "promoted",
    }
    new = rows[outcome.version]
    assert new.reason == outcome.reason
    assert new.metrics["adapted_from"] == parent
    assert new.metrics["added"] == ["demo/new"]
    assert new.metrics["picks"] == {"demo/w0": "last_value"}
    assert "demo/new" in new.metrics["rungs"]
    (state,) = rows_of(
        app.engine, f"SELECT state FROM calibration_states WHERE model_version = '{new.version}'"
    )
    assert state.state == {"offsets": []}
    (state,) = rows_of(
        app.engine, f"SELECT state FROM drift_states WHERE model_version = '{new.version}'"
    )
    assert state.state == {"reference": None}

    origin = FITTED_AT + (N_AFTER - 1) * STEP
    service.forecast_shard(app, 0, origin)
    versions = rows_of(app.engine, "SELECT DISTINCT model_version FROM forecasts")
    assert [r.model_version for r in versions] == [outcome.version]
    assert service_fit.roll_back(app, "test") == parent


@pytest.mark.usefixtures("brisk")
def test_an_update_whose_parent_was_replaced_stays_in_the_shadow(
    app: Forecasting,
    trained: tuple[bytes, str, ForecasterConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = promote(app, trained)
    changed_fleet(app)
    plain = service_adapt.update

    def replaced_meanwhile(*args: object) -> object:
        with app.engine.begin() as connection:
            connection.execute(text("UPDATE models SET status = 'retired', retired_at = now()"))
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(service_adapt, "update", replaced_meanwhile)
    outcome = service_adapt.adapt_model(app)
    assert outcome.status == "shadow"
    assert f"{parent} serves no longer" in outcome.reason


def test_an_update_that_does_not_help_leaves_the_registry_alone(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(app, trained)
    changed_fleet(app)
    plain = service_adapt.adapt_config
    monkeypatch.setattr(
        service_adapt,
        "adapt_config",
        lambda settings, step_s: replace(plain(settings, step_s), min_gain=10.0, max_windows=32),
    )
    outcome = service_adapt.adapt_model(app)
    assert outcome.status == "unchanged"
    assert "kept as it was" in outcome.reason
    assert len(rows_of(app.engine, "SELECT id FROM models")) == 1


def test_nothing_is_updated_without_a_model_or_during_a_fit(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    outcome = service_adapt.adapt_model(app)
    assert (outcome.status, outcome.version) == ("no_model", "")
    promote(app, trained)
    with registry.fit_lock(app.engine) as is_mine:
        assert is_mine
        assert service_adapt.adapt_model(app).status == "busy"
    outcome = service_adapt.adapt_model(app)  # no workload has any history
    assert outcome.status == "unchanged"
    assert "no recent windows" in outcome.reason


def test_the_jobs_have_their_tasks(app: Forecasting, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.forecasting import deps
    from services.kernel.celery_app import make_celery

    celery = make_celery(app.settings)
    celery.loader.import_module("services.forecasting.tasks")
    monkeypatch.setattr(deps, "get_forecasting", lambda: app)
    celery.tasks[FORECAST_ADAPT]()
    asked: list[object] = []
    monkeypatch.setattr(
        service_drift, "fit_as_requested", lambda _app, request_id: asked.append(request_id)
    )
    celery.tasks[FORECAST_FIT]()
    celery.tasks[FORECAST_FIT](request_id=3)
    assert asked == [None, 3]
