"""A shard's ledger reads as much in a fleet of 4,096 workloads as in one of 512.

`python -m pytest -q -s tests/integration/decision/budgets/test_shares_cost.py` prints the figures.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.decision.budgets import budgets
from services.decision.rows.members import to_member
from services.decision.rows.repository import load_workloads
from services.kernel.db.schema import decisions
from services.kernel.db.session import unit_of_work
from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.repository import begin, observe
from services.lab.bench.fleet.run import END_AT
from tests.integration.statement_costs import statement_costs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEP_S, SHARD_SIZE = 10_800, 256
"""Few steps: with many, the trees of the indexes are one level higher in the larger fleet."""
FEW, MANY = 512, 4096
MOST = 1.2
CLAIM = (
    "INSERT INTO gpu_claims (workload_id, demand_replicas, claimed_at) "
    "SELECT id, array_fill(5, ARRAY[86]), :at FROM workloads WHERE shard = :shard "
    "ON CONFLICT (workload_id) DO UPDATE SET claimed_at = EXCLUDED.claimed_at"
)
# as a decision of the shard would, by the trigger on decisions
_TIMES = ("origin_at", "valid_until")
_COLUMNS = [column.name for column in decisions.columns if column.name not in _TIMES]
DECIDED = (
    f"INSERT INTO decisions (origin_at, valid_until, {', '.join(_COLUMNS)}) "
    "SELECT CAST(:at AS timestamptz), CAST(:at AS timestamptz) "
    f"+ make_interval(secs => {4 * STEP_S}), "
    f"{', '.join(f'd.{name}' for name in _COLUMNS)} FROM workloads w CROSS JOIN LATERAL ("
    "SELECT * FROM decisions WHERE workload_id = w.id ORDER BY origin_at DESC LIMIT 1) d "
    "WHERE w.shard = :shard"
)


class LedgerCost:
    """What the ledgers of all shards cost in one cycle, by shard."""

    def __init__(self, engine: Engine, settings: Settings, n_workloads: int) -> None:
        self.engine = engine
        self.settings = settings.model_copy(update={"step_s": STEP_S})
        self.n_shards = n_workloads // SHARD_SIZE
        store_history(engine, StoredHistory(n_workloads, 1, STEP_S, END_AT), lambda _: None)
        with unit_of_work(engine) as work:
            begin(work.connection, END_AT, 40 * n_workloads)

    def cycle(self, number: int) -> tuple[float, float]:
        """Mean blocks and Python CPU seconds of a ledger; each shard has decided after its own."""
        now = END_AT + number * timedelta(seconds=STEP_S)
        with unit_of_work(self.engine) as work:
            observe(work.connection, now, timedelta(seconds=STEP_S))
        blocks, cpu_s, self.by_statement = 0, 0.0, Counter[str]()
        for shard in range(self.n_shards):
            with self.engine.begin() as connection:
                members = [to_member(row) for row in load_workloads(connection, shard)]
                began = time.process_time()
                with statement_costs() as found:
                    ledger = budgets.open_ledger(connection, self.settings, members, now)
                cpu_s += time.process_time() - began
                blocks += sum(found.values())
                self.by_statement.update(found)
                assert len(ledger.holdings) == SHARD_SIZE
                assert len(ledger.shares) == self.n_shards - 1
                values = {"at": now - timedelta(seconds=STEP_S), "shard": shard}
                connection.execute(text(DECIDED), values)
                connection.execute(text(CLAIM), {"at": now, "shard": shard})
        return blocks / self.n_shards, cpu_s / self.n_shards


def costs(engine: Engine, settings: Settings, n_workloads: int) -> tuple[float, float]:
    fleet = LedgerCost(engine, settings, n_workloads)
    for number in (1, 2):  # what is made for the first time is made again a step later
        fleet.cycle(number)
    found = [fleet.cycle(number) for number in (3, 4)]
    for statement, n in fleet.by_statement.most_common(6):
        print(f"\n{n / fleet.n_shards:.0f} blocks: {statement[:160]}", end="")
    return min(blocks for blocks, _ in found), min(cpu_s for _, cpu_s in found)


def test_a_ledger_costs_the_same_in_a_larger_fleet(database: Engine, settings: Settings) -> None:
    few = costs(database, settings, FEW)
    with database.begin() as connection:
        names = connection.execute(
            text("SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables "
                 "WHERE schemaname = current_schema() AND tablename !~ 'alembic|clusters'")
        ).scalar_one()  # fmt: skip
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    many = costs(database, settings, MANY)
    for n, (blocks, cpu_s) in ((FEW, few), (MANY, many)):
        print(f"\n{n} workloads: {blocks:.0f} blocks, {1000 * cpu_s:.1f} ms of Python a ledger")
    assert many[0] <= MOST * few[0]
