"""One stage after the other by hand: a trace is stored, forecast, decided, explained, replayed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.admin.registration.schemas import WorkloadBody
from services.admin.registration.service import to_spec
from services.kernel.errors import Conflict, InvalidInput, NotFound
from services.kernel.settings import Settings
from services.platform.stages import (
    IngestReport,
    decide_now,
    explain_decision,
    forecast_now,
    ingest_trace,
    origins_of,
    replay_decision,
)
from tests.unit.simulator.fleet.traces import START, write

pytestmark = pytest.mark.integration

STEP_S = 600
STEP = timedelta(seconds=STEP_S)
N_STEPS = 450
NEWEST = START + (N_STEPS - 1) * STEP
AFTER = NEWEST + STEP
MISSING = [50, 51, 52]


@pytest.fixture
def ours(settings: Settings) -> Settings:
    return settings.model_copy(update={"step_s": STEP_S})


def trace(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    wave = 20 + 8 * np.sin(2 * np.pi * np.arange(N_STEPS) / 144) + rng.normal(0, 1, N_STEPS)
    holes = wave.copy()
    holes[MISSING] = np.nan
    series = {"svc/a": wave, "svc/b": holes, "zero": np.zeros(N_STEPS)}
    return write(folder, series, interval_s=STEP_S)  # type: ignore[no-any-return, no-untyped-call]  # untyped


def ingest(settings: Settings, folder: Path) -> IngestReport:
    return ingest_trace(settings, trace(folder), None, AFTER)


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def test_a_trace_becomes_workloads_in_advisory_mode_with_all_their_history(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    report = ingest(ours, tmp_path)
    assert report.n_workloads == 2
    assert len(report.dropped) == 1
    assert report.dropped[0].startswith("zero: no demand")
    known = rows(
        database, "SELECT namespace, name, step_s, spec->>'mode' FROM workloads ORDER BY name"
    )
    assert known == [
        ("trace", "svc-a", STEP_S, "Advisory"),
        ("trace", "svc-b", STEP_S, "Advisory"),
    ]
    query = "SELECT count(*), count(*) FILTER (WHERE is_observed) FROM indicators"
    ((n_rows, n_observed),) = rows(database, query)
    assert (n_rows, n_observed) == (2 * report.n_rows, report.n_observed)  # of two indicators
    assert n_observed == 2 * (2 * N_STEPS - len(MISSING))
    ((first, last),) = rows(database, "SELECT min(step_at), max(step_at) FROM indicators")
    assert (first, last) == (START, NEWEST)


def test_services_that_began_late_or_ended_early_are_stored_with_all_they_have(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    """Nothing is replayed, but those that a replay would have left out were."""
    wave = 20 + 8 * np.sin(np.arange(N_STEPS) / 20)
    late, ended = wave.copy(), wave.copy()
    late[:-12], ended[100:] = np.nan, np.nan
    series = {"late": late, "always": wave, "ended": ended}
    report = ingest_trace(ours, write(tmp_path, series, interval_s=STEP_S), None, AFTER)  # type: ignore[no-untyped-call]  # untyped
    assert (report.n_workloads, report.dropped) == (3, ())
    assert report.n_observed == 2 * (N_STEPS + 100 + 12)
    known = rows(database, "SELECT name FROM workloads ORDER BY name")
    assert known == [("always",), ("ended",), ("late",)]


def test_a_trace_that_cannot_be_stored_registers_nothing(
    ours: Settings, database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("services.platform.stages.write_history", full)
    with pytest.raises(OSError, match="disk full"):
        ingest(ours, tmp_path)
    assert rows(database, "SELECT name FROM workloads") == []


def test_what_is_not_stored_or_not_kept_is_said(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    steps = range(N_STEPS)
    lines = (f"{START + k * STEP:%Y-%m-%dT%H:%M:%SZ},{20 + k % 7},{3 - k % 225}" for k in steps)
    path.write_text("ts,rps,spare\n" + "\n".join(lines))
    n_below = sum(3 - k % 225 < 0 for k in steps)
    soon = START + timedelta(days=ours.retain_indicators_days)
    report = ingest_trace(ours, path, None, soon)
    (refused,) = report.rejected
    assert (refused.reason, refused.count) == ("negative", n_below)
    assert "spare at step 4: -1" in refused.example
    assert report.n_expiring == 0
    later = soon + 3 * STEP
    assert ingest_trace(ours, path, None, later).n_expiring == 3


def test_steps_that_are_still_to_come_are_refused_whole(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    file = trace(tmp_path)
    with pytest.raises(InvalidInput, match=r"2 steps, .* are still to come: times without a zone"):
        ingest_trace(ours, file, None, NEWEST - 2 * STEP)
    assert rows(database, "SELECT name FROM workloads") == []
    ingest_trace(ours, file, None, NEWEST)


def test_a_trace_that_is_ingested_again_replaces_specs_and_keeps_ids(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    first = ingest(ours, tmp_path)
    query = (
        "SELECT id, spec_version, is_active, managed_by, step_s, spec FROM workloads ORDER BY id"
    )
    before = rows(database, query)
    assert ingest(ours, tmp_path).n_observed == first.n_observed
    assert rows(database, query) == before
    with database.begin() as connection:  # as the release before left it, after an operator's pass
        connection.execute(
            text(
                "UPDATE workloads SET is_active = false, managed_by = 'kubernetes', step_s = 60, "
                "spec = spec || '{\"max_replicas\": 3}'"
            )
        )
    ingest(ours, tmp_path)
    assert rows(database, query) == [(row[0], row[1] + 1, *row[2:]) for row in before]


def test_the_spec_of_a_trace_may_be_sent_back_over_rest(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    ingest(ours, tmp_path)
    stored = dict(rows(database, "SELECT name, spec FROM workloads"))
    assert len(stored) == 2
    for name, spec in stored.items():
        assert to_spec(name, WorkloadBody.model_validate(spec)) == spec


def test_a_trace_does_not_take_the_name_of_a_gpuautoscaler(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    ingest(ours, tmp_path)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET managed_by = 'kubernetes', spec = '{}' WHERE name = 'svc-b'")
        )
        connection.execute(text("UPDATE workloads SET spec = '{}' WHERE name = 'svc-a'"))
    with pytest.raises(Conflict, match="workload trace/svc-b follows GPUAutoscaler svc-b") as found:
        ingest(ours, tmp_path)
    assert "\n" not in found.value.message
    assert rows(database, "SELECT DISTINCT spec FROM workloads") == [({},)]  # nothing is stored


def test_the_origin_is_the_newest_measured_step_unless_one_is_asked_for(
    ours: Settings, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="harmony ingest"):
        origins_of(ours, None, NEWEST)
    asked = datetime(2026, 1, 5, 12, 34, 56, tzinfo=UTC)
    assert origins_of(ours, asked, asked) == {STEP_S: datetime(2026, 1, 5, 12, 20, tzinfo=UTC)}
    ingest(ours, tmp_path)
    assert origins_of(ours, None, NEWEST) == {STEP_S: NEWEST}


def test_no_origin_lies_ahead_of_now_and_of_what_was_measured(
    ours: Settings, tmp_path: Path
) -> None:
    """What is forecast for an origin stays: the workers would find nothing left to do."""
    before = NEWEST - timedelta(days=1)
    with pytest.raises(InvalidInput, match="must not lie ahead of"):
        origins_of(ours, NEWEST, before)
    ingest(ours, tmp_path)
    assert origins_of(ours, NEWEST, before)[STEP_S] <= NEWEST
    with pytest.raises(InvalidInput, match="must not lie ahead of"):
        origins_of(ours, NEWEST + timedelta(seconds=1), before)


def test_services_with_steps_of_another_length_have_an_origin_of_their_own(
    ours: Settings, database: Engine, tmp_path: Path
) -> None:
    """They were forecast at the newest step of any, which is of the grid of the shortest alone."""
    ingest(ours, tmp_path)
    wave = 20 + 8 * np.sin(np.arange(3 * N_STEPS - 1) / 60)
    file = write(tmp_path, {"quick": wave}, interval_s=STEP_S // 3)  # type: ignore[no-untyped-call]  # untyped
    ingest_trace(ours, file, None, AFTER)
    quick = START + (3 * N_STEPS - 2) * STEP / 3
    origins = origins_of(ours, None, NEWEST)
    assert origins == {STEP_S: NEWEST, STEP_S // 3: quick}
    assert origins_of(ours, quick + STEP / 3 + timedelta(seconds=9), AFTER) == {
        STEP_S: NEWEST - STEP,
        STEP_S // 3: quick,
    }
    expected = [("trace/quick", quick), ("trace/svc-a", NEWEST), ("trace/svc-b", NEWEST)]
    found = [(row["workload"], row["origin_at"]) for row in forecast_now(ours, origins)]
    assert found == expected
    assert [row["workload"] for row in decide_now(ours, origins)] == [
        workload for workload, _ in expected
    ]


def test_forecasts_and_decisions_follow_and_stay(ours: Settings, tmp_path: Path) -> None:
    ingest(ours, tmp_path)
    origins = origins_of(ours, None, NEWEST)
    forecasts = forecast_now(ours, origins)
    assert [row["workload"] for row in forecasts] == ["trace/svc-a", "trace/svc-b"]
    assert all(row["p10"] < row["p50"] < row["p90"] for row in forecasts)
    assert forecast_now(ours, origins) == forecasts

    decisions = decide_now(ours, origins)
    assert [row["workload"] for row in decisions] == ["trace/svc-a", "trace/svc-b"]
    assert decide_now(ours, origins) == decisions
    decision_id = decisions[0]["id"]
    found = explain_decision(ours, str(decision_id))
    assert found.detail.explanation["guard_trace"]
    assert f"{found.workload.namespace}/{found.workload.name}" == decisions[0]["workload"]
    by_name = explain_decision(ours, decisions[0]["workload"])
    assert replace(by_name, now=found.now) == found
    replayed = replay_decision(ours, decision_id)
    assert replayed["id"] == decision_id
    assert replayed["is_identical"]
    assert replayed["stored_sha256"] == replayed["replayed_sha256"]
    assert replayed["decision"]["workload"] == decisions[0]["workload"]


def test_decisions_that_are_not_there_are_not_found(ours: Settings) -> None:
    for what in ("404", "trace/none"):
        with pytest.raises(NotFound):
            explain_decision(ours, what)
    for what in ("svc-a", "trace/", "-1", "99999999999999999999"):
        with pytest.raises(InvalidInput, match="NAMESPACE/NAME"):
            explain_decision(ours, what)
    with pytest.raises(NotFound):
        replay_decision(ours, 404)
