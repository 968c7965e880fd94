"""Fits on a real Postgres: killed, stopped, run twice, diverged; what a new model starts with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from sqlalchemy import Engine, text

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from forecaster.online.calibration import Calibration
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training import fit as service_fit
from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.clock import FixedClock, floor_step
from services.kernel.jobs import FORECAST_FIT, Job, RecordingSender
from services.kernel.settings import Settings
from tests.few_trees import FEW_TREES
from tests.integration.stored_indicators import store_indicators

STEP_S = 600
N_STEPS = 600
NAMES = ("request_rate_rps", "gpu_duty_ratio")
SPEC = {
    "target": "Deployment/w",
    "demand": NAMES[0],
    "indicators": [{"name": name, "level": 2 * i + 1} for i, name in enumerate(NAMES)],
    "capacity": {"per_replica": 10.0},
}
END = datetime(2026, 1, 9, tzinfo=UTC)
REPO = Path(__file__).parents[4]
SMALL_MODEL = ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8)
SMALL = TrainConfig(max_windows=500, max_validation_windows=200, epochs=3, flow_epochs=1)


def demand(workload: int, n_steps: int = N_STEPS) -> np.ndarray:
    rng = np.random.default_rng(workload)
    wave = 100 + 60 * np.sin(2 * np.pi * np.arange(n_steps) / 144 + workload)
    return np.maximum(wave + rng.normal(0, 6, n_steps), 0)


def fill(engine: Engine, end_at: datetime, values: list[np.ndarray]) -> list[int]:
    """Workloads with a history each, whose last step ends at `end_at`."""
    ids, rows = [], []
    with engine.begin() as connection:
        for i, own in enumerate(values):
            statement = text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            )
            parameters = {"name": f"w{i}", "step_s": STEP_S, "spec": json.dumps(SPEC), "at": END}
            ids.append(connection.execute(statement, parameters).scalar_one())
            for t, value in enumerate(own):
                at = end_at + timedelta(seconds=(t - len(own)) * STEP_S)
                rows += [
                    (ids[-1], name, at, float(value * factor), True)
                    for name, factor in zip(NAMES, (1.0, 0.01), strict=True)
                ]
        store_indicators(connection, rows)
    return ids


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(END))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the service train with other settings, by name."""

    def use(**changes: object) -> None:
        def config(settings: Settings) -> ForecasterConfig:
            window = forecaster_config(settings).window
            return ForecasterConfig(window, SMALL_MODEL, replace(SMALL, **changes), FEW_TREES)

        monkeypatch.setattr(service_fit, "forecaster_config", config)

    use()
    return use


def rows_of(engine: Engine, query: str) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def stop_after(epoch: str) -> Callable[[str, float], None]:
    """A progress callback that stops the fit, as Ctrl-C would, when an epoch has ended."""

    def tell(line: str, _share: float) -> None:
        if line.startswith(epoch):
            raise KeyboardInterrupt

    return tell


def as_if_killed(engine: Engine, n_attempts: int) -> None:
    """A killed process has no chance to say that it was stopped in order."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE models SET metrics = metrics || jsonb_build_object('n_attempts', "
                "CAST(:n AS integer)) WHERE status = 'training'"
            ),
            {"n": n_attempts},
        )


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_stopped_fit_goes_on_and_ends_with_the_same_model(app: Forecasting) -> None:
    fill(app.engine, END, [demand(i) for i in range(2)])
    with pytest.raises(KeyboardInterrupt):
        service_fit.fit_models(app, stop_after("marginals 3/3"))
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert (row.status, row.metrics["reached"], row.metrics["n_attempts"]) == (
        "training",
        "marginals 2/3",
        0,
    )
    assert row.metrics["spent_s"] > 0

    # Later, and with newer steps stored, it is still the same fit.
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(3 * STEP_S)
    told: list[str] = []
    outcome = service_fit.fit_models(app, lambda line, _: told.append(line))
    assert "going on after marginals 2/3" in told
    assert [line[:13] for line in told if line[:4] in ("marg", "flow")] == [
        "marginals 3/3",
        "flow 1/1: tra",
    ]
    assert outcome.metrics["fit_s"] > row.metrics["spent_s"]
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert (row.version, row.status) == (outcome.version, outcome.status)

    early = replace(app, clock=FixedClock(END))
    assert service_fit.fit_models(early).version == outcome.version


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_an_unfinished_fit_of_other_histories_or_settings_starts_over(
    app: Forecasting, small: Callable[..., None]
) -> None:
    first, *_ = fill(app.engine, END, [demand(i) for i in range(2)])

    def told_after_a_stop(change: Callable[[], object]) -> list[str]:
        with pytest.raises(KeyboardInterrupt):
            service_fit.fit_models(app, stop_after("flow"), is_fresh=True)
        change()
        told: list[str] = []
        service_fit.fit_models(app, lambda line, _: told.append(line))
        return told

    def correct_a_step() -> None:
        with app.engine.begin() as connection:
            connection.execute(
                text("UPDATE indicators SET value = value + 1 WHERE workload_id = :id AND step_at ="
                     " (SELECT min(step_at) FROM indicators)"),
                {"id": first},
            )  # fmt: skip

    told = told_after_a_stop(correct_a_step)
    assert "going on after marginals 3/3" in told
    assert any(line.startswith("marginals 1/3") for line in told)
    told = told_after_a_stop(lambda: small(epochs=2))
    assert any(line.startswith("marginals 1/2") for line in told)
    assert isinstance(app.clock, FixedClock)
    told = told_after_a_stop(lambda: app.clock.advance(90_000))
    assert any(line.startswith("marginals 1/2") for line in told)
    assert rows_of(app.engine, "SELECT 1 FROM models WHERE status = 'training'") == []


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_fit_that_is_always_killed_is_given_up(app: Forecasting) -> None:
    fill(app.engine, END, [demand(i) for i in range(2)])
    with pytest.raises(KeyboardInterrupt):
        service_fit.fit_models(app, stop_after("marginals 2/3"))
    as_if_killed(app.engine, service_fit.MAX_ATTEMPTS)
    outcome = service_fit.fit_models(app)
    assert outcome.status == "failed"
    assert "cut short 3 times, the last time after reaching marginals 1/3" in outcome.reason
    assert [r.status for r in rows_of(app.engine, "SELECT status FROM models")] == ["failed"]
    assert service_fit.fit_models(app).status in ("promoted", "shadow")


def test_only_one_fit_runs_at_a_time(app: Forecasting) -> None:
    with registry.fit_lock(app.engine) as is_mine:
        assert is_mine
        outcome = service_fit.fit_models(app)
        assert (outcome.version, outcome.status) == ("", "busy")
        assert rows_of(app.engine, "SELECT 1 FROM models") == []
    with registry.fit_lock(app.engine) as is_mine:
        assert is_mine


@pytest.mark.slow
def test_a_diverged_fit_is_a_failed_row_and_the_incumbent_stays(
    app: Forecasting, small: Callable[..., None]
) -> None:
    fill(app.engine, END, [demand(i) for i in range(2)])
    good = service_fit.fit_models(app)
    if good.status == "shadow":
        service_fit.promote(app, good.version, "test")
    small(learning_rate=1e12)
    outcome = service_fit.fit_models(app)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("TrainingDiverged: ")
    found = dict(rows_of(app.engine, "SELECT version, status FROM models"))
    assert found == {good.version: "promoted", outcome.version: "failed"}
    with app.engine.connect() as connection:
        assert app.store.current(connection).version == good.version


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_values_that_are_no_numbers_are_gaps(app: Forecasting) -> None:
    values = [demand(i) for i in range(2)]
    values[0][100:110] = np.nan
    values[1][200] = np.inf
    fill(app.engine, END, values)
    outcome = service_fit.fit_models(app)
    assert outcome.status in ("promoted", "shadow")
    assert np.isfinite(outcome.metrics["backtest_crps"])


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_new_model_starts_with_the_calibration_of_its_back_test(app: Forecasting) -> None:
    ids = fill(app.engine, END, [demand(0), demand(1), demand(2)[300:]])
    outcome = service_fit.fit_models(app)
    rows = rows_of(app.engine, "SELECT * FROM calibration_states ORDER BY workload_id")
    assert [(r.workload_id, r.model_version) for r in rows] == [(i, outcome.version) for i in ids]
    n_held = round(0.12 * N_STEPS)
    for row in rows:
        assert row.state["n_seen"] == 12 * (n_held - 11)
        assert np.abs(row.state["offsets"]).max() > 0
    if outcome.status == "shadow":
        service_fit.promote(app, outcome.version, "test")
    service.forecast_shard(app, 0, END - timedelta(seconds=STEP_S))
    (levels,) = rows_of(
        app.engine, "SELECT quantile_levels FROM forecasts ORDER BY workload_id LIMIT 1"
    )[0]
    read = Calibration(np.array(levels)).from_dicts(["w"], {"w": rows[0].state})
    assert read.n_seen[0] > 0


def test_coverage_and_cost_are_in_the_registry(app: Forecasting, small: object) -> None:
    fill(app.engine, END, [demand(i) for i in range(2)])
    metrics = service_fit.fit_models(app).metrics
    assert set(metrics["backtest_coverage"]) == {"0.9", "0.95", "0.99"}
    assert 0.5 < metrics["backtest_coverage"]["0.95"] <= 1
    assert (metrics["device"], metrics["n_attempts"]) == ("cpu", 1)
    (row,) = rows_of(app.engine, "SELECT metrics->'trained_until_s' AS until_s FROM models")
    n_held = round(0.12 * N_STEPS)
    assert row.until_s == END.timestamp() - (n_held + 1) * STEP_S


@pytest.mark.slow
def test_a_fit_whose_worker_is_killed_is_redelivered_and_goes_on(
    database: Engine, settings: Settings, redis_url: str
) -> None:
    """A real worker, killed with -9 while it trains: the broker gives the job to another one."""
    end_at = floor_step(datetime.now(UTC), STEP_S)
    fill(database, end_at, [demand(i) for i in range(2)])
    with fit_worker(settings, redis_url) as worker:
        CelerySender(make_celery(settings)).send(Job(FORECAST_FIT))
        query = "SELECT * FROM models WHERE status = 'training' AND artifact IS NOT NULL"
        training = wait_for(lambda: rows_of(database, query), worker)[0]
        for child in psutil.Process(worker.pid).children():
            child.kill()
        query = "SELECT * FROM models WHERE status <> 'training'"
        (row,) = wait_for(lambda: rows_of(database, query), worker)
    assert row.metrics["n_attempts"] == 2
    assert row.status in ("promoted", "shadow")
    app = make_forecasting(settings, RecordingSender(), FixedClock(training.created_at))
    told: list[str] = []
    again = service_fit.fit_models(app, lambda line, _: told.append(line))
    assert any(line.startswith("marginals 1/") for line in told)
    assert again.version == row.version


@contextmanager
def fit_worker(settings: Settings, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "services.cli", "worker", "--queues", "fit"]
    environment = {
        **os.environ,
        "HARMONY_DATABASE_URL": settings.database_url,
        "HARMONY_REDIS_URL": redis_url,
        "OMP_NUM_THREADS": "1",
    }
    worker = subprocess.Popen([*command, "--pool", "prefork"], cwd=REPO, env=environment)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(30)


def wait_for(find: Callable[[], list], worker: subprocess.Popen[bytes]) -> list:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = find()
        if found:
            return found
        assert worker.poll() is None
        time.sleep(0.02)
    raise AssertionError("nothing came")
