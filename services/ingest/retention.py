"""What has had its time goes: partitions whole, rows of other tables in small batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from services.ingest.deps import IngestDeps
from services.ingest.series import repository
from services.kernel.db.retention import BATCH, EXPIRING, MAX_BATCHES, ExpiringTable, delete_expired
from services.kernel.db.session import unit_of_work
from services.kernel.server_clock import not_ahead
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger


def retention(settings: Settings) -> dict[str, timedelta]:
    """Time that each partitioned table keeps its rows for."""
    decisions = timedelta(days=settings.retain_decisions_days)
    # evidence stays as long as what it explains
    kept = dict.fromkeys(repository.PARTITIONED_TABLES, decisions)
    for raw in ("observations", "series_observations"):
        kept[raw] = timedelta(days=settings.retain_observations_days)
    for table in ("indicator_steps", "indicator_values"):
        kept[table] = timedelta(days=settings.retain_indicators_days)
    for replayed in ("forecasts", "decision_inputs"):  # neither is of use without the other
        kept[replayed] = timedelta(days=settings.retain_forecasts_days)
    return kept


def drop_expired(deps: IngestDeps, at: datetime) -> dict[str, int]:
    """Drop what has passed its retention; a table where that fails keeps no other from it.

    One transaction per table: dropping a partition locks its table, and two such locks held
    together could wait for a writer in a circle.

    Args:
        deps: Dependencies.
        at: Now. A clock that is ahead of the database's counts as it: what it drops is gone.

    Returns:
        Per table, how many partitions were dropped or rows deleted.

    Raises:
        SQLAlchemyError: What failed first, once all tables have had their turn.
    """
    with deps.engine.connect() as connection:
        at = not_ahead(connection, at, deps.clock)
    decisions = timedelta(days=deps.settings.retain_decisions_days)
    errors: list[SQLAlchemyError] = []
    dropped: dict[str, int] = {}

    def attempt(table: str, drop: Callable[[], int]) -> None:
        try:
            dropped[table] = drop()
        except SQLAlchemyError as error:
            get_logger(__name__).error("retention_failed", table=table, message=str(error)[:500])
            errors.append(error)

    for name, kept in retention(deps.settings).items():
        attempt(name, partial(_drop_partitions, deps, name, at, kept))
    for table in EXPIRING:
        before = at - (decisions if table.kept is None else table.kept)
        attempt(table.name, partial(_delete_rows, deps, table, before))
    if errors:
        raise errors[0]
    get_logger(__name__).info("retention", **{name: n for name, n in dropped.items() if n})
    return dropped


def _drop_partitions(deps: IngestDeps, table: str, at: datetime, kept: timedelta) -> int:
    with unit_of_work(deps.engine) as work:
        return len(repository.drop_expired(work.connection, table, at, kept))


def _delete_rows(deps: IngestDeps, table: ExpiringTable, before: datetime) -> int:
    """Delete batch by batch, each in a transaction of its own."""
    n_deleted = 0
    for _ in range(MAX_BATCHES):
        with unit_of_work(deps.engine) as work:
            n_batch = delete_expired(work.connection, table, before)
        n_deleted += n_batch
        if n_batch < BATCH:
            break
    return n_deleted
