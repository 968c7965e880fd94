"""A small fleet whose rows are right, and a way to plant what is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.security.keys import ensure_first_key
from services.lab.bench.faults.fleet import DEMAND, FaultFleet, make_fleet
from services.lab.bench.faults.invariants import OriginGrid
from services.lab.bench.faults.outside.scale_log import SeenScale
from services.lab.bench.faults.verdict import Evidence
from tests.integration.decision.stored_rows import add_forecast

FIRST = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
STEP_S = 5
N_ORIGINS = 4
_OBSERVED = ("workload_id", "indicator", "observed_at", "value")


@dataclass(slots=True)
class PlantedFleet:
    """Three workloads, four origins, a scaling of the first one.

    Attributes:
        ids: Workload ids by key.
    """

    engine: Engine
    fleet: FaultFleet
    ids: dict[str, int]
    n_forecasts: int = 0
    n_decisions: int = 0

    @property
    def first(self) -> str:
        """Key of the workload that is scaled."""
        return self.fleet.members[0].key

    def origin(self, number: int) -> datetime:
        return FIRST + timedelta(seconds=STEP_S * number)

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def forecast(self, key: str, number: int, version: str = "best-simple") -> int:
        self.n_forecasts += 1
        return add_forecast(
            self.engine,
            self.ids[key],
            100.0,
            forecast_id=self.n_forecasts,
            origin_at=self.origin(number),
            version=version,
        )

    def decide(self, key: str, number: int, forecast_id: int) -> int:
        self.n_decisions += 1
        row = {
            "id": self.n_decisions,
            "origin_at": self.origin(number),
            "workload_id": self.ids[key],
            "forecast_id": forecast_id,
            "policy_version": "harmony-1",
            "decided_at": self.origin(number + 1),
            "valid_until": self.origin(number + 4),
            "current_replicas": 1,
            "raw_replicas": 1,
            "desired_replicas": 1,
            "direction": "none",
            "reason": "within_tolerance",
            "rung": "model",
            "risk_target": 0.01,
            "cost_delta_usd_per_h": 0.0,
            "explanation": json.dumps({}),
        }
        self._copy("decisions", row)
        return self.n_decisions

    def act(self, key: str, number: int, decision_id: int, **changes: Any) -> None:
        row = {
            "id": 1000 + decision_id,
            "origin_at": self.origin(number),
            "decision_id": decision_id,
            "workload_id": self.ids[key],
            "attempt": 1,
            "from_replicas": 1,
            "to_replicas": 1,
            "result": "unchanged",
            "reason": "",
            "applied_at": self.origin(number + 1),
        }
        self._copy("actions", row | changes)

    def observe(self, key: str, at: datetime) -> None:
        values = (self.ids[key], DEMAND, at, 100.0)
        self._copy("observations", dict(zip(_OBSERVED, values, strict=True)))

    def evidence(self, **changes: Any) -> Evidence:
        """What was seen from outside, where all is right."""
        grid = OriginGrid(FIRST, self.origin(N_ORIGINS - 1), STEP_S)
        given = {"fleet": self.fleet, "grid": grid, "seen": self.seen((0, 1), (11, 2))}
        accepted = {self.first: {int(FIRST.timestamp())}}
        return Evidence(**{**given, "accepted": accepted, **changes})

    def seen(self, *at_and_replicas: tuple[float, int]) -> list[SeenScale]:
        return [
            SeenScale(FIRST + timedelta(seconds=at_s), self.first, replicas, replicas)
            for at_s, replicas in at_and_replicas
        ]

    def _copy(self, table: str, row: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            target = CopyTarget(schema.metadata.tables[table], tuple(row), "error")
            copy_rows(connection, target, [tuple(row.values())])


def plant(engine: Engine) -> PlantedFleet:
    """Rows of a run in which all held."""
    fleet = make_fleet(3)
    ids = {}
    for one in fleet.members:
        with engine.begin() as connection:
            ids[one.key] = connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                    "updated_at) VALUES (:namespace, :name, 0, 5, '{}', :at, :at) RETURNING id"
                ),
                {"namespace": one.namespace, "name": one.name, "at": FIRST},
            ).scalar_one()
    found = PlantedFleet(engine, fleet, ids)
    for one in fleet.healthy:
        for number in range(N_ORIGINS):
            decision = found.decide(one.key, number, found.forecast(one.key, number))
            is_scaled = (one.key, number) == (found.first, 1)
            change = {"result": "applied", "to_replicas": 2} if is_scaled else {}
            found.act(one.key, number, decision, **change)
    found.observe(found.first, FIRST)
    ensure_first_key(engine, None, FIRST)
    return found
