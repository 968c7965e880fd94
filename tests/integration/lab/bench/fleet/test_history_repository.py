"""A fleet's history: classes, types of GPU, retention, and the next step can be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.settings import Settings
from services.lab.bench.api.repository import StoredHistory
from services.lab.bench.fleet import history_repository
from services.lab.bench.fleet.cpu import own_backends
from services.lab.bench.fleet.feed import OperatorPass
from services.lab.bench.fleet.history_repository import EIGHT, END_AT, start_history
from services.lab.bench.fleet.repository import count_twice, load_decided, table_sizes
from tests.few_trees import FEW_TREES

pytestmark = [pytest.mark.integration, pytest.mark.slow]

N_WORKLOADS, N_DAYS, STEP_S = 20, 3, 3600
STEPS_A_DAY = 86_400 // STEP_S


@pytest.fixture
def given(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a small fleet; its model has few trees: it is stored and not asked."""
    config = replace(history_repository.CONFIG, trees=FEW_TREES)
    monkeypatch.setattr(history_repository, "CONFIG", config)
    small = {"step_s": STEP_S, "shard_size": 8, "retain_forecasts_days": 2.0}
    return settings.model_copy(update=small)


def test_it_is_as_a_fleet_under_retention_has_left_it(database: Engine, given: Settings) -> None:
    size = StoredHistory(N_WORKLOADS, N_DAYS, STEP_S, END_AT)
    start_history(database, given, size, lambda _: None)

    def count(statement: str) -> list[tuple[object, ...]]:
        with database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    (counts,) = count(
        "SELECT (SELECT count(*) FROM indicators), (SELECT count(*) FROM forecasts), "
        "(SELECT count(*) FROM decisions)"
    )
    each_day = N_WORKLOADS * STEPS_A_DAY
    assert counts == (len(EIGHT) * N_DAYS * each_day, 2 * each_day, N_DAYS * each_day)
    classes = count("SELECT spec #>> '{sla,sla_class}', count(*) FROM workloads GROUP BY 1")
    assert dict(classes) == {"gold": 2, "silver": 8, "bronze": 10}
    assert {row[0] for row in count("SELECT DISTINCT shard FROM workloads")} == {0, 1, 2}
    assert len(count("SELECT gpu_type FROM gpu_budgets")) == 3
    assert count("SELECT count(*) FROM models WHERE status = 'promoted'") == [(1,)]
    with database.connect() as connection:
        assert table_sizes(connection)["decisions"].rows == counts[2]
        assert count_twice(connection, END_AT - timedelta(days=1)) == 0
        newest = load_decided(connection, END_AT - timedelta(seconds=STEP_S))
    assert len(newest) == N_WORKLOADS
    _operate(database, given)


def _operate(database: Engine, given: Settings) -> None:
    """The operator finds every decision, and has acted on each."""
    now = END_AT + timedelta(seconds=1)
    with own_backends() as backends:
        operator = OperatorPass(database, given, backends)
        operator.run(now)
    assert operator.cost.n_runs == 1
    assert operator.cost.python_s > 0
    with database.connect() as connection:
        seen = text("SELECT count(*) FROM replica_states WHERE observed_at = :now")
        assert connection.execute(seen, {"now": now}).scalar_one() == N_WORKLOADS
