"""Drift is watched while forecasts are scored, and asks for a fit once."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from forecaster.config import ForecasterConfig
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.score import drift as service_drift, service as service_score
from services.forecasting.training.fit import FitOutcome
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import FORECAST_FIT, RecordingSender
from tests.exported import exported
from tests.integration.forecasting.fitted_fleet import (
    FITTED_AT,
    N_AFTER,
    N_TRAINED,
    N_WORKLOADS,
    STEP,
    STEP_S,
    add_demand,
    add_workload,
    demand,
    promote,
    rows_of,
)

pytestmark = pytest.mark.integration


def serve(
    app: Forecasting,
    values: Sequence[np.ndarray],
    n_steps: int = N_AFTER,
    left_out: Collection[int] = (),
) -> list[int]:
    """Forecast every step after the fit but those left out, then score all of it in one run."""
    ids = [add_workload(app.engine, f"w{i}") for i in range(len(values))]
    for workload_id, one in zip(ids, values, strict=True):
        add_demand(app.engine, workload_id, one)
    for t in range(n_steps):
        if t not in left_out:
            service.forecast_shard(app, 0, FITTED_AT + (t - 1) * STEP)
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(n_steps * STEP_S)
    assert service_score.score_forecasts(app) > 0
    return ids


def fits_asked(sender: RecordingSender) -> list[dict]:
    return [dict(job.payload) for job in sender.sent if job.name == FORECAST_FIT]


def shown_of(app: Forecasting, workload: int, kind: str) -> float | None:
    """Severity as it is exported."""
    name = f"w{workload}"
    with app.engine.begin() as connection:  # the exporter shows the newest forecast's, while fresh
        newest = connection.execute(text("SELECT max(origin_at) FROM forecasts")).scalar_one()
    return exported(app.engine, newest, "forecast_drift", workload=name, kind=kind)


@pytest.mark.slow
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
            shown = shown_of(app, i, kind)
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
    ids = serve(app, values, left_out=(N_AFTER - 10, N_AFTER - 8))
    drifted = rows_of(app.engine, "SELECT * FROM drift_states WHERE kind IS NOT NULL")
    assert {r.workload_id for r in drifted} == set(ids[:2])
    for row in drifted:
        assert row.severity >= 1
        assert row.drifted_since > FITTED_AT
        assert row.reason
        assert "level" in row.state["since"]
    level = shown_of(app, 0, "level")
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
        service.forecast_shard(app, 0, FITTED_AT + (at_step - 1) * STEP)
        assert service_score.score_forecasts(app) > 0

    score_again(N_AFTER - 10)
    assert len(fits_asked(sender)) == 1
    assert isinstance(app.clock, FixedClock)
    app.clock.advance(app.settings.refit_min_interval_s)
    score_again(N_AFTER - 8)
    assert len(fits_asked(sender)) == 2

    # The fit that answers says so.
    outcome = FitOutcome(version, "shadow", "fit", {})
    monkeypatch.setattr(service_drift, "fit_models", lambda _app: outcome)
    service_drift.fit_as_requested(app, request.id)
    service_drift.fit_as_requested(app, None)
    service_drift.fit_as_requested(app, 999)
    (row,) = rows_of(app.engine, "SELECT reason FROM models")
    assert row.reason == f"fit; asked for by drift: {request.reason}"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    stuck = shown_of(app, 0, "stuck")
    assert stuck is not None
    assert stuck >= 1
    counted = rows_of(app.engine, "SELECT * FROM refit_requests")
    assert all(r.n_drifted <= 1 for r in counted)


def test_inputs_are_read_again_when_their_turn_comes_and_hold_in_between(
    app: Forecasting,
    trained: tuple[bytes, str, ForecasterConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promote(app, trained)
    monkeypatch.setattr(service_drift, "COMPARISONS_PER_WINDOW", 6)  # each four steps
    values = [demand(0)]
    values[0][N_TRAINED:] *= 3
    serve(app, values, N_AFTER - 9)
    level = shown_of(app, 0, "level")
    assert level is not None
    assert level >= 1
    read: list[int] = []
    series = service_drift.DriftWatch._series

    def counted(watch: service_drift.DriftWatch, workloads: list, *given: object) -> list:
        read.append(len(workloads))
        return series(watch, workloads, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(service_drift.DriftWatch, "_series", counted)
    assert isinstance(app.clock, FixedClock)
    for t in range(N_AFTER - 9, N_AFTER - 1):
        service.forecast_shard(app, 0, FITTED_AT + (t - 1) * STEP)
        app.clock.advance(STEP_S)
        assert service_score.score_forecasts(app) > 0
        assert shown_of(app, 0, "level") is not None, "what was found last holds"
    assert sum(read) == 2, "eight steps are two turns"


def test_a_corrected_query_is_no_drift(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]
) -> None:
    """It counted each request three times: its past is read anew, and so is what was described."""
    promote(app, trained)
    values = demand(0)
    n_before = N_AFTER - 12
    (workload_id,) = serve(app, [3 * values], n_before)
    assert isinstance(app.clock, FixedClock)
    with app.engine.begin() as connection:
        connection.execute(text("DELETE FROM indicator_steps"))
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{indicators,0,query}', "
                "'\"sum(x)\"'), spec_version = 2, updated_at = :now"
            ),
            {"now": app.clock.now()},
        )
    add_demand(app.engine, workload_id, values)
    for t in range(n_before, N_AFTER):
        service.forecast_shard(app, 0, FITTED_AT + (t - 1) * STEP)
        app.clock.advance(STEP_S)
        service_score.score_forecasts(app)
    (row,) = rows_of(app.engine, "SELECT * FROM drift_states")
    assert row.kind is None, row.reason
    assert 0 < row.state["pit"]["n_tested"] <= 12
    assert "most" not in row.state["reference"], "the release before knows no such field"
    assert row.state["reference_most"] > values.max()


def test_before_the_first_model_forecasts_are_tested_but_no_fit_is_asked(
    app: Forecasting, sender: RecordingSender
) -> None:
    values = [demand(0)]
    values[0][N_TRAINED:] *= 30
    serve(app, values)
    (row,) = rows_of(app.engine, "SELECT * FROM drift_states")
    assert row.model_version == "best-simple"  # the prior has other windows
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


def test_a_scheduled_fit_is_due_only_when_the_last_one_is_old_enough(
    app: Forecasting, trained: tuple[bytes, str, ForecasterConfig], clock_at_fit: FixedClock
) -> None:
    assert service_drift.is_fit_due(app)
    promote(app, trained)
    assert not service_drift.is_fit_due(app)
    interval = timedelta(seconds=app.settings.fit_interval_s)
    later = replace(app, clock=FixedClock(FITTED_AT + interval))
    assert service_drift.is_fit_due(later)
