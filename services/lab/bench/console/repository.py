"""SQL that gives pages of the console something to show beyond a fleet's history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

_WAITING = (
    "UPDATE workloads SET spec = jsonb_set(spec, '{mode}', '\"Approval\"') WHERE id <= :n",
    "UPDATE actions SET result = 'awaiting_approval' WHERE workload_id <= :n "
    "AND origin_at >= :since",
    "UPDATE decisions SET valid_until = :until WHERE workload_id <= :n AND origin_at >= :since",
)
_MODELS = (
    "INSERT INTO models (version, kind, status, reason, config, metrics, created_at, promoted_at) "
    "SELECT 'harmony-flow-' || i, 'flow', CASE WHEN i = 3 THEN 'promoted' ELSE 'retired' END, "
    "'back-test skill +0.' || i || '00 over the best simple forecaster', '{}', "
    "'{\"crps\": 0.081}', :at, :at FROM generate_series(1, :n) AS g(i)"
)
_BUDGET = (
    "INSERT INTO gpu_budgets (gpu_type, gpus, source, observed_at) "
    "VALUES ('H100', 9000, 'GPUBudget/hopper', :at)"
)


def decorate(engine: Engine, now: datetime, since: datetime, n: int) -> None:
    """Give `n` workloads a decision that waits, and the fleet `n` models and a budget.

    Args:
        engine: Database.
        now: Time of what is made.
        since: Origins from then on are the newest.
        n: How many of each.
    """
    with engine.begin() as connection:
        values = {"n": n, "since": since, "until": now.replace(year=now.year + 1)}
        for statement in _WAITING:
            _run(connection, statement, values)
        _run(connection, _MODELS, {"n": n, "at": now})
        _run(connection, _BUDGET, {"at": now})


def _run(connection: Connection, statement: str, values: dict[str, Any]) -> None:
    names = set(text(statement).compile().params)
    connection.execute(text(statement), {k: v for k, v in values.items() if k in names})


def is_decorated(engine: Engine) -> bool:
    """Check whether that was done before."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT EXISTS (SELECT 1 FROM gpu_budgets)"))
        return bool(found.scalar_one())
