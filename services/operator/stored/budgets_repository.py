"""All SQL of GPU budgets as the operator reads them: what each holds, and this cluster's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from services.operator.stored.columns import to_count


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A row of `gpu_budgets`.

    Attributes:
        gpus: None: could not be read, for `reason`.
        source: Where it comes from.
    """

    gpu_type: str
    gpus: int | None
    source: str
    reason: str = ""


def store_budgets(
    connection: Connection, rows: Sequence[BudgetRow], confirm_before: datetime, now: datetime
) -> None:
    """Store budgets that changed, and confirm those last seen before `confirm_before`."""
    if not rows:
        return
    statement = text(
        "INSERT INTO gpu_budgets (gpu_type, gpus, source, reason, observed_at) "
        "VALUES (:gpu_type, :gpus, :source, :reason, :now) "
        "ON CONFLICT (cluster_id, gpu_type) DO UPDATE SET "
        "gpus = EXCLUDED.gpus, source = EXCLUDED.source, reason = EXCLUDED.reason, "
        "observed_at = EXCLUDED.observed_at WHERE gpu_budgets.observed_at <= :confirm_before "
        "OR (gpu_budgets.gpus, gpu_budgets.source, gpu_budgets.reason) "
        "IS DISTINCT FROM (EXCLUDED.gpus, EXCLUDED.source, EXCLUDED.reason)"
    )
    connection.execute(
        statement, [_values(row) | {"confirm_before": confirm_before, "now": now} for row in rows]
    )


def _values(row: BudgetRow) -> dict[str, Any]:
    return asdict(row) | {"gpus": to_count(row.gpus)}


def drop_budgets(connection: Connection, kept: Sequence[str], oldest: datetime) -> None:
    """Drop budgets of other types than `kept`; a known one if it was last seen before `oldest`."""
    statement = text(
        "DELETE FROM gpu_budgets WHERE NOT gpu_type = ANY(CAST(:kept AS text[])) "
        "AND (gpus IS NULL OR observed_at < :oldest)"
    )
    connection.execute(statement, {"kept": list(kept), "oldest": oldest})


def load_gpu_budgets(connection: Connection, oldest: datetime) -> dict[str, int | None]:
    """GPUs by type as they were read last; None: not read since `oldest`, or not readable."""
    statement = text(
        "SELECT gpu_type, CASE WHEN observed_at >= :oldest THEN gpus END FROM gpu_budgets"
    )
    return {row[0]: row[1] for row in connection.execute(statement, {"oldest": oldest})}


def load_cell_parts(connection: Connection) -> dict[str, int | None]:
    """This cluster's parts of totals over the cells, by GPU type; None: it has none yet."""
    statement = text(
        "SELECT t.gpu_type, p.gpus FROM cell_totals t LEFT JOIN cell_budgets p "
        "ON p.gpu_type = t.gpu_type AND p.cluster_id = current_cluster()"
    )
    return {row[0]: row[1] for row in connection.execute(statement)}
