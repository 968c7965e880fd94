"""What a forecast and its decision take on disk, in the log, and in CPU time to write.

`python -m pytest -q -s tests/integration/decision/rows/test_written_bytes.py` prints the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from services.decision.decide import granting, service as decision
from services.decision.rows import repository as decision_rows
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service as forecasting
from services.forecasting.rows import repository as forecast_rows
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.cpu import thread_cpu_s
from services.lab.bench.fleet.repository import begin, observe
from services.lab.bench.fleet.run import END_AT

pytestmark = [pytest.mark.integration, pytest.mark.slow]

N, STEP_S, CYCLES, REPEATS = 128, 300, 4, 20
TABLES = ("forecasts", "decisions", "decision_inputs")
PER_DAY = 1000 * 1440
"""Cycles of 1,000 workloads in a day."""
MOST_BYTES = 3700
"""Of a workload that is decided by its quantiles, indexes included."""
MOST_BYTES_WITH_PATHS, MOST_BYTES_OF_PRIOR = 5000, 5900
"""With paths read off a window, which repeat its values; with those of the prior, a network."""
OBJECTIVE = '{"sla": {"objective": {"goals": [{"metric": "ttft", "threshold_s": 1.0}]}}}'
SIZES = (
    "SELECT split_part(c.relname, '_p2', 1), sum(pg_total_relation_size(c.oid)) FROM pg_class c "
    "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace GROUP BY 1"
)


class Written(NamedTuple):
    """Bytes of each table, and of the log."""

    tables: dict[str, int]
    log: int


class WritingFleet:
    """A fleet that goes through the stages up to its decisions."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.clock, self.sender = engine, FixedClock(END_AT), RecordingSender()
        self.settings = settings.model_copy(update={"step_s": STEP_S, "clock": "replay"})
        store_history(engine, StoredHistory(N, 1, STEP_S, END_AT), lambda _: None)
        with unit_of_work(engine) as work:
            begin(work.connection, END_AT, 40 * N)

    def cycle(self) -> None:
        """A step: samples, indicators, forecasts, decisions."""
        self.clock.advance(STEP_S)
        now, origin_at = self.clock.now(), self.clock.now() - timedelta(seconds=STEP_S)
        with unit_of_work(self.engine) as work:
            observe(work.connection, now, timedelta(seconds=STEP_S))
        deps = IngestDeps(self.engine, self.clock, self.sender, self.settings)
        for shard in ingest.sweep(deps, now).resampled:
            ingest.resample_shard(deps, shard, now)
        app = make_forecasting(self.settings, self.sender, self.clock)
        assert forecasting.forecast_shard(app, 0, origin_at) == N
        made = DecisionDeps(self.engine, self.clock, self.settings, sender=self.sender)
        assert decision.decide_shard(made, 0, origin_at).n_decisions == N
        assert any(job.name == jobs.DECIDE_SHARD for job in self.sender.sent)
        self.sender.sent.clear()

    def written(self) -> Written:
        with self.engine.connect() as connection:
            sizes = {r[0]: int(r[1]) for r in connection.execute(text(SIZES))}
            log = connection.execute(
                text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
            ).scalar_one()
        return Written(sizes, int(log))

    def per_workload(self, cycles: int) -> dict[str, float]:
        """Bytes that a cycle adds for a workload."""
        before = self.written()
        for _ in range(cycles):
            self.cycle()
        after = self.written()
        n = N * cycles
        found = {name: (after.tables[name] - before.tables[name]) / n for name in TABLES}
        return found | {"log of all": (after.log - before.log) / n}


class Undone(Exception):
    """What was written is taken back."""


def cost(engine: Engine, write: Callable[[Any, list[Any]], Any], rows: list[Any]) -> str:
    """CPU milliseconds of 1,000 rows: of Python, and of the database."""
    python_s = database_s = 0.0
    for _ in range(REPEATS):
        with suppress(Undone), unit_of_work(engine) as work:
            driver: Any = work.connection.connection.driver_connection
            pid = driver.info.backend_pid
            began, began_there = time.process_time(), thread_cpu_s(pid)
            write(work.connection, rows)
            python_s += time.process_time() - began
            database_s += thread_cpu_s(pid) - began_there
            raise Undone
    per_1000 = 1e6 / (REPEATS * len(rows))
    return f"{python_s * per_1000:.0f} + {database_s * per_1000:.0f} ms"


def test_a_workload_s_cycle_takes_few_bytes(
    database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = WritingFleet(database, settings)
    fleet.cycle()
    plain = fleet.per_workload(CYCLES)
    with database.begin() as connection:
        connection.execute(text(f"UPDATE workloads SET spec = spec || '{OBJECTIVE}'"))
    fleet.cycle()
    of_prior = fleet.per_workload(CYCLES)
    fleet.settings = fleet.settings.model_copy(update={"has_prior": False})
    fleet.cycle()
    with_paths = fleet.per_workload(CYCLES)
    sizes = {"by quantiles": plain, "with the prior's paths": of_prior, "with paths": with_paths}
    for words, found in sizes.items():
        shown = ", ".join(f"{name} {n:.0f}" for name, n in found.items())
        total = sum(found[name] for name in TABLES)
        print(f"\n{words}: {total:.0f} bytes a workload and cycle ({shown})")
        days = [f"{name} {found[name] * PER_DAY / 2**30:.1f}" for name in TABLES]
        print(f"  GiB of 1,000 workloads in a day of 60 s steps: {', '.join(days)}")

    kept: dict[str, list[Any]] = {}
    spent_s: list[float] = []
    made = granting.pack_decision

    def timed(*given: Any) -> Any:
        began = time.process_time()
        row = made(*given)
        spent_s.append(time.process_time() - began)
        return row

    monkeypatch.setattr(granting, "pack_decision", timed)
    for module, name in (
        (decision_rows, "store_decisions"),
        (decision_rows, "store_inputs"),
        (forecast_rows, "insert_forecasts"),
    ):
        _keep(monkeypatch, module, name, kept)
    fleet.cycle()
    with database.begin() as connection:
        connection.execute(text("DELETE FROM decisions"))
        connection.execute(text("DELETE FROM forecasts"))
        connection.execute(text("DELETE FROM decision_inputs"))
    now = fleet.clock.now()
    writers: dict[str, Callable[[Any, list[Any]], Any]] = {
        "insert_forecasts": lambda c, rows: forecast_rows.insert_forecasts(c, rows, now),
        "store_decisions": decision_rows.store_decisions,
        "store_inputs": decision_rows.store_inputs,
    }
    monkeypatch.undo()
    for name, write in writers.items():
        print(f"\n{name}: {cost(database, write, kept[name])} (Python + database) for 1,000")
    print(f"\npack_decision: {1e6 * sum(spent_s) / len(spent_s):.0f} ms of Python for 1,000")
    assert sum(plain[name] for name in TABLES) <= MOST_BYTES
    assert sum(of_prior[name] for name in TABLES) <= MOST_BYTES_OF_PRIOR
    assert sum(with_paths[name] for name in TABLES) <= MOST_BYTES_WITH_PATHS


def _keep(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, kept: dict[str, list[Any]]
) -> None:
    """Remember the rows that a function was given."""
    write = getattr(module, name)

    def kept_write(connection: Any, rows: Any, *more: Any) -> Any:
        kept[name] = [*kept.get(name, []), *rows]
        return write(connection, rows, *more)

    monkeypatch.setattr(module, name, kept_write)
