"""A database to measure on, and decisions as the decision service stores them."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, create_engine, func, select, text

from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows, next_ids, sqlalchemy_url, unit_of_work
from services.lab.bench.operator.fleet import Name

_TTL = timedelta(hours=1)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """A database of its own, so that nothing of anybody's is touched."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    admin = create_engine(sqlalchemy_url(server_url), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    head, _, query = server_url.partition("?")
    try:
        yield f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@dataclass(slots=True)
class Decider:
    """Stands for the decision service."""

    engine: Engine
    policy_version: str
    step_s: int
    _forecast_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def workload_ids(self) -> dict[Name, int]:
        """Ids of the registered workloads."""
        table = schema.workloads
        query = select(table.c.namespace, table.c.name, table.c.id)
        with self.engine.connect() as connection:
            return {Name(row[0], row[1]): int(row[2]) for row in connection.execute(query)}

    def decide(self, wanted: Mapping[int, int], now: datetime) -> None:
        """Store a decision for each workload id, and notify, in one transaction."""
        with unit_of_work(self.engine) as work:
            ids = next_ids(work.connection, "decisions_id_seq", len(wanted))
            rows = [
                self._row(id_, workload_id, replicas, now)
                for id_, (workload_id, replicas) in zip(ids, wanted.items(), strict=True)
            ]
            copy_rows(
                work.connection,
                CopyTarget(schema.decisions, tuple(rows[0]), "error"),
                [tuple(row.values()) for row in rows],
            )
            work.connection.execute(text("SELECT pg_notify('harmony_decisions', '0')"))

    def _row(self, id_: int, workload_id: int, replicas: int, now: datetime) -> dict[str, Any]:
        return {
            "id": id_,
            "origin_at": now - timedelta(seconds=self.step_s),
            "workload_id": workload_id,
            "forecast_id": next(self._forecast_ids),
            "policy_version": self.policy_version,
            "decided_at": now,
            "valid_until": now + _TTL,
            "current_replicas": replicas - 1,
            "raw_replicas": replicas,
            "desired_replicas": replicas,
            "direction": "up",
            "reason": "scale_up_risk",
            "binding_constraint": "",
            "rung": "forecast",
            "risk_target": 0.01,
            "risk_estimated": 0.004,
            "cost_delta_usd_per_h": 2.5,
            "explanation": json.dumps({"guard_trace": []}),
        }

    def results(self) -> dict[str, int]:
        """Actions written, by result."""
        table = schema.actions
        query = select(table.c.result, func.count()).group_by(table.c.result)
        with self.engine.connect() as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(query)}
