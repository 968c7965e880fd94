"""SQL of the model registry. At most one model is promoted (a partial unique index holds it)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select, update
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.schema import models

SHADOW, PROMOTED, RETIRED, FAILED = "shadow", "promoted", "retired", "failed"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A registry row without its artifact."""

    id: int
    version: str
    status: str
    reason: str
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model to register."""

    version: str
    status: str
    reason: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    artifact: bytes | None


def _one(connection: Connection, query: Select[Any]) -> ModelRow | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else ModelRow(*row)


_ROW = select(models.c.id, models.c.version, models.c.status, models.c.reason, models.c.metrics)


def load_promoted(connection: Connection) -> ModelRow | None:
    """The model that serves, if any."""
    return _one(connection, _ROW.where(models.c.status == PROMOTED))


def load_newest(connection: Connection) -> ModelRow | None:
    """The newest fit that has picks of simple forecasters, whatever its verdict."""
    query = _ROW.where(models.c.status != FAILED, models.c.metrics.has_key("picks"))
    return _one(connection, query.order_by(models.c.id.desc()))


def load_by_version(connection: Connection, version: str) -> ModelRow | None:
    """A model by its version."""
    return _one(connection, _ROW.where(models.c.version == version))


def load_last_retired(connection: Connection) -> ModelRow | None:
    """The model that served before the present one."""
    query = _ROW.where(models.c.status == RETIRED, models.c.artifact.is_not(None))
    return _one(connection, query.order_by(models.c.retired_at.desc(), models.c.id.desc()))


def load_artifact(connection: Connection, model_id: int) -> bytes:
    """The checkpoint of a model."""
    statement = select(models.c.artifact).where(models.c.id == model_id)
    return bytes(connection.execute(statement).scalar_one())


def insert_model(connection: Connection, model: NewModel, at: datetime) -> int | None:
    """Register a model; None when its version is there already (the same fit ran twice)."""
    statement = (
        insert(models)
        .values(
            version=model.version,
            kind="flow",
            status=model.status,
            reason=model.reason,
            config=model.config,
            metrics=model.metrics,
            artifact=model.artifact,
            created_at=at,
        )
        .on_conflict_do_nothing(index_elements=["version"])
        .returning(models.c.id)
    )
    return connection.execute(statement).scalar_one_or_none()


def set_promoted(connection: Connection, model_id: int, reason: str, at: datetime) -> None:
    """Make one model the serving one and retire the incumbent, in this transaction."""
    connection.execute(
        update(models).where(models.c.status == PROMOTED).values(status=RETIRED, retired_at=at)
    )
    connection.execute(
        update(models)
        .where(models.c.id == model_id)
        .values(status=PROMOTED, reason=reason, promoted_at=at, retired_at=None)
    )
