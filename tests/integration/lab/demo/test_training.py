"""The demo's training: one job is sent, and the demo waits for the model that it registers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, insert, update

from services.kernel.db.schema import models
from services.kernel.jobs import FORECAST_FIT
from services.kernel.settings import Settings
from services.lab.demo.training import start_training, wait_for_training

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 5, tzinfo=UTC)
OUT_OF_TIME_S = -3600.0


def add_model(engine: Engine, version: str, status: str, reason: str = "") -> None:
    row: dict[str, Any] = {"version": version, "kind": "base", "status": status, "reason": reason}
    row |= {"config": {}, "metrics": {}, "created_at": NOW}
    with engine.begin() as connection:
        connection.execute(insert(models).values(row))


def nothing() -> None:
    """Neither a check that fails nor a tick that does anything."""


def test_the_job_is_on_the_queue_for_fits(settings: Settings, redis_url: str) -> None:
    start_training(settings)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("fit") == 1
        message = json.loads(client.lindex("fit", 0))
    assert message["headers"]["task"] == FORECAST_FIT


@pytest.mark.parametrize("status", ["promoted", "shadow", "failed"])
def test_a_model_that_is_there_ends_the_wait(database: Engine, status: str) -> None:
    add_model(database, "v1", status, "it was better")
    found = wait_for_training(database, 60.0, nothing, nothing)
    assert (found.status, found.version, found.reason) == (status, "v1", "it was better")
    assert found.wall_s >= 0


def test_the_newest_model_that_is_done_is_the_result(database: Engine) -> None:
    for version, status in (("v1", "retired"), ("v2", "shadow"), ("v3", "training")):
        add_model(database, version, status)
    assert wait_for_training(database, 60.0, nothing, nothing).version == "v2"


def test_the_wait_lasts_while_the_model_trains(database: Engine) -> None:
    add_model(database, "v1", "training")
    calls: list[str] = []

    def tick() -> None:
        calls.append("tick")
        if len(calls) >= 4:
            with database.begin() as connection:
                connection.execute(update(models).values(status="promoted"))

    found = wait_for_training(database, 60.0, lambda: calls.append("check"), tick)
    assert calls == ["check", "tick"] * 2
    assert found.status == "promoted"
    assert found.wall_s > 0


def test_a_model_that_does_not_come_in_time_is_late(database: Engine) -> None:
    add_model(database, "v1", "training")
    found = wait_for_training(database, OUT_OF_TIME_S, nothing, nothing)
    assert (found.status, found.version) == ("late", "")
    assert "best-simple forecaster serves" in found.reason


def test_there_is_a_minute_of_grace_after_the_budget(database: Engine) -> None:
    class Ticked(Exception):
        """Raised by the first tick: the wait goes on."""

    def tick() -> None:
        raise Ticked

    with pytest.raises(Ticked):
        wait_for_training(database, -50.0, nothing, tick)
    assert wait_for_training(database, -61.0, nothing, tick).status == "late"


def test_a_process_that_ended_ends_the_wait(database: Engine) -> None:
    def check() -> None:
        raise RuntimeError("the worker has ended")

    with pytest.raises(RuntimeError, match="has ended"):
        wait_for_training(database, 60.0, check, nothing)
