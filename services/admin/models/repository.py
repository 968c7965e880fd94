"""SQL of the model registry as the API reads and changes it, and of posteriors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions, page

_MODEL = (
    "id, version, kind, status, reason, config, metrics, created_at, promoted_at, retired_at, "
    "octet_length(artifact) AS n_bytes"
)
_POSTERIOR = (
    "p.id, p.kind, p.scope, p.status, p.reason, p.n_observations, p.summary, p.diagnostics, "
    "p.fitted_at, w.namespace, w.name"
)
# after the workload's id a scope may name a GPU type and the cause of a start
_OF_WORKLOAD = (
    "FROM posteriors p LEFT JOIN workloads w "
    "ON w.id = CAST(substring(p.scope FROM '^workload:([0-9]{1,18})([/#]|$)') AS bigint)"
)
OWN_SCOPE = "workload:"
"""Beginning of a scope that is of a workload."""


def load_models(connection: Connection, filters: Mapping[str, Any], limit: int) -> list[RowMapping]:
    """Models without their weights, newest first.

    Filters: `status`, `from_at`, `to_at` (of creation), `after`.
    """
    where = Conditions()
    where.equal("status", filters.get("status"))
    where.between("created_at", filters)
    where.after("id < :a0", filters.get("after"))
    return page(connection, f"SELECT {_MODEL} FROM models", where, "id DESC", limit)  # noqa: S608


def load_model(connection: Connection, version: str) -> RowMapping | None:
    """One model, without its weights."""
    statement = text(f"SELECT {_MODEL} FROM models WHERE version = :version")  # noqa: S608
    return connection.execute(statement, {"version": version}).mappings().first()


def lock_registry(connection: Connection) -> None:
    """No other transaction changes what serves until this one ends; readers go on."""
    connection.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))


def load_promoted(connection: Connection) -> RowMapping | None:
    """The model that serves."""
    statement = text(f"SELECT {_MODEL} FROM models WHERE status = 'promoted'")  # noqa: S608
    return connection.execute(statement).mappings().first()


def load_last_retired(connection: Connection) -> RowMapping | None:
    """The model that served before the present one."""
    statement = text(
        f"SELECT {_MODEL} FROM models WHERE status = 'retired' AND artifact IS NOT NULL "  # noqa: S608
        "ORDER BY retired_at DESC, id DESC LIMIT 1"
    )
    return connection.execute(statement).mappings().first()


def set_promoted(connection: Connection, model_id: int, reason: str, at: datetime) -> None:
    """Make one model the serving one and retire the incumbent."""
    connection.execute(
        text("UPDATE models SET status = 'retired', retired_at = :at WHERE status = 'promoted'"),
        {"at": at},
    )
    connection.execute(
        text(
            "UPDATE models SET status = 'promoted', reason = :reason, promoted_at = :at, "
            "retired_at = NULL WHERE id = :id"
        ),
        {"id": model_id, "reason": reason, "at": at},
    )


def set_shadow(connection: Connection, model_id: int, reason: str) -> None:
    """Take a model out of service, or back among the candidates."""
    connection.execute(
        text(
            "UPDATE models SET status = 'shadow', reason = :reason, retired_at = NULL "
            "WHERE id = :id"
        ),
        {"id": model_id, "reason": reason},
    )


def load_posteriors(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Posteriors without their draws, newest first.

    Filters: `kind`, `scope`, `status`, `from_at`, `to_at` (of the fit), `namespaces` (of the
    workload, where it is of one), `after`.
    """
    where = Conditions()
    for column in ("kind", "scope", "status"):
        where.equal(f"p.{column}", filters.get(column))
    if filters.get("namespaces") is not None:
        where.add(
            "(NOT starts_with(p.scope, :own) OR w.namespace = ANY(:visible))",
            own=OWN_SCOPE,
            visible=list(filters["namespaces"]),
        )
    where.between("p.fitted_at", filters)
    where.after("p.id < :a0", filters.get("after"))
    return page(connection, f"SELECT {_POSTERIOR} {_OF_WORKLOAD}", where, "p.id DESC", limit)


def load_posterior(connection: Connection, posterior_id: int) -> RowMapping | None:
    """One posterior with its draws."""
    statement = text(f"SELECT {_POSTERIOR}, p.draws {_OF_WORKLOAD} WHERE p.id = :id")
    return connection.execute(statement, {"id": posterior_id}).mappings().first()
