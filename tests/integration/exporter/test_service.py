"""One page for all who ask, by the platform's clock, of however many workloads."""

from __future__ import annotations

import gzip
import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, event, text

from services.exporter.metrics import WORKLOAD_METRICS
from services.exporter.repository import _FIGURES, FleetPart
from services.exporter.service import KEPT_S, WorkloadPages
from services.kernel.clock import FixedClock
from tests.exported import exported
from tests.integration.admin.seeded_fleet import NOW, seed_fleet
from tests.integration.exporter.fleet_rows import LLAMA, write_fleet
from tests.processor import slowness

pytestmark = pytest.mark.integration


def test_who_asks_again_is_given_the_same_page(database: Engine) -> None:
    seed_fleet(database, n_workloads=1)
    at_s, asked = [0.0], []
    pages = WorkloadPages(database, FixedClock(NOW), monotonic=lambda: at_s[0])

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.extend([statement] if "w.step_s" in statement else [])

    event.listen(database, "before_cursor_execute", note)
    try:
        first = pages.page(FleetPart())
        at_s[0] = KEPT_S - 0.1
        assert pages.page(FleetPart()) is first
        assert len(asked) == 1, "one query for all of it"
        at_s[0] = KEPT_S
        pages.page(FleetPart())
        assert len(asked) == 2
    finally:
        event.remove(database, "before_cursor_execute", note)


@pytest.mark.slow
def test_ten_thousand_workloads_are_one_query_and_a_few_seconds(database: Engine) -> None:
    write_fleet(database, 10_000, 3, NOW)
    with database.connect() as connection:
        asked = connection.execute(
            text("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + _FIGURES),
            {"now": NOW, "part": 0, "n_parts": 1},
        ).scalar_one()
    began_s = time.process_time()
    pages = WorkloadPages(database, FixedClock(NOW))
    sent = pages.page(FleetPart())
    cpu_s = time.process_time() - began_s
    page = gzip.decompress(sent).decode()
    n_series = sum(1 for line in page.splitlines() if not line.startswith("#"))
    print(
        f"{n_series} series, {len(page) / 2**20:.1f} MiB, {len(sent) / 2**20:.1f} MiB compressed, "
        f"{cpu_s:.2f} CPU-s of the exporter, {asked[0]['Execution Time'] / 1000:.2f} s of Postgres"
    )
    assert n_series == 10_000 * 31 + 1
    assert cpu_s < 30 * slowness()
    shown = {name for name in (one.full_name for one in WORKLOAD_METRICS) if f"\n{name}" in page}
    assert len(shown) >= len(WORKLOAD_METRICS) - 2


def test_time_is_that_of_the_clock(database: Engine) -> None:
    """In a replay, too, whose time is not the database's."""
    seed_fleet(database, n_workloads=1)

    def age_s(now: datetime) -> float:
        found = exported(database, now, "metrics_age_seconds", **LLAMA)
        assert found is not None
        return found

    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ingest_cursors (workload_id, last_sample_at, updated_at) "
                "SELECT id, :now, :now FROM workloads ON CONFLICT (workload_id) "
                "DO UPDATE SET last_sample_at = EXCLUDED.last_sample_at"
            ),
            {"now": NOW},
        )
    assert age_s(NOW + timedelta(seconds=90)) == 90
