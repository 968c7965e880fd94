"""A thousand workloads: one query per call; the latencies are printed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sqlalchemy import text

from services.kernel.db.session import unit_of_work
from services.scaler.service import FleetFacts, ScalerDeps
from tests.integration.scaler.conftest import NAMESPACE, Caller, Rows, Server, spec

pytestmark = pytest.mark.integration

N_WORKLOADS, N_STEPS, N_CALLS = 1000, 10, 300


@pytest.fixture
def fleet(rows: Rows) -> list[int]:
    """Ids of workloads with some history of decisions and sights."""
    statement = text(
        "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
        "SELECT :namespace, 'w' || i, 0, :step_s, CAST(:spec AS jsonb), :now, :now "
        "FROM generate_series(0, :n - 1) AS i RETURNING id"
    )
    given = {"namespace": NAMESPACE, "step_s": rows.step_s, "spec": spec().model_dump_json()}
    given |= {"now": rows.clock.now(), "n": N_WORKLOADS}
    with unit_of_work(rows.engine) as work:
        ids = [int(row[0]) for row in work.connection.execute(statement, given)]
    for _ in range(N_STEPS):
        rows.clock.advance(rows.step_s)
        rows.decide_all({id_: 1 + position % 90 for position, id_ in enumerate(ids)})
        rows.see_all(ids, 3)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ANALYZE"))
    return ids


def test_a_thousand_workloads(
    caller: Caller, rows: Rows, fleet: list[int], server: Server, n_queries: list[str]
) -> None:
    caller.count(autoscaler="w0")
    n_queries.clear()
    took_ms = []
    for call in range(N_CALLS):
        number = call * 37 % N_WORKLOADS
        began = time.perf_counter()
        assert caller.count(autoscaler=f"w{number}") == 1 + number % 90
        took_ms.append(1e3 * (time.perf_counter() - began))
    assert len(n_queries) == N_CALLS
    board, began = FleetFacts(), time.perf_counter()
    board.refresh(ScalerDeps(rows.engine, rows.clock, server.settings))
    first_ms = 1e3 * (time.perf_counter() - began)
    began = time.perf_counter()
    board.refresh(ScalerDeps(rows.engine, rows.clock, server.settings))
    again_ms = 1e3 * (time.perf_counter() - began)
    assert len(board.facts) == len(fleet)
    assert len(n_queries) == N_CALLS + 3
    p50, p95 = np.percentile(took_ms, [50, 95])
    print(
        f"\nGetMetrics of {N_WORKLOADS} workloads: p50 {p50:.1f} ms, p95 {p95:.1f} ms; "
        f"a look at all of them {first_ms:.0f} ms at first, {again_ms:.0f} ms then"
    )
