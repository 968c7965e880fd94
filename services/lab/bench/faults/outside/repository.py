"""SQL by which the rows are looked at from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, create_engine, text

from services.kernel.db.session import sqlalchemy_url

_KEY = "w.namespace || '/' || w.name"


def outside_engine(database_url: str) -> Engine:
    """An engine of the bench's own, which gives up on a server that does not answer."""
    options = "-c timezone=UTC -c statement_timeout=10s"
    return create_engine(
        sqlalchemy_url(database_url),
        pool_size=2,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 3, "options": options},
    )


@dataclass(frozen=True, slots=True)
class OriginCount:
    """Rows of one workload at one origin.

    Attributes:
        key: `namespace/name`.
        n_forecasts: Forecasts of the model that has the most.
        n_decisions: Decisions of the policy that has the most.
        is_superseded: All its decisions came too late to be applied, and the action says so.
    """

    key: str
    origin_at: datetime
    n_forecasts: int
    n_decisions: int
    is_superseded: bool


@dataclass(frozen=True, slots=True)
class PassedOrigin:
    """An origin that a newer one passed before a workload's turn came, as the rows say."""

    key: str
    origin_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAction:
    """A scaling as the operator recorded it: an action, or an intent that is open."""

    key: str
    decision_id: int
    result: str
    from_replicas: int | None
    to_replicas: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """An intent that is in the table now."""

    key: str
    decision_id: int
    attempt: int


def load_settled(connection: Connection, since: datetime) -> dict[str, datetime]:
    """Per workload the newest origin, of none to come, whose decision has an action."""
    statement = text(
        f"SELECT {_KEY}, max(a.origin_at) FROM actions a JOIN workloads w ON w.id = a.workload_id "  # noqa: S608 - our column
        "WHERE a.origin_at >= :since AND a.origin_at <= now() GROUP BY 1"
    )
    return {str(row[0]): row[1] for row in connection.execute(statement, {"since": since})}


def load_intents(connection: Connection) -> list[OpenIntent]:
    """Intents that are open."""
    statement = text(
        f"SELECT {_KEY}, i.decision_id, i.attempt FROM intents i "  # noqa: S608 - our column
        "JOIN workloads w ON w.id = i.workload_id"
    )
    return [OpenIntent(str(r[0]), int(r[1]), int(r[2])) for r in connection.execute(statement)]


def load_failing(connection: Connection) -> dict[str, str]:
    """Workloads that a stage could not handle with the others, and why."""
    statement = text(
        f"SELECT {_KEY}, e.stage || ': ' || e.message FROM workload_errors e "  # noqa: S608 - our column
        "JOIN workloads w ON w.id = e.workload_id"
    )
    return {str(row[0]): str(row[1]) for row in connection.execute(statement)}


def load_origins(connection: Connection, first: datetime, last: datetime) -> list[OriginCount]:
    """Rows of every workload at every origin of a closed stretch that has any."""
    statement = text(
        f"SELECT {_KEY} AS key, f.origin_at, f.n, COALESCE(d.n, 0) AS n_decisions, "  # noqa: S608 - our column
        "COALESCE(s.is_superseded, false) AS is_superseded FROM workloads w "
        "JOIN (SELECT workload_id, origin_at, max(n) AS n FROM ("
        "  SELECT workload_id, origin_at, model_version, count(*) AS n FROM forecasts "
        "  WHERE origin_at BETWEEN :first AND :last GROUP BY 1, 2, 3) m GROUP BY 1, 2) f "
        "ON f.workload_id = w.id "
        "LEFT JOIN (SELECT workload_id, origin_at, max(n) AS n FROM ("
        "  SELECT workload_id, origin_at, policy_version, count(*) AS n FROM decisions "
        "  WHERE origin_at BETWEEN :first AND :last GROUP BY 1, 2, 3) p GROUP BY 1, 2) d "
        "ON d.workload_id = w.id AND d.origin_at = f.origin_at "
        "LEFT JOIN (SELECT workload_id, origin_at, "
        "  bool_and(result IN ('superseded', 'expired')) AS is_superseded FROM actions "
        "  WHERE origin_at BETWEEN :first AND :last GROUP BY 1, 2) s "
        "ON s.workload_id = w.id AND s.origin_at = f.origin_at ORDER BY 1, 2"
    )
    rows = connection.execute(statement, {"first": first, "last": last})
    return [
        OriginCount(str(r.key), r.origin_at, int(r.n), int(r.n_decisions), bool(r.is_superseded))
        for r in rows
    ]


def load_passed(connection: Connection, urgent: Sequence[str]) -> set[PassedOrigin]:
    """Origins that were passed over, of every workload, in any stage.

    Args:
        connection: An open transaction.
        urgent: Keys of the workloads that go first: a row is of their origin or of the others'.
    """
    statement = text(
        f"SELECT {_KEY} AS key, s.origin_at FROM superseded_origins s "  # noqa: S608 - our column
        f"JOIN workloads w ON w.shard = s.shard AND ({_KEY} = ANY(:urgent)) = s.is_urgent"
    )
    rows = connection.execute(statement, {"urgent": list(urgent)})
    return {PassedOrigin(str(row.key), row.origin_at) for row in rows}


def load_scalings(connection: Connection, since: datetime) -> list[StoredAction]:
    """What says that a target was, or may have been, scaled; in the order of the decisions."""
    statement = text(
        f"SELECT {_KEY} AS key, a.decision_id, a.result, a.from_replicas, a.to_replicas, "  # noqa: S608 - our column
        "a.applied_at AS at FROM actions a JOIN workloads w ON w.id = a.workload_id "
        "WHERE a.origin_at >= :since AND a.result IN ('applied', 'unknown') "
        f"UNION ALL SELECT {_KEY}, i.decision_id, 'intended', i.from_replicas, i.to_replicas, "
        "i.created_at FROM intents i JOIN workloads w ON w.id = i.workload_id "
        "ORDER BY key, decision_id, at"
    )
    rows = connection.execute(statement, {"since": since})
    return [
        StoredAction(
            str(r.key), int(r.decision_id), str(r.result), r.from_replicas, r.to_replicas, r.at
        )
        for r in rows
    ]


def load_backward_actions(connection: Connection, since: datetime) -> list[StoredAction]:
    """Scalings of a decision that is older than one applied before it."""
    statement = text(
        f"SELECT * FROM (SELECT {_KEY} AS key, a.decision_id, a.result, a.from_replicas, "  # noqa: S608 - our column
        "a.to_replicas, "
        "a.applied_at AS at, a.origin_at, max(a.origin_at) OVER (PARTITION BY a.workload_id "
        "ORDER BY a.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest "
        "FROM actions a JOIN workloads w ON w.id = a.workload_id "
        "WHERE a.origin_at >= :since AND a.result = 'applied') o WHERE o.origin_at < o.newest"
    )
    rows = connection.execute(statement, {"since": since})
    return [
        StoredAction(
            str(r.key), int(r.decision_id), str(r.result), r.from_replicas, r.to_replicas, r.at
        )
        for r in rows
    ]


def load_sample_seconds(
    connection: Connection, indicator: str, since: datetime
) -> dict[str, set[int]]:
    """Seconds since the epoch of the stored samples, by workload."""
    statement = text(
        f"SELECT {_KEY} AS key, array_agg(extract(epoch FROM o.observed_at)::bigint) AS seconds "  # noqa: S608 - our column
        "FROM observations o JOIN workloads w ON w.id = o.workload_id "
        "WHERE o.indicator = :indicator AND o.observed_at >= :since GROUP BY 1"
    )
    rows = connection.execute(statement, {"indicator": indicator, "since": since})
    return {str(r.key): set(r.seconds) for r in rows}


def count_decided(connection: Connection, keys: Sequence[str]) -> int:
    """How many of some workloads have a decision with an action."""
    statement = text(
        f"SELECT count(DISTINCT a.workload_id) FROM actions a "  # noqa: S608 - our column
        f"JOIN workloads w ON w.id = a.workload_id WHERE {_KEY} = ANY(:keys)"
    )
    return int(connection.execute(statement, {"keys": list(keys)}).scalar_one())
