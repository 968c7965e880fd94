"""What earlier releases stored is made again to the same bytes, and they can go on storing it.

Each file of `releases` has the workloads, forecasts and decisions that the code of that commit
wrote on its own schema, from the rows of its own tests: plain, silent and with variants; of the
newer one also a promise about any step of a window, two loads, pools, and a learned response.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from services.decision.decide import service
from services.decision.decide.replay import replay
from services.decision.wiring import DecisionDeps
from services.kernel.db import migrations
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.session import unit_of_work
from tests.integration.decision.stored_rows import ORIGIN, STEP

pytestmark = pytest.mark.integration

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.json.gz"))
TABLES = ("workloads", "forecasts", "decisions")


def read(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(release.read_bytes()))
    return found


def insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """Write the columns that the release knows, and no others."""
    names = ", ".join(f'"{name}"' for name in rows[0])
    statement = (
        f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, CAST(:rows AS jsonb))"
    )
    connection.execute(text(statement), {"rows": json.dumps(rows)})


def fill(deps: DecisionDeps, stored: dict[str, Any]) -> None:
    with unit_of_work(deps.engine) as work:
        for table in TABLES[1:]:
            ensure_partitions(work.connection, table, ORIGIN, ORIGIN + 2000 * STEP)
        for table in TABLES:
            insert(work.connection, table, stored[table])


def check(deps: DecisionDeps, stored: dict[str, Any]) -> None:
    for row in stored["decisions"]:
        report = replay(deps, row["id"])
        assert report.is_identical, row["explanation"]["summary"]
        assert report.record["final"] == row["desired_replicas"]
        assert "replay_message" not in service.explain(deps, row["id"])


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name.partition(".")[0])
def test_what_it_stored_before_the_migrations_replays(deps: DecisionDeps, release: Path) -> None:
    from alembic import command

    stored, config = read(release), migrations._config()
    with deps.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, stored["revision"])
        connection.commit()
    fill(deps, stored)
    assert migrations.migrate(deps.engine) == migrations.head_revision()
    check(deps, stored)


def test_the_release_before_goes_on_storing_into_the_new_schema(deps: DecisionDeps) -> None:
    stored = read(next(path for path in RELEASES if path.name.startswith("1a83a13")))
    fill(deps, stored)
    check(deps, stored)


def test_its_inputs_outlive_its_forecasts(deps: DecisionDeps) -> None:
    """They hold the paths themselves, and go with the decision."""
    stored = read(RELEASES[0])
    fill(deps, stored)
    with deps.engine.begin() as connection:
        connection.execute(text("DELETE FROM forecasts"))
    check(deps, stored)
