"""The registry's rows: one model serves, an unfinished fit is no model."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from services.forecasting.registry import repository
from services.forecasting.registry.repository import (
    FAILED,
    PROMOTED,
    RETIRED,
    SHADOW,
    TRAINING,
    NewModel,
)

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
PICKS = {"picks": {"demo/w": "last_value"}}


def new(version: str, status: str = SHADOW, artifact: bytes | None = b"weights") -> NewModel:
    return NewModel(version, status, "fit", {"width": 8}, PICKS, artifact)


def add(connection: Connection, model: NewModel, at: datetime = AT) -> int:
    model_id = repository.insert_model(connection, model, at)
    assert model_id is not None
    return model_id


def test_the_same_fit_is_registered_once(database: Engine) -> None:
    with database.begin() as connection:
        model_id = add(connection, new("a"))
        assert repository.insert_model(connection, replace(new("a"), reason="again"), AT) is None
        found = repository.load_by_version(connection, "a")
        assert repository.load_by_version(connection, "b") is None
        assert repository.load_artifact(connection, model_id) == b"weights"
    assert found == repository.RegisteredModel(model_id, "a", SHADOW, "fit", PICKS)


def test_a_promotion_retires_the_model_that_served(database: Engine) -> None:
    with database.begin() as connection:
        assert repository.load_promoted(connection) is None
        assert repository.load_last_retired(connection) is None
        ids = [add(connection, new(version)) for version in "abc"]
        for hour, model_id in enumerate(ids):
            repository.set_promoted(connection, model_id, f"hour {hour}", AT + hour * HOUR)
        promoted = repository.load_promoted(connection)
        retired = repository.load_last_retired(connection)
        rows = {row["version"]: row for row in repository.load_models(connection, 9)}
    assert promoted is not None
    assert retired is not None
    assert (promoted.version, promoted.reason, retired.version) == ("c", "hour 2", "b")
    assert {version: row["status"] for version, row in rows.items()} == {
        "a": RETIRED,
        "b": RETIRED,
        "c": PROMOTED,
    }
    assert [rows[v]["retired_at"] for v in "abc"] == [AT + HOUR, AT + 2 * HOUR, None]
    assert [rows[v]["promoted_at"] for v in "abc"] == [AT, AT + HOUR, AT + 2 * HOUR]


def test_a_model_that_serves_again_is_no_longer_retired(database: Engine) -> None:
    with database.begin() as connection:
        a, b = (add(connection, new(version)) for version in "ab")
        for hour, model_id in enumerate((a, b, a)):
            repository.set_promoted(connection, model_id, "", AT + hour * HOUR)
        rows = {row["version"]: row["retired_at"] for row in repository.load_models(connection, 9)}
        retired = repository.load_last_retired(connection)
    assert rows == {"a": None, "b": AT + 2 * HOUR}
    assert retired is not None
    assert retired.version == "b"


def test_a_model_without_a_checkpoint_is_not_rolled_back_to(database: Engine) -> None:
    with database.begin() as connection:
        add(connection, new("empty", RETIRED, None))
        assert repository.load_last_retired(connection) is None


def test_the_newest_fit_is_the_last_with_picks_that_ended_well(database: Engine) -> None:
    with database.begin() as connection:
        assert repository.load_newest(connection) is None
        add(connection, new("old"))
        add(connection, new("good", RETIRED))
        add(connection, replace(new("no-picks"), metrics={}))
        add(connection, new("failed", FAILED))
        add(connection, new("running", TRAINING))
        newest = repository.load_newest(connection)
    assert newest is not None
    assert newest.version == "good"


def test_an_unfinished_fit_keeps_its_state_until_a_newer_one(database: Engine) -> None:
    with database.begin() as connection:
        add(connection, new("model"))
        assert repository.load_training(connection) is None
        model_id = add(connection, new("running", TRAINING, None), AT + HOUR)
        begun = repository.load_training(connection)
        repository.save_training(connection, model_id, {"epoch": 1}, b"one")
        repository.save_training(connection, model_id, {"epoch": 2}, None)
        reached = repository.load_training(connection)
        repository.delete_training(connection)
        assert repository.load_training(connection) is None
        assert repository.load_by_version(connection, "model") is not None
    assert begun == repository.TrainingRow(model_id, {"width": 8}, PICKS, None, AT + HOUR)
    assert reached == replace(begun, metrics={"epoch": 2}, state=b"one")


def test_rows_are_listed_newest_first_with_the_size_of_what_they_hold(database: Engine) -> None:
    with database.begin() as connection:
        for version, artifact in (("a", b"123"), ("b", None), ("c", b"1")):
            add(connection, new(version, artifact=artifact))
        rows = repository.load_models(connection, 2)
        (one,) = repository.load_models(connection, 2, "a")
    assert [(row["version"], row["n_bytes"]) for row in rows] == [("c", 1), ("b", None)]
    assert (one["version"], one["n_bytes"], one["kind"]) == ("a", 3, "flow")
    assert "artifact" not in one


def test_only_one_holds_the_lock_of_fits(database: Engine) -> None:
    with repository.fit_lock(database) as first, repository.fit_lock(database) as second:
        assert (first, second) == (True, False)
    with repository.fit_lock(database) as third:
        assert third
