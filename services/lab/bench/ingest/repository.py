"""SQL of the measurement: a fleet to send observations of, what is stored of them, a bare COPY."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec

NAMESPACE = "bench"
INDICATORS = (
    "output_tokens_per_s",
    "request_rate_rps",
    "queue_requests",
    "running_requests",
    "kv_cache_ratio",
    "gpu_duty_ratio",
    "prompt_tokens_per_s",
    "batch_size_requests",
)
"""Those of one workload, as many as a serving engine is usually asked for."""


class Total(NamedTuple):
    """Observations and the sum of their values."""

    n: int
    value: float


def workload_name(number: int) -> str:
    """Name of one workload of the fleet."""
    return f"service-{number}"


def register(connection: Connection, n_workloads: int, step_s: int, at: datetime) -> None:
    """Make the workloads that observations are sent of."""
    units = {name: name.rpartition("_")[2] for name in INDICATORS}
    spec = WorkloadSpec(
        target="Deployment/service",
        demand=INDICATORS[0],
        indicators=tuple(
            IndicatorSpec(name=name, level=1, unit=unit) for name, unit in units.items()
        ),
        capacity=CapacitySpec(per_replica=900.0),
    )
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "SELECT :namespace, 'service-' || i, i / 256, :step_s, :spec, :at, :at "
        "FROM generate_series(0, :last) AS g(i)"
    ).bindparams(bindparam("spec", type_=JSONB))
    values = {"namespace": NAMESPACE, "step_s": step_s, "at": at, "last": n_workloads - 1}
    connection.execute(statement, values | {"spec": spec.model_dump(mode="json")})


def stored(connection: Connection) -> Total:
    """All observations that are stored."""
    statement = text("SELECT count(*), coalesce(sum(value), 0) FROM observations")
    row = connection.execute(statement).one()
    return Total(int(row[0]), float(row[1]))


def make_copy_target(connection: Connection) -> None:
    """A table like that of the observations, under the same key."""
    connection.execute(text("CREATE TABLE bench_copy (LIKE observations INCLUDING ALL)"))


def bare_copy(connection: Connection, chunks: Iterable[bytes]) -> None:
    """Copy encoded rows, with nothing looked at."""
    driver: Any = connection.connection.driver_connection
    columns = "workload_id, indicator, observed_at, value"
    statement = f"COPY bench_copy ({columns}) FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in chunks:
            copy.write(chunk)
