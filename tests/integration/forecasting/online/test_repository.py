"""Drift as it is stored and counted, and the refits that it asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.forecasting.online import repository
from services.forecasting.online.repository import DriftCount, DriftRow, PastFits
from services.forecasting.registry.repository import NewModel, insert_model
from tests.integration.forecasting.simple_fleet import add_workload

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def drift(workload_id: int, kind: str | None = None, severity: float | None = None) -> DriftRow:
    since = None if kind is None else AT
    reason = "" if kind is None else f"{kind} of {severity}"
    return DriftRow(workload_id, state_since(AT, kind), kind, severity, since, reason)


def state_since(at: datetime, *kinds: str | None) -> dict[str, Any]:
    return {"since": {kind: int(at.timestamp()) for kind in kinds if kind is not None}}


def test_a_state_belongs_to_a_workload_and_a_model_and_is_overwritten(database: Engine) -> None:
    one, other = add_workload(database, "a"), add_workload(database, "b")
    newer = DriftRow(one, {"n": 2}, "level", 3.0, AT, "moved")
    with database.begin() as connection:
        repository.save_drift(connection, "m", [], AT)
        repository.save_drift(connection, "m", [drift(one), drift(other)], AT)
        repository.save_drift(connection, "m", [newer], AT + HOUR)
        assert repository.load_drift(connection, [one, other], "m") == {
            one: {"n": 2},
            other: state_since(AT, None),
        }
        assert repository.load_drift(connection, [one], "m2") == {}
        assert repository.load_drift(connection, [], "m") == {}
        row = connection.execute(
            text("SELECT * FROM drift_states WHERE workload_id = :id"), {"id": one}
        ).one()
    assert (row.kind, row.severity, row.drifted_since, row.reason) == ("level", 3.0, AT, "moved")
    assert row.updated_at == AT + HOUR


def test_active_workloads_that_drift_are_counted_by_kind_and_the_worst_is_named(
    database: Engine,
) -> None:
    names = ("calm", "mild", "bad", "other", "retired")
    calm, mild, bad, other, retired = (add_workload(database, name) for name in names)
    rows = [
        drift(calm),
        drift(mild, "pit", 1.0),
        drift(bad, "pit", 2.0),
        drift(other, "input", 9.0),
        drift(retired, "pit", 99.0),
    ]
    with database.begin() as connection:
        repository.save_drift(connection, "m", rows, AT)
        connection.execute(text("UPDATE workloads SET is_active = false WHERE name = 'retired'"))

        def count(*kinds: str, last_fit_at: datetime | None = None) -> DriftCount:
            return repository.count_drift(connection, "m", kinds, last_fit_at)

        assert count("pit") == DriftCount(4, 2, 2, "demo/bad: pit of 2.0")
        assert count("pit", "input") == DriftCount(4, 3, 2, "demo/other: input of 9.0")
        assert count("none") == DriftCount(4, 0, 0, "")
        assert count("pit", last_fit_at=AT - HOUR).n_new == 2
        assert count("pit", last_fit_at=AT).n_new == 0
        assert repository.count_drift(connection, "m2", ["pit"], None) == DriftCount(0, 0, 0, "")


@pytest.mark.parametrize(
    ("kind", "began", "is_counted"),
    [("missing", -1, True), ("missing", 1, True), ("stuck", 1, True), ("stuck", -1, False)],
)
def test_forecasts_that_fail_are_counted_beside_a_worse_fault_of_the_input(
    database: Engine, kind: str, began: int, is_counted: bool
) -> None:
    """The fault was the worst of it, and asked for nothing: nobody was asked to fit."""
    both, fault = (add_workload(database, name) for name in ("both", "fault"))
    state = state_since(AT, "pit", "level")
    state["since"][kind] = int((AT + began * HOUR).timestamp())
    rows = [DriftRow(both, state, kind, 3.0, AT, "seen"), drift(fault, kind, 4.0)]
    with database.begin() as connection:
        repository.save_drift(connection, "m", rows, AT)
        found = repository.count_drift(connection, "m", ("pit", "level"), AT - HOUR)
        worst = f"demo/both: forecasts fail beside {kind}, seen" if is_counted else ""
        assert found == DriftCount(2, int(is_counted), int(is_counted), worst)
        assert repository.count_drift(connection, "m", ("pit", "level"), AT).n_new == 0


def test_past_fits_are_told_by_what_came_of_them(database: Engine) -> None:
    with database.begin() as connection:
        assert repository.load_past_fits(connection) == PastFits(None, None, 0, None)
        made = ((0, "failed"), (1, "shadow"), (2, "failed"), (3, "failed"), (4, "training"))
        for n, status in made:
            model = NewModel(f"m{n}", status, "fit", {}, {}, None)
            insert_model(connection, model, AT + n * HOUR)
        assert repository.load_past_fits(connection) == PastFits(
            AT + HOUR, AT + 3 * HOUR, 2, AT + 4 * HOUR
        )


def test_the_last_request_is_the_newest(database: Engine) -> None:
    count = DriftCount(4, 2, 1, "demo/bad: moved")
    with database.begin() as connection:
        assert repository.load_last_request_at(connection) is None
        for version, at in (("b", AT + HOUR), ("a", AT)):
            insert_model(connection, NewModel(version, "failed", "fit", {}, {}, None), at)
        first, second = (
            repository.insert_request(connection, "a", count, reason, at)
            for reason, at in (("moved", AT + HOUR), ("moved on", AT))
        )
        assert repository.load_registered_at(connection, "a") == AT
        assert repository.load_registered_at(connection, "c") is None
        assert repository.load_last_request_at(connection) == AT + HOUR
        assert repository.load_request(connection, first) == "moved"
        assert repository.load_request(connection, second) == "moved on"
        assert repository.load_request(connection, second + 1) is None
        query = text("SELECT model_version, n_drifted, n_watched FROM refit_requests LIMIT 1")
        assert tuple(connection.execute(query).one()) == ("a", 2, 4)


def test_a_models_reason_grows_and_no_others(database: Engine) -> None:
    with database.begin() as connection:
        for version in "ab":
            insert_model(connection, NewModel(version, "shadow", "fit", {}, {}, None), AT)
        repository.append_reason(connection, "a", "drift asked for it")
        rows = connection.execute(text("SELECT version, reason FROM models"))
        reasons = {row.version: row.reason for row in rows}
    assert reasons == {"a": "fit; drift asked for it", "b": "fit"}
