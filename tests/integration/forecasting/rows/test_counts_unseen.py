"""Counts of an objective lie beside the indicators, and no forecast ever reads one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows import repository
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.score.service import score_forecasts
from services.forecasting.training.histories import load_fleet, load_histories
from services.kernel.clock import FixedClock
from services.kernel.db.steps.kept import KeptSteps
from services.kernel.domain.objective import GoalSpec, series_names
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    NAMES,
    ORIGIN,
    SPEC,
    START,
    STEP,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
COUNTS = series_names((GoalSpec(metric="ttft", threshold_s=0.5),))
OBJECTIVE = {"goals": [{"metric": "ttft", "threshold_s": 0.5}]}


@pytest.fixture
def app(settings: Settings, database: Engine) -> Iterator[Forecasting]:
    found = make_forecasting(
        settings.model_copy(update={"n_paths": 20}), RecordingSender(), FixedClock(ORIGIN + STEP)
    )
    yield found
    found.engine.dispose()


def add_objective(engine: Engine, workload_id: int) -> None:
    """Give a workload an objective."""
    spec = SPEC | {"sla": {"objective": OBJECTIVE}}
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = CAST(:spec AS jsonb) WHERE id = :id"),
            {"spec": json.dumps(spec), "id": workload_id},
        )


def add_counts(engine: Engine, workload_id: int) -> None:
    """Give a workload a count of every kind in all of its steps."""
    rows = [
        (workload_id, name, START + t * STEP, 1000.0, True)
        for name in COUNTS
        for t in range(N_STEPS)
    ]
    with engine.begin() as connection:
        store_indicators(connection, rows)


def stored_forecasts(engine: Engine) -> list[Any]:
    """All that is stored of the origin's forecasts, but for what every run has of its own."""
    rows = rows_of(engine, "SELECT * FROM forecasts ORDER BY workload_id")
    here = [dict(row._mapping) for row in rows if row.origin_at == ORIGIN]
    return [{k: v for k, v in row.items() if k not in ("id", "created_at")} for row in here]


@contextmanager
def asked_for(engine: Engine) -> Iterator[list[str]]:
    """Texts and parameters of all statements."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        seen.append(f"{statement} {values}")

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_the_keys_of_a_forecast_are_those_of_the_indicators(
    app: Forecasting, database: Engine
) -> None:
    workload_id = add_workload(database, "w0")
    add_objective(database, workload_id)
    add_counts(database, workload_id)
    with database.connect() as connection:
        keys = repository.indicator_keys(repository.load_workloads(connection))
    assert [key.indicator for key in keys] == list(NAMES)


def test_a_forecast_and_a_fit_ask_for_no_count_and_are_the_same_without(
    app: Forecasting, database: Engine
) -> None:
    counted, plain = add_workload(database, "w0"), add_workload(database, "w1")
    for workload_id in (counted, plain):
        add_indicators(database, workload_id, demand(0))
    add_objective(database, counted)
    service.forecast_shard(app, 0, ORIGIN)
    without = stored_forecasts(database)
    assert len(without) == 2
    with database.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
    add_counts(database, counted)
    app = replace(app, kept=KeptSteps())  # every step is read again
    with asked_for(app.engine) as seen:
        service.forecast_shard(app, 0, ORIGIN)
        service.sweep(app)
        score_forecasts(app)
        with app.engine.connect() as connection:
            config = forecaster_config(app.settings)
            fleet = load_fleet(connection)
            histories = load_histories(app, connection, fleet, app.clock.now(), config)
    assert any("FROM indicator_steps" in one for one in seen)
    # a spec may be read whole, but no count is named in a statement
    assert not [one for one in seen if any(name in one for name in COUNTS)]
    assert {series.values.shape[1] for series in histories} == {len(NAMES)}
    # the same services in the same places of a batch: nothing but the counts is different
    assert stored_forecasts(database) == without
