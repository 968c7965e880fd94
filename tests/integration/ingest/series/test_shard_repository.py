"""A shard's rows are locked without their specs; a spec is read for those that are asked for."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from services.ingest.deps import IngestDeps
from services.ingest.series.shard_repository import load_shard, lock_shard, to_cursors
from tests.integration.ingest.conftest import Register
from tests.integration.ingest.pushes import RATE, T0

pytestmark = pytest.mark.integration


def test_a_spec_that_cannot_be_read_hides_no_row_and_no_other_spec(
    deps: IngestDeps, register: Register
) -> None:
    good, bad = register(n=2)
    register(shard=1, prefix="other")
    with deps.engine.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET spec = '{}', spec_version = 9 WHERE id = :id"), {"id": bad}
        )
        rows = lock_shard(connection, 0, T0)
        assert [row.columns.id for row in rows] == [good, bad]
        assert load_shard(connection, 0) == rows
        (cursor,) = to_cursors(connection, rows[:1], deps.catalog)
        assert RATE in cursor.workload.indicators
        with pytest.raises(ValidationError):
            to_cursors(connection, rows[1:], deps.catalog)
