"""Cells: what each cluster runs, may use and would pay, and how fresh its decisions are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.admin.cells.service import list_cells, page_cells
from services.admin.clusters import RequestCell
from services.admin.deps import AdminDeps
from services.kernel.clock import FixedClock
from services.kernel.db.clusters import add_cluster, note_operator
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_the_one_cluster_is_a_cell(deps: AdminDeps, database: Engine) -> None:
    with database.begin() as connection:
        note_operator(connection, "default", NOW, NOW)
    (cell,) = list_cells(deps)
    assert (cell.cluster, cell.n_workloads, cell.operator_seen_at) == ("default", 3, NOW)
    by_type = {gpus.gpu_type: gpus for gpus in cell.gpus}
    assert sum(gpus.n_workloads for gpus in cell.gpus) == 3
    assert (by_type["H100"].is_budgeted, by_type["H100"].budget_gpus) == (True, 64)
    with database.connect() as connection:
        used = connection.execute(
            text(
                "SELECT sum((w.spec ->> 'gpus_per_replica')::int * r.spec_replicas) "
                "FROM workloads w CROSS JOIN LATERAL (SELECT spec_replicas FROM replica_states "
                "WHERE workload_id = w.id ORDER BY observed_at DESC LIMIT 1) r"
            )
        ).scalar_one()
    assert sum(gpus.used_gpus or 0 for gpus in cell.gpus) == used


@pytest.mark.usefixtures("seeded")
def test_decisions_that_have_run_out_are_counted(deps: AdminDeps) -> None:
    (cell,) = list_cells(replace(deps, clock=FixedClock(NOW + timedelta(days=1))))
    assert cell.n_stale == 3
    assert cell.decided_at is not None
    assert cell.oldest_decided_at is not None
    assert cell.oldest_decided_at <= cell.decided_at


@pytest.mark.usefixtures("seeded")
def test_cells_come_in_pages_and_one_at_a_time(deps: AdminDeps, database: Engine) -> None:
    with database.begin() as connection:
        add_cluster(connection, "other", NOW)
    first = page_cells(deps, 1, None)
    second = page_cells(deps, 1, first.next_cursor)
    assert [first.items[0].cluster, second.items[0].cluster] == ["default", "other"]
    assert second.next_cursor is None
    assert (second.items[0].n_workloads, second.items[0].gpus) == (0, [])
    (only,) = list_cells(replace(deps, cell=RequestCell("other")))
    assert only == second.items[0]
