"""What a model has seen of each workload stands there before a measurement begins."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.history_repository import END_AT, store_references

pytestmark = pytest.mark.integration

N_WORKLOADS, STEP_S = 5, 3600


def test_every_workload_has_its_reference(database: Engine, settings: Settings) -> None:
    store_history(database, StoredHistory(N_WORKLOADS, 14, STEP_S, END_AT), lambda _: None)
    given = settings.model_copy(update={"step_s": STEP_S})
    store_references(database, given, "m1", END_AT)
    with database.connect() as connection:
        found = connection.execute(
            text("SELECT model_version, state -> 'reference' AS reference FROM drift_states")
        ).all()
    assert [row.model_version for row in found] == ["m1"] * N_WORKLOADS
    assert all(row.reference for row in found)
