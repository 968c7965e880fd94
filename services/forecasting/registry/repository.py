"""SQL of the model registry. At most one model is promoted (a partial unique index holds it)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.schema import models
from services.kernel.db.session_lock import session_lock

SHADOW, PROMOTED, RETIRED, FAILED = "shadow", "promoted", "retired", "failed"
TRAINING = "training"
"""A fit that runs, or was interrupted; its artifact is the state to go on from, not a model."""
FIT_LOCK = "harmony.forecast.fit"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
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


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """An unfinished fit; `state` is None until its first epoch has ended."""

    id: int
    config: dict[str, Any]
    metrics: dict[str, Any]
    state: bytes | None
    created_at: datetime


def fit_lock(engine: Engine) -> AbstractContextManager[bool]:
    """Be the only fit on this database; see `session_lock`."""
    return session_lock(engine, FIT_LOCK)


def lock_registry(connection: Connection) -> None:
    """No other transaction changes what serves until this one ends; readers go on.

    It comes before anything is read or written that depends on what serves: of two that promote at
    once the second would not see the first's model, and fail by the index.
    """
    connection.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))


def _one(connection: Connection, query: Select[Any]) -> RegisteredModel | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else RegisteredModel(*row)


_ROW = select(models.c.id, models.c.version, models.c.status, models.c.reason, models.c.metrics)


_IS_PROMOTED = models.c.status == PROMOTED
_HAS_PICKS = models.c.status.not_in((FAILED, TRAINING)) & models.c.metrics.has_key("picks")


def load_promoted(connection: Connection) -> RegisteredModel | None:
    """The model that serves, if any."""
    return _one(connection, _ROW.where(_IS_PROMOTED))


def load_newest(connection: Connection) -> RegisteredModel | None:
    """The newest fit that has picks of simple forecasters, whatever its verdict."""
    return _one(connection, _ROW.where(_HAS_PICKS).order_by(models.c.id.desc()))


def load_serving_ids(connection: Connection) -> tuple[int, int]:
    """Ids of the model that serves and of the one whose picks do; 0: there is none.

    Their rows hold a few figures of each workload, which need not be read to see that nothing has
    changed.
    """
    ids = select(models.c.id)
    promoted = connection.execute(ids.where(_IS_PROMOTED).limit(1)).scalar_one_or_none()
    if promoted is not None:
        return promoted, promoted
    newest = ids.where(_HAS_PICKS).order_by(models.c.id.desc()).limit(1)
    return 0, connection.execute(newest).scalar_one_or_none() or 0


def load_by_version(connection: Connection, version: str) -> RegisteredModel | None:
    """A model by its version; no retention takes it before this transaction ends."""
    return _one(connection, _ROW.where(models.c.version == version).with_for_update())


def load_last_retired(connection: Connection) -> RegisteredModel | None:
    """The model that served before the present one."""
    query = _ROW.where(models.c.status == RETIRED, models.c.artifact.is_not(None))
    return _one(connection, query.order_by(models.c.retired_at.desc(), models.c.id.desc()))


def load_artifact(connection: Connection, model_id: int) -> bytes:
    """The checkpoint of a model; empty where none is stored."""
    statement = select(models.c.artifact).where(models.c.id == model_id)
    return bytes(connection.execute(statement).scalar_one() or b"")


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
    """Make one model the serving one and retire the incumbent, in this transaction.

    The registry is locked, see `lock_registry`.
    """
    connection.execute(
        update(models).where(models.c.status == PROMOTED).values(status=RETIRED, retired_at=at)
    )
    connection.execute(
        update(models)
        .where(models.c.id == model_id)
        .values(status=PROMOTED, reason=reason, promoted_at=at, retired_at=None)
    )


def load_training(connection: Connection) -> TrainingRow | None:
    """The unfinished fit, if any."""
    query = select(
        models.c.id, models.c.config, models.c.metrics, models.c.artifact, models.c.created_at
    )
    row = connection.execute(
        query.where(models.c.status == TRAINING).order_by(models.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    state = None if row.artifact is None else bytes(row.artifact)
    return TrainingRow(row.id, row.config, row.metrics, state, row.created_at)


def save_training(
    connection: Connection, model_id: int, metrics: dict[str, Any], state: bytes | None
) -> None:
    """Note how far an unfinished fit has come; a state of None leaves the one that is there."""
    values: dict[str, Any] = {"metrics": metrics}
    if state is not None:
        values["artifact"] = state
    connection.execute(update(models).where(models.c.id == model_id).values(**values))


def delete_training(connection: Connection) -> None:
    """Forget every unfinished fit."""
    connection.execute(delete(models).where(models.c.status == TRAINING))


def load_models(
    connection: Connection, n_most: int, version: str | None = None
) -> list[dict[str, Any]]:
    """Rows of the registry without their artifacts, newest first; of one version when given."""
    columns = [column for column in models.c if column.name != "artifact"]
    query = select(*columns, func.octet_length(models.c.artifact).label("n_bytes"))
    if version is not None:
        query = query.where(models.c.version == version)
    rows = connection.execute(query.order_by(models.c.id.desc()).limit(n_most))
    return [dict(row) for row in rows.mappings()]
