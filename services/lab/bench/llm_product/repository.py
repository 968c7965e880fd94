"""SQL of runs: their databases, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, RowMapping, create_engine, text

from services.kernel.db.session import sqlalchemy_url

_DECISION = (
    "d.id, d.origin_at, d.decided_at, d.current_replicas, d.raw_replicas, d.desired_replicas, "
    "d.direction, d.reason, d.rung, d.risk_target, d.risk_estimated, d.explanation, d.variants"
)


def newest_decision(engine: Engine, workload_id: int, origin_at: datetime) -> RowMapping | None:
    """The decision of an origin; None: there is none."""
    statement = text(
        f"SELECT {_DECISION} FROM decisions d WHERE d.workload_id = :id "  # noqa: S608
        "AND d.origin_at = :origin ORDER BY d.id DESC LIMIT 1"
    )
    with engine.connect() as connection:
        found = connection.execute(statement, {"id": workload_id, "origin": origin_at})
        return found.mappings().first()


def all_decisions(engine: Engine, workload_id: int) -> Sequence[RowMapping]:
    """Every decision of a run, oldest first."""
    statement = text(
        f"SELECT {_DECISION} FROM decisions d WHERE d.workload_id = :id "  # noqa: S608
        "ORDER BY d.origin_at, d.id"
    )
    with engine.connect() as connection:
        return connection.execute(statement, {"id": workload_id}).mappings().all()


def workload_id_of(engine: Engine, namespace: str, name: str) -> int:
    """Id of a workload."""
    statement = text("SELECT id FROM workloads WHERE namespace = :namespace AND name = :name")
    with engine.connect() as connection:
        found = connection.execute(statement, {"namespace": namespace, "name": name})
        return int(found.scalar_one())


def create_database(server_url: str, name: str, template: str = "template1") -> None:
    """Make a database, a copy of another one."""
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")


def drop_database(server_url: str, name: str) -> None:
    """Drop a database and whoever is connected to it."""
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    engine = create_engine(sqlalchemy_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
