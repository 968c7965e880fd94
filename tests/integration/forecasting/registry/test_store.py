"""Models in the registry: registered, promoted, served and rolled back."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, event, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry.repository import PROMOTED, SHADOW, NewModel, insert_model
from services.forecasting.registry.shipped import shipped_prior
from services.forecasting.training import fit as service_fit
from services.kernel.clock import FixedClock
from services.kernel.jobs import (
    RecordingSender,
)
from services.kernel.settings import Settings
from services.kernel.telemetry import model_unreadable
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    ORIGIN,
    START,
    STEP,
    STEP_S,
    add_workload,
    fill,
    rows_of,
)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def app(database: Engine, settings: Settings, sender: RecordingSender) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    clock = FixedClock(START + N_STEPS * STEP)
    return make_forecasting(small, sender, clock)


@pytest.mark.integration
@pytest.mark.parametrize("status", [SHADOW, PROMOTED])
def test_of_a_model_that_goes_on_serving_its_id_alone_is_read(
    app: Forecasting, status: str
) -> None:
    """What is kept of each workload would be read once more for each shard: fleet by fleet."""
    picks = {f"demo/w{i}": "blend" for i in range(3)}
    with app.engine.begin() as connection:
        model = NewModel("m1", status, "fit", {}, {"picks": picks}, b"none")
        insert_model(connection, model, START)
        first = app.store.current(connection)
        assert first.ladder.simple.picks == picks
        read: list[str] = []
        listen = (connection, "before_cursor_execute", lambda *given: read.append(given[2]))
        event.listen(*listen)
        assert app.store.current(connection) is first
        event.remove(*listen)
        assert read
        assert not any("metrics" in one.partition("FROM")[0] for one in read), read
        connection.execute(text("UPDATE models SET status = 'retired', metrics = '{}'"))
        assert app.store.current(connection).ladder.simple.picks == {}


@pytest.mark.slow
def test_fit_registers_promotes_serves_and_rolls_back(app: Forecasting) -> None:
    fill(app.engine, 4)
    told: list[tuple[str, float]] = []
    outcome = service_fit.fit_models(app, lambda line, share: told.append((line, share)))
    assert outcome.status in ("promoted", "shadow")
    assert "skill" in outcome.reason
    assert told[-1][1] == 1.0
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert row.version == outcome.version
    assert set(row.metrics["ratios"]) == {f"demo/w{i}" for i in range(4)}
    assert row.metrics["backtest_skill"] == pytest.approx(outcome.metrics["backtest_skill"])
    if outcome.status == "shadow":
        service_fit.promote(app, outcome.version, "test")

    service.forecast_shard(app, 0, ORIGIN)
    stored = rows_of(app.engine, "SELECT DISTINCT model_version FROM forecasts")
    assert [r.model_version for r in stored] == [outcome.version]

    with app.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO models (version, kind, status, config, metrics, artifact, created_at) "
                "SELECT 'other', kind, 'shadow', config, metrics, artifact, created_at FROM models"
            )
        )
    service_fit.promote(app, "other", "test")
    assert service_fit.roll_back(app, "it was worse") == outcome.version
    states = dict(rows_of(app.engine, "SELECT version, status FROM models"))
    assert states == {outcome.version: "promoted", "other": "retired"}


def test_a_fit_without_history_fails_with_a_reason_and_nothing_is_promoted(
    app: Forecasting,
) -> None:
    add_workload(app.engine, "new")
    outcome = service_fit.fit_models(app)
    assert outcome.status == "failed"
    assert "HistoryTooShort" in outcome.reason
    (row,) = rows_of(app.engine, "SELECT status, reason FROM models")
    assert (row.status, row.reason) == ("failed", outcome.reason)


def header(**fields: object) -> bytes:
    """Bytes with a checkpoint's header and nothing that fits it."""
    given = {"format": "harmony-forecaster", "format_version": 5} | fields
    raw = json.dumps({"__metadata__": {"harmony": json.dumps(given)}}).encode()
    return len(raw).to_bytes(8, "little") + raw


def promote_bytes(app: Forecasting, artifact: bytes | None, **metrics: object) -> None:
    with app.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO models (version, kind, status, config, metrics, artifact, created_at) "
                "VALUES ('bad', 'flow', 'promoted', '{}', CAST(:metrics AS jsonb), :artifact, "
                "now())"
            ),
            {"artifact": artifact, "metrics": json.dumps(metrics)},
        )


def test_without_the_prior_the_simple_forecasters_answer(
    database: Engine, settings: Settings, sender: RecordingSender
) -> None:
    changed = {"n_paths": 40, "step_s": STEP_S, "has_prior": False}
    clock = FixedClock(START + N_STEPS * STEP)
    app = make_forecasting(settings.model_copy(update=changed), sender, clock)
    fill(app.engine, 2)
    service.forecast_shard(app, 0, ORIGIN)
    rows = rows_of(app.engine, "SELECT model_version, rung FROM forecasts")
    assert {(row.model_version, row.rung) for row in rows} == {("best-simple", "smoothed")}


def test_a_workload_whose_simple_forecaster_was_better_keeps_it(app: Forecasting) -> None:
    fill(app.engine, 2)
    metrics = {"picks": {"demo/w0": "last_value"}, "simple_only": ["demo/w0"]}
    with app.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO models (version, kind, status, config, metrics, created_at) "
                "VALUES ('lost', 'flow', 'shadow', '{}', CAST(:metrics AS jsonb), now())"
            ),
            {"metrics": json.dumps(metrics)},
        )
    service.forecast_shard(app, 0, ORIGIN)
    rows = rows_of(app.engine, "SELECT rung FROM forecasts ORDER BY workload_id")
    assert [row.rung for row in rows] == ["last_value", "prior"]


@pytest.mark.parametrize(
    "artifact",
    [
        None,
        b"",
        b"garbage",
        b"\xff" * 64,
        b"[" * 200_000,
        header(),
        header(config=[1]),
        header(config=None),
        header(config={}, workloads=3, indicators=None),
        header(format_version=4),
    ],
    ids=lambda given: "none" if given is None else f"{len(given)}-{given[-20:].hex()}",
)
def test_a_promoted_model_that_cannot_be_read_is_none(
    app: Forecasting, artifact: bytes | None
) -> None:
    fill(app.engine, 2)
    promote_bytes(app, artifact)
    assert service.forecast_shard(app, 0, ORIGIN) == 2
    rows = rows_of(app.engine, "SELECT model_version, rung, reason FROM forecasts")
    assert {row.model_version for row in rows} == {f"prior-{shipped_prior().version}"}
    assert {row.rung for row in rows} == {"prior"}
    assert all("the promoted model bad cannot be read (" in row.reason for row in rows)
    assert model_unreadable.collect()[0].samples[0].value == 1
    with app.engine.begin() as connection:
        connection.execute(text("UPDATE models SET status = 'retired'"))
        app.store.current(connection)
    assert model_unreadable.collect()[0].samples[0].value == 0


@pytest.mark.parametrize(
    ("has_prior", "rungs"), [(True, ["last_value", "prior"]), (False, ["last_value", "smoothed"])]
)
def test_in_place_of_a_model_that_cannot_be_read_the_prior_answers_or_what_was_better(
    database: Engine,
    settings: Settings,
    sender: RecordingSender,
    has_prior: bool,
    rungs: list[str],
) -> None:
    """As the metric's text and the alert say."""
    changed = {"n_paths": 40, "step_s": STEP_S, "has_prior": has_prior}
    clock = FixedClock(START + N_STEPS * STEP)
    app = make_forecasting(settings.model_copy(update=changed), sender, clock)
    fill(app.engine, 2)
    promote_bytes(app, b"garbage", picks={"demo/w0": "last_value"}, simple_only=["demo/w0"])
    service.forecast_shard(app, 0, ORIGIN)
    rows = rows_of(app.engine, "SELECT rung, reason FROM forecasts ORDER BY workload_id")
    assert [row.rung for row in rows] == rungs
    assert all("the promoted model bad cannot be read (" in row.reason for row in rows)
    assert model_unreadable.collect()[0].samples[0].value == 1
