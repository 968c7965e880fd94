"""The fleet that observations are sent of, and what is counted of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from services.ingest.series.catalog import WorkloadCatalog, WorkloadName
from services.ingest.series.copy_encoding import (
    SeriesKey,
    encode_observations,
    key_columns,
)
from services.ingest.series.repository import find_workloads
from services.ingest.series.samples import make_samples
from services.kernel.db.steps.blocks import HEADER, TRAILER
from services.lab.bench.ingest import repository
from services.lab.bench.ingest.repository import INDICATORS, NAMESPACE, workload_name

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_every_workload_takes_all_indicators(database: Engine) -> None:
    with database.begin() as connection:
        repository.register(connection, 300, 60, NOW)
        name = WorkloadName(NAMESPACE, workload_name(299))
        (found,) = find_workloads(connection, [name], WorkloadCatalog()).values()
        assert repository.stored(connection) == (0, 0.0)
    assert tuple(found.indicators) == INDICATORS
    assert (found.id, found.shard) == (300, 1)


def test_rows_are_copied_beside_the_table(database: Engine) -> None:
    keys, samples = key_columns([SeriesKey(1, "up")]), make_samples([0, 0], [1, 2], [3.0, 4.0])
    with database.begin() as connection:
        repository.make_copy_target(connection)
        chunks = [HEADER, *encode_observations(keys, samples), TRAILER]
        repository.bare_copy(connection, chunks)
        found = connection.execute(text("SELECT sum(value) FROM bench_copy")).scalar_one()
    assert found == 7.0
