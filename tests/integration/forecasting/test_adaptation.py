"""Drift is watched while scoring, asks for fits once, and the model is updated between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from forecaster.checkpoint import to_bytes
from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from forecaster.fit import fit
from forecaster.types import Series
from services.forecasting import repository_models as registry
from services.forecasting import service, service_adapt, service_drift, service_fit, service_score
from services.forecasting.deps import make_forecasting
from services.forecasting.service import Forecasting
from services.forecasting.service_fit import FitOutcome
from services.forecasting.translate import forecaster_config
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.db.schema import indicators
from services.kernel.db.session import CopyTarget, copy_rows, unit_of_work
from services.kernel.jobs import FORECAST_ADAPT, FORECAST_FIT, RecordingSender
from services.kernel.settings import Settings

pytestmark = pytest.mark.integration

STEP_S = 3600
STEP = timedelta(seconds=STEP_S)
N_TRAINED, N_AFTER = 400, 60
START = datetime(2026, 1, 5, tzinfo=UTC)
FITTED_AT = START + N_TRAINED * STEP
NAME = "request_rate_rps"
SPEC = {
    "target": "Deployment/w",
    "demand": NAME,
    "indicators": [{"name": NAME, "level": 1}],
    "capacity": {"per_replica": 10.0},
}
N_WORKLOADS = 3


def demand(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = np.arange(N_TRAINED + N_AFTER)
    wave = 100 + 50 * np.sin(2 * np.pi * steps / 24 + seed)
    return wave * rng.uniform(0.9, 1.1, steps.size)


def small(settings: Settings) -> Settings:
    changes = {"n_paths": 20, "step_s": STEP_S, "context_steps": 48, "horizon_steps": 4}
    return settings.model_copy(update=changes)


@pytest.fixture(scope="module")
def trained() -> tuple[bytes, str, ForecasterConfig]:
    """Bytes, version and configuration of a model of the calm fleet."""
    window = forecaster_config(small(Settings())).window
    config = ForecasterConfig(
        window,
        ModelConfig(width=16, hidden=24, heads=2, flow_layers=0, members=1),
        TrainConfig(max_windows=300, max_validation_windows=100, batch=64, epochs=2),
    )
    names = [f"demo/w{i}" for i in range(N_WORKLOADS)]
    model = fit([_series(n, demand(i)) for i, n in enumerate(names)], config, seed=1).model
    return to_bytes(model), model.version, config


def _series(name: str, values: np.ndarray) -> Series:
    column = values[:N_TRAINED, None].astype(np.float32)
    seen = np.ones(column.shape, dtype=bool)
    return Series(name, column, seen, (NAME,), (1,), 0, int(START.timestamp()), STEP_S)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def clock_at_fit() -> FixedClock:
    return FixedClock(FITTED_AT)


@pytest.fixture
def app(
    database: Engine, settings: Settings, sender: RecordingSender, clock_at_fit: FixedClock
) -> Forecasting:
    return make_forecasting(small(settings), sender, clock_at_fit)


def add_workload(engine: Engine, name: str) -> int:
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            ),
            {"name": name, "step_s": STEP_S, "spec": json.dumps(SPEC), "at": START},
        ).scalar_one()


def add_demand(engine: Engine, workload_id: int, values: np.ndarray) -> None:
    rows = [
        (workload_id, NAME, START + t * STEP, float(v) if np.isfinite(v) else None, bool(v == v))
        for t, v in enumerate(values)
    ]
    columns = ("workload_id", "indicator", "step_at", "value", "is_observed")
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(indicators, columns, "error"), rows)


def promote(app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]) -> str:
    artifact, version, config = trained
    metrics = {"picks": {"demo/w0": "last_value"}, "rungs": {}, "reasons": {}, "n_workloads": 3}
    model = registry.NewModel(version, "shadow", "fit", config.to_dict(), metrics, artifact)
    with unit_of_work(app.engine) as work:
        model_id = registry.insert_model(work.connection, model, FITTED_AT)
        assert model_id is not None
        registry.set_promoted(work.connection, model_id, "fit", FITTED_AT)
    return version


def rows_of(engine: Engine, query: str) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def serve(app: Forecasting, values: Sequence[np.ndarray], n_steps: int = N_AFTER) -> list[int]:
    """Forecast every step after the fit, then score all of it in one run."""
    ids = [add_workload(app.engine, f"w{i}") for i in range(len(values))]
    for workload_id, one in zip(ids, values, strict=True):
        add_demand(app.engine, workload_id, one)
    for t in range(n_steps):
        service.forecast_shard(app, 0, FITTED_AT + (t - 1) * STEP)
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(n_steps * STEP_S)
    assert service_score.score_forecasts(app) > 0
    return ids


def fits_asked(sender: RecordingSender) -> list[dict]:
    return [dict(job.payload) for job in sender.sent if job.name == FORECAST_FIT]


def gauge(workload: int, kind: str) -> float | None:
    labels = {"namespace": "demo", "workload": f"w{workload}", "kind": kind}
    return telemetry.REGISTRY.get_sample_value("harmony_forecast_drift", labels)


def test_calm_workloads_are_watched_and_nothing_is_asked(
    app: Forecasting, sender: RecordingSender, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    version = promote(app, trained)
    ids = serve(app, [demand(i) for i in range(N_WORKLOADS)])
    states = rows_of(app.engine, "SELECT * FROM drift_states ORDER BY workload_id")
    assert [r.workload_id for r in states] == ids
    assert {r.model_version for r in states} == {version}
    for i, row in enumerate(states):
        assert row.kind is None
        assert row.drifted_since is None
        assert row.state["pit"]["n_tested"] >= (N_AFTER - 4) // 3 - 1
        assert row.state["reference"]["window"] == 24
        assert row.state["since"] == {}
        for kind in ("pit", "level", "spread", "shape", "missing", "stuck"):
            shown = gauge(i, kind)
            assert shown is not None
            assert 0 <= shown < 1
    assert fits_asked(sender) == []
    assert rows_of(app.engine, "SELECT * FROM refit_requests") == []


def test_a_drifted_fleet_asks_for_one_fit_and_says_why(
    app: Forecasting,
    sender: RecordingSender,
    trained: tuple[bytes, str, ForecasterConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = promote(app, trained)
    values = [demand(i) for i in range(N_WORKLOADS)]
    for one in values[:2]:
        one[N_TRAINED:] *= 3
    began = telemetry.REGISTRY.get_sample_value("harmony_forecast_drifts_total", {"kind": "level"})
    ids = serve(app, values)
    drifted = rows_of(app.engine, "SELECT * FROM drift_states WHERE kind IS NOT NULL")
    assert {r.workload_id for r in drifted} == set(ids[:2])
    for row in drifted:
        assert row.severity >= 1
        assert row.drifted_since > FITTED_AT
        assert row.reason
        assert "level" in row.state["since"]
    level = gauge(0, "level")
    assert level is not None
    assert level >= 1
    assert (
        telemetry.REGISTRY.get_sample_value("harmony_forecast_drifts_total", {"kind": "level"})
        == (began or 0) + 2
    )

    (request,) = rows_of(app.engine, "SELECT * FROM refit_requests")
    assert (request.model_version, request.n_drifted, request.n_watched) == (version, 2, 3)
    assert "2 of 3 workloads drift; worst is demo/w" in request.reason
    assert "more than 25% of the fleet" in request.reason
    assert fits_asked(sender) == [{"request_id": request.id}]

    # Still drifted a little later: not asked again before the interval has passed.
    def score_again(at_step: int) -> None:
        service.forecast_shard(app, 0, FITTED_AT + at_step * STEP)
        assert service_score.score_forecasts(app) > 0

    score_again(-5)
    assert len(fits_asked(sender)) == 1
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(app.settings.refit_min_interval_s)
    score_again(-6)
    assert len(fits_asked(sender)) == 2

    # The fit that answers says so.
    outcome = FitOutcome(version, "shadow", "fit", {})
    monkeypatch.setattr(service_fit, "fit_models", lambda _app: outcome)
    service_drift.fit_as_requested(app, request.id)
    service_drift.fit_as_requested(app, None)
    service_drift.fit_as_requested(app, 999)
    (row,) = rows_of(app.engine, "SELECT reason FROM models")
    assert row.reason == f"fit; asked for by drift: {request.reason}"


def test_a_few_failing_forecasts_ask_once_the_last_fit_is_old_enough(
    app: Forecasting, sender: RecordingSender, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    """One of three workloads fails, less than the share; the other two only look different."""
    version = promote(app, trained)
    patient = replace(app, settings=app.settings.model_copy(update={"drift_refit_share": 1.0}))
    serve(patient, [demand(i) for i in range(N_WORKLOADS)])
    assert fits_asked(sender) == []

    def tamper(workload: int, since: dict[str, int]) -> None:
        with app.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE drift_states SET kind = 'level', severity = 2, reason = 'r', "
                    "state = jsonb_set(state, '{since}', CAST(:since AS jsonb)) "
                    "WHERE workload_id = (SELECT id FROM workloads WHERE name = :name)"
                ),
                {"since": json.dumps(since), "name": f"w{workload}"},
            )

    def ask() -> int | None:
        with unit_of_work(app.engine, sender) as work:
            return service_drift.request_refit(patient, work, app.clock.now())

    before, after = (int((FITTED_AT + n * STEP).timestamp()) for n in (-5, 5))
    tamper(0, {"level": after})
    tamper(1, {"level": after, "pit": before})
    assert ask() is None
    tamper(2, {"pit": after})
    request_id = ask()
    assert fits_asked(sender) == [{"request_id": request_id}]
    (request,) = rows_of(app.engine, "SELECT * FROM refit_requests")
    assert request.model_version == version
    assert "forecasts of 1 began to fail since the last fit" in request.reason


def test_in_a_replay_drift_is_shown_only(
    app: Forecasting, sender: RecordingSender, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    promote(app, trained)
    values = demand(0)
    values[N_TRAINED:] *= 3
    replayed = replace(app, settings=app.settings.model_copy(update={"clock": "replay"}))
    serve(replayed, [values])
    (row,) = rows_of(app.engine, "SELECT * FROM drift_states")
    assert row.kind is not None
    assert fits_asked(sender) == []


def test_a_stuck_or_silent_sensor_is_shown_but_not_learned(
    app: Forecasting, sender: RecordingSender, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    promote(app, trained)
    values = [demand(i) for i in range(2)]
    values[0][-20:] = values[0][-21]
    values[1][-20:-1] = np.nan
    serve(app, values)
    kinds = {r.kind for r in rows_of(app.engine, "SELECT kind FROM drift_states")}
    assert "missing" in kinds
    stuck = gauge(0, "stuck")
    assert stuck is not None
    assert stuck >= 1
    counted = rows_of(app.engine, "SELECT * FROM refit_requests")
    assert all(r.n_drifted <= 1 for r in counted)


def test_before_the_first_model_forecasts_are_tested_but_no_fit_is_asked(
    app: Forecasting, sender: RecordingSender
) -> None:
    values = [demand(0)]
    values[0][N_TRAINED:] *= 30
    serve(app, values)
    (row,) = rows_of(app.engine, "SELECT * FROM drift_states")
    assert row.model_version == "best-simple"
    assert row.state["pit"]["n_tested"] > 0
    assert "reference" not in row.state
    assert fits_asked(sender) == []


def test_a_history_too_short_to_compare_with_gives_no_verdict(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    promote(app, trained)
    young = demand(0)
    young[: N_TRAINED - 30] = np.nan
    (workload_id,) = serve(app, [young])
    (row,) = rows_of(app.engine, "SELECT * FROM drift_states")
    assert row.workload_id == workload_id
    assert row.state["reference"] is None
    assert row.state["pit"]["n_tested"] > 0


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
    from services.kernel.worker import make_celery

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


def test_a_scheduled_fit_is_due_only_when_the_last_one_is_old_enough(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig], clock_at_fit: FixedClock
) -> None:
    assert service_drift.is_fit_due(app)
    promote(app, trained)
    assert not service_drift.is_fit_due(app)
    interval = timedelta(seconds=app.settings.fit_interval_s)
    later = replace(app, clock=FixedClock(FITTED_AT + interval))
    assert service_drift.is_fit_due(later)
