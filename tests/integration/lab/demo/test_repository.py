"""A demo begins in an empty database, holds decisions back, and counts what forecast."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from services.decision.decide.service import decide_shard
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db.migrations import current_revision, head_revision, migrate
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.lab.demo.repository import (
    ForecastCount,
    decisions_held,
    drop_everything,
    forecast_sources,
    shards_of,
)
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP_S,
    add_forecast,
    add_workload,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration

MADE = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'cell'
UNION ALL SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def made(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text(MADE)).scalars())


def test_nothing_stays_and_the_schema_can_be_made_again(database: Engine) -> None:
    assert len(made(database)) > 100
    drop_everything(database)
    assert made(database) == []
    migrate(database)
    assert current_revision(database) == head_revision()


def test_what_is_somebody_elses_stays(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE mine (n int)"))
        connection.execute(text("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
    drop_everything(database)
    assert made(database) == ["mine", "mine"]


def test_a_demo_of_an_earlier_release_leaves_nothing_either(database: Engine) -> None:
    drop_everything(database)
    migrate(database, "0017")
    drop_everything(database)
    assert made(database) == []
    migrate(database)
    assert current_revision(database) == head_revision()


def test_forecasts_are_counted_by_what_made_them(database: Engine) -> None:
    one, two = add_workload(database, "one"), add_workload(database, "two")
    later = ORIGIN + timedelta(seconds=STEP_S)
    rows = ((one, ORIGIN, 5.0), (two, ORIGIN, None), (one, later, 5.0), (two, later, 6.0))
    for number, (workload, origin_at, level) in enumerate(rows, start=1):
        add_forecast(
            database,
            workload,
            level,
            forecast_id=number,
            origin_at=origin_at,
            version="prior-1",
        )
    model = ForecastCount("model", "prior-1", 3)
    assert forecast_sources(database, ORIGIN) == [model, ForecastCount("none", "prior-1", 1)]
    assert forecast_sources(database, later) == [ForecastCount("model", "prior-1", 2)]


def test_decisions_of_the_fleets_shards_are_held_back_until_the_block_ends(
    database: Engine, settings: Settings
) -> None:
    one_workload(database)
    short = text("SET LOCAL lock_timeout = '100ms'")
    event.listen(database, "begin", lambda connection: connection.execute(short))
    settings = settings.model_copy(update={"step_s": STEP_S})
    deps = DecisionDeps(database, FixedClock(NOW), settings, sender=RecordingSender())
    shards = shards_of(database)
    with decisions_held(database, shards), pytest.raises(OperationalError, match="lock timeout"):
        decide_shard(deps, shards[0], ORIGIN)
    assert decisions(database) == []
    decide_shard(deps, shards[0], ORIGIN)
    assert len(decisions(database)) == 1
