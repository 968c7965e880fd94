"""An operator's passes read as much on day 8 as on day 1, the first ones of a new process too."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.lab.bench.api.repository import StoredHistory, store_history
from services.lab.bench.fleet.repository import begin
from services.scaler.repository import load_active
from tests.integration.operator.conftest import Bench
from tests.integration.statement_costs import grown, statement_costs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEP_S, N_WORKLOADS = 300, 12
FACTOR, SLACK = 3.0, 60


def passes(bench: Bench, n_days: int) -> dict[str, int]:
    """Blocks read by the passes of a new operator, and by a look of the external scaler."""
    history = StoredHistory(N_WORKLOADS, n_days, STEP_S, bench.clock.now())
    store_history(bench.engine, history, lambda _: None)
    with bench.engine.begin() as connection:
        begin(connection, history.end_at, 40 * N_WORKLOADS)
        connection.execute(
            text("UPDATE workloads SET namespace = :namespace, name = 'w' || id"),
            {"namespace": bench.lab.namespace},
        )
    bench.fresh_operator()
    with statement_costs() as found:
        assert bench.reconcile().n_autoscalers == N_WORKLOADS
        bench.step()
        for number in range(N_WORKLOADS):
            bench.decide(f"w{number + 1}", 3)
        assert sum(bench.reconcile().results.values()) >= N_WORKLOADS
        bench.step()
        with bench.engine.connect() as connection:
            version = bench.deps.settings.policy_version
            assert len(load_active(connection, version, bench.clock.now())) == N_WORKLOADS
    return found


def test_no_statement_of_a_pass_reads_more_over_a_longer_history(bench: Bench) -> None:
    for number in range(N_WORKLOADS):
        bench.lab.deploy(f"w{number + 1}")
        bench.lab.autoscale(f"w{number + 1}", maxReplicas=24)
    day = passes(bench, 1)
    with bench.engine.begin() as connection:
        names = connection.execute(
            text("SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables "
                 "WHERE schemaname = current_schema() AND tablename !~ 'alembic|clusters'")
        ).scalar_one()  # fmt: skip
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    week = passes(bench, 8)
    print(f"\n{len(week)} statements, {sum(day.values())} blocks -> {sum(week.values())}")
    found = grown(day, week, FACTOR, SLACK)
    assert not found, "\n".join(found)
