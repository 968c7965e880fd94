"""A schedule that is known ahead: pushed for steps to come, kept, and read over the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import orjson
import pytest
from sqlalchemy import Engine, text

from forecaster.choice.ladder import LadderForecast
from forecaster.types import Windows
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry.store import Serving
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training import histories as service_histories
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.ingest.push import service as pushes
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings

pytestmark = pytest.mark.integration
STEP_S = 60
STEP = timedelta(seconds=STEP_S)
T0 = datetime.fromisoformat("2026-01-05T00:00:00Z")
CAMPAIGN, RATE, DUTY = "campaign", "request_rate_rps", "gpu_duty_ratio"
NAMES = (CAMPAIGN, RATE, DUTY)
SPEC = WorkloadSpec(
    target="Deployment/x",
    demand=RATE,
    indicators=(
        IndicatorSpec(name=CAMPAIGN, level=1, is_known_ahead=True),
        IndicatorSpec(name=RATE, level=1),
        IndicatorSpec(name=DUTY, level=3),
    ),
    capacity=CapacitySpec(per_replica=10.0),
)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def deps(
    database: Engine, clock: FixedClock, sender: RecordingSender, settings: Settings
) -> IngestDeps:
    return IngestDeps(engine=database, clock=clock, sender=sender, settings=settings)


@pytest.fixture
def app(settings: Settings, clock: FixedClock, sender: RecordingSender) -> Iterator[Forecasting]:
    found = make_forecasting(settings.model_copy(update={"n_paths": 20}), sender, clock)
    yield found
    found.engine.dispose()


@pytest.fixture
def workload_id(database: Engine) -> int:
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "VALUES ('shop', 'w0', 0, :step_s, CAST(:spec AS jsonb), :at, :at) RETURNING id"
    )
    values = {"step_s": STEP_S, "spec": SPEC.model_dump_json(), "at": T0}
    with database.begin() as connection:
        return int(connection.execute(statement, values).scalar_one())


def push(deps: IngestDeps, name: str, *points: tuple[float, float]) -> pushes.PushResult:
    """Push (step from T0, value) pairs."""
    samples = [[T0.timestamp() + step * STEP_S, value] for step, value in points]
    entry = {"namespace": "shop", "workload": "w0", "indicator": name, "samples": samples}
    return pushes.push(deps, orjson.dumps({"observations": [entry]}))


def stored(database: Engine, name: str) -> dict[int, float | None]:
    """Step from T0 to value."""
    statement = text("SELECT step_at, value FROM indicators WHERE indicator = :name ORDER BY 1")
    with database.connect() as connection:
        rows = connection.execute(statement, {"name": name}).all()
    return {(row.step_at - T0) // STEP: row.value for row in rows}


def cursor(database: Engine) -> dict[str, datetime | None]:
    with database.connect() as connection:
        return dict(connection.execute(text("SELECT * FROM ingest_cursors")).mappings().one())


def live_through(deps: IngestDeps, clock: FixedClock, n_steps: int) -> None:
    """Measure and resample the next steps, one after the other."""
    done = (clock.now() - T0) // STEP
    for step in range(done, done + n_steps):
        clock.advance(STEP_S)
        push(deps, RATE, (step, 10.0 + step))
        push(deps, DUTY, (step, 0.5))
        assert ingest.resample_shard(deps, 0, clock.now()).origins == (T0 + step * STEP,)


@pytest.mark.usefixtures("workload_id")
def test_a_schedule_is_stored_before_its_time_and_nothing_else_is(deps: IngestDeps) -> None:
    result = push(deps, CAMPAIGN, (2, 1.0), (3, 0.0), (2 * 1440, 1.0))
    assert (result.n_accepted, result.rejected) == (3, ())
    assert stored(deps.engine, CAMPAIGN) == {2: 1.0, 3: 0.0, 2 * 1440: 1.0}
    found = cursor(deps.engine)
    assert found["last_sample_at"] is None
    assert found["resampled_until"] == T0

    (refused,) = push(deps, CAMPAIGN, (2 * 1440 + 1, 1.0)).rejected
    assert (refused.reason, refused.count) == ("future", 1)
    assert "is more than 2 days, 0:00:00 ahead" in refused.example
    (refused,) = push(deps, RATE, (2, 50.0)).rejected
    assert refused.reason == "future"
    assert "future_s=60" in refused.example
    assert stored(deps.engine, RATE) == {}


@pytest.mark.usefixtures("workload_id")
def test_a_long_horizon_may_be_scheduled_whole(deps: IngestDeps) -> None:
    deps.settings = deps.settings.model_copy(update={"horizon_steps": 3000})
    assert push(deps, CAMPAIGN, (3001, 1.0)).n_accepted == 1
    assert push(deps, CAMPAIGN, (3002, 1.0)).n_accepted == 0


@pytest.mark.usefixtures("workload_id")
def test_steps_still_become_complete_and_ask_for_one_forecast_each(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender
) -> None:
    push(deps, CAMPAIGN, *[(step, float(step % 2)) for step in range(8)])
    live_through(deps, clock, 4)
    asked = [job.payload["at"] for job in sender.sent if job.name == jobs.FORECAST_SHARD]
    assert asked == [(T0 + step * STEP).isoformat() for step in range(4)]
    assert stored(deps.engine, CAMPAIGN) == {step: float(step % 2) for step in range(8)}
    assert stored(deps.engine, RATE) == {step: 10.0 + step for step in range(4)}
    assert cursor(deps.engine)["last_sample_at"] == T0 + 3 * STEP


@pytest.mark.usefixtures("workload_id")
def test_a_schedule_does_not_end_the_wait_for_measurements(
    deps: IngestDeps, clock: FixedClock
) -> None:
    push(deps, CAMPAIGN, *[(step, 1.0) for step in range(8)])
    clock.advance(STEP_S)
    assert ingest.resample_shard(deps, 0, clock.now()).origins == ()
    clock.advance(deps.settings.grace_s)
    assert ingest.resample_shard(deps, 0, clock.now()).origins == (T0,)
    assert stored(deps.engine, RATE) == {0: None}


@pytest.mark.usefixtures("workload_id")
def test_what_was_scheduled_can_be_changed_until_it_has_passed(
    deps: IngestDeps, clock: FixedClock
) -> None:
    push(deps, CAMPAIGN, (3, 1.0), (5, 1.0))
    live_through(deps, clock, 1)
    push(deps, CAMPAIGN, (3, 0.0), (4, 2.0))
    assert stored(deps.engine, CAMPAIGN) == {0: None, 3: 0.0, 4: 2.0, 5: 1.0}
    live_through(deps, clock, 4)
    assert stored(deps.engine, CAMPAIGN) == {0: None, 1: None, 2: None, 3: 0.0, 4: 2.0, 5: 1.0}


@pytest.mark.usefixtures("workload_id")
def test_a_scheduled_step_is_no_lost_origin(
    deps: IngestDeps, app: Forecasting, clock: FixedClock, sender: RecordingSender
) -> None:
    push(deps, CAMPAIGN, *[(step, 1.0) for step in range(8)])
    live_through(deps, clock, 2)
    service.forecast_shard(app, 0, T0)
    service.forecast_shard(app, 0, T0 + STEP)
    clock.advance(STEP_S)
    sender.sent.clear()
    service.sweep(app)
    assert [job for job in sender.sent if job.name == jobs.FORECAST_SHARD] == []


def watch(app: Forecasting, monkeypatch: pytest.MonkeyPatch) -> list[Windows]:
    """The windows that forecasts are made from."""
    seen: list[Windows] = []
    current = app.store.current

    class Watched:
        def __init__(self, serving: Serving) -> None:
            self.ladder = serving.ladder

        def predict(
            self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
        ) -> LadderForecast:
            seen.append(windows)
            return self.ladder.predict(windows, horizon, n_paths, rng)

    def watched(connection: object) -> Serving:
        serving = current(connection)  # type: ignore[arg-type]  # passed on
        return replace(serving, ladder=Watched(serving))  # type: ignore[arg-type]  # as a ladder

    monkeypatch.setattr(app.store, "current", watched)
    return seen


@pytest.mark.usefixtures("workload_id")
def test_a_forecast_reads_the_schedule_over_its_horizon(
    deps: IngestDeps, app: Forecasting, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = [0.0, 1.0, 1.0, 0.0, 3.0]
    push(deps, CAMPAIGN, *[(4 + h, value) for h, value in enumerate(ahead)])
    live_through(deps, clock, 4)
    seen = watch(app, monkeypatch)
    service.forecast_shard(app, 0, T0 + 3 * STEP)
    (windows,) = seen
    assert windows.future_values[0, :5, 0].tolist() == ahead
    assert windows.future_observed[0, :, 0].tolist() == [True] * 5 + [False] * 7
    assert not windows.future_observed[0, :, 1:].any()
    assert not windows.future_values[0, :, 1:].any()
    assert windows.demand()[0][0, -4:].tolist() == [10.0, 11.0, 12.0, 13.0]
    assert windows.known_ahead.tolist() == [[True, False, False]]


@pytest.mark.usefixtures("workload_id")
def test_histories_carry_the_flag_and_end_at_the_origin(
    deps: IngestDeps, app: Forecasting, clock: FixedClock
) -> None:
    push(deps, CAMPAIGN, *[(step, 1.0) for step in range(60)])
    live_through(deps, clock, 20)
    config = forecaster_config(app.settings)
    with app.engine.connect() as connection:
        fleet = service_histories.load_fleet(connection)
        (series,) = service_histories.load_histories(app, connection, fleet, clock.now(), config)
    assert series.known_ahead == (True, False, False)
    assert (series.start_s, series.n_steps) == (int(T0.timestamp()), 20)
    assert series.values[:, 0].tolist() == [1.0] * 20
