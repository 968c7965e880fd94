"""Clusters that share a database: which there are, and connections that see one of them alone.

The schema `cell` has a view of each table whose rows are of a cluster, under the table's name. A
connection with that schema in front of its search path reads and writes the rows of its cluster,
whatever statement it runs: none has to remember a condition, and none can forget one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from services.kernel.db.schema_clusters import SHARDS_PER_CLUSTER
from services.kernel.errors import Conflict, InvalidInput, NotFound

FIRST = 1
"""The cluster that was there before there could be several."""
EVERY = "*"
"""Instead of a name: every cluster."""
MOST = 2**31 // SHARDS_PER_CLUSTER - 1
NEXT_SHARD = f"((id - 1) / :shard_size + (current_cluster() - 1) * {SHARDS_PER_CLUSTER})"
"""Shard of a new workload by its `id`; shards of different clusters never meet."""
_SEE_ONE = (
    "SELECT set_config('harmony.cluster', {name}, {is_local}), "
    "set_config('search_path', 'cell,' || current_setting('search_path'), {is_local})"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """A cluster that the database knows.

    Attributes:
        operator_seen_at: When its operator last confirmed that it runs; None: never.
    """

    id: int
    name: str
    operator_seen_at: datetime | None = None


def cluster_of(shard: int) -> int:
    """Id of the cluster that a shard is of."""
    return shard // SHARDS_PER_CLUSTER + 1


def shards_of(cluster_id: int) -> range:
    """Numbers that the shards of a cluster may have."""
    first = (cluster_id - 1) * SHARDS_PER_CLUSTER
    return range(first, first + SHARDS_PER_CLUSTER)


def narrow(connection: Connection, name: str) -> None:
    """Until the transaction ends, see the rows of one cluster only."""
    statement = _SEE_ONE.format(name=":name", is_local="true")
    connection.execute(text(statement), {"name": name})


def narrow_session(driver: Any, name: str) -> None:
    """See the rows of one cluster only, for the life of a new connection of the driver."""
    with driver.cursor() as cursor:
        cursor.execute(_SEE_ONE.format(name="%s", is_local="false"), (name,))
    driver.commit()


def load_clusters(connection: Connection) -> Sequence[KnownCluster]:
    """All clusters, the oldest first."""
    rows = connection.execute(text("SELECT id, name, operator_seen_at FROM clusters ORDER BY id"))
    return [KnownCluster(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """A database of cells among others.

    Attributes:
        identity: The microsecond in which its first cluster came to be: a copy has the same.
        name: That of its first cluster.
    """

    identity: str
    name: str


def load_identity(connection: Connection) -> DatabaseIdentity:
    """Of the database at hand."""
    statement = text(
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint::text, name FROM clusters "
        "WHERE id = :first"
    )
    return DatabaseIdentity(*connection.execute(statement, {"first": FIRST}).one())


def find_cluster(clusters: Sequence[KnownCluster], name: str) -> KnownCluster:
    """The cluster of a name.

    Raises:
        NotFound: There is none.
    """
    for one in clusters:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in clusters)
    raise NotFound(f"cluster {name!r} does not exist; there are: {known}")


def check_name(name: str) -> str:
    """A name that a cluster can have.

    Raises:
        InvalidInput: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"cluster={name!r} must be lower case letters, digits and dashes, e.g. eu-west"
        )
    return name


def add_cluster(connection: Connection, name: str, now: datetime) -> KnownCluster:
    """Add a cluster; its operator, and keys for it, can name it once this is committed.

    With the second one the keys go by which the release before this one writes: from then on every
    process must be of this release.

    Raises:
        InvalidInput: The name cannot be used.
        Conflict: There is one of this name, or no number is left.
    """
    check_name(name)
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    connection.execute(text("LOCK TABLE clusters IN SHARE ROW EXCLUSIVE MODE"))
    known = load_clusters(connection)
    if any(one.name == name for one in known):
        raise Conflict(f"cluster {name!r} is there already")
    id_ = max(one.id for one in known) + 1
    if id_ > MOST:
        raise Conflict(f"there are {len(known)} clusters; no more fit")
    connection.execute(
        text("INSERT INTO clusters (id, name, created_at) VALUES (:id, :name, :now)"),
        {"id": id_, "name": name, "now": now},
    )
    for table, key in (
        ("workloads", "uq_workloads_namespace_name"),
        ("gpu_budgets", "uq_gpu_budgets_gpu_type"),
    ):
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {key}"))
    return KnownCluster(id_, name)


def rename_cluster(connection: Connection, name: str, new_name: str) -> None:
    """Give a cluster another name; processes and keys that name it must follow.

    Raises:
        InvalidInput: The name cannot be used.
        NotFound: There is no such cluster.
        Conflict: There is one of the new name.
    """
    check_name(new_name)
    known = load_clusters(connection)
    find_cluster(known, name)
    if any(one.name == new_name for one in known):
        raise Conflict(f"cluster {new_name!r} is there already")
    connection.execute(
        text("UPDATE clusters SET name = :new_name WHERE name = :name"),
        {"name": name, "new_name": new_name},
    )


def set_total(connection: Connection, gpu_type: str, gpus: int | None, now: datetime) -> None:
    """Set how many GPUs of a type all clusters may hold together; None: as many as each may.

    Raises:
        InvalidInput: It is below 0.
    """
    if gpus is None:
        connection.execute(
            text("DELETE FROM cell_totals WHERE gpu_type = :gpu_type"), {"gpu_type": gpu_type}
        )
        return
    if gpus < 0:
        raise InvalidInput(f"gpus={gpus} must be 0 or more")
    statement = text(
        "INSERT INTO cell_totals (gpu_type, gpus, set_at) VALUES (:gpu_type, :gpus, :now) "
        "ON CONFLICT (gpu_type) DO UPDATE SET gpus = EXCLUDED.gpus, set_at = EXCLUDED.set_at"
    )
    connection.execute(statement, {"gpu_type": gpu_type, "gpus": gpus, "now": now})


def note_operator(connection: Connection, name: str, before: datetime, now: datetime) -> None:
    """Confirm that the operator of a cluster runs, unless that was done since `before`."""
    connection.execute(
        text(
            "UPDATE clusters SET operator_seen_at = :now WHERE name = :name "
            "AND (operator_seen_at IS NULL OR operator_seen_at <= :before)"
        ),
        {"name": name, "before": before, "now": now},
    )
