"""The watcher of the rows sees what comes and goes."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Engine

from services.lab.bench.faults.outside import row_log
from services.lab.bench.faults.outside.row_log import FailingWorkload, RowWatcher
from tests.integration.lab.bench.faults.planted_rows import FIRST, plant

pytestmark = pytest.mark.integration
PATIENCE_S = 60.0


def test_what_has_gone_again_is_remembered(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_log, "_PAUSE_S", 0.01)
    planted = plant(database)
    values = {"at": FIRST, "id": planted.ids[planted.first]}
    planted.execute("INSERT INTO intents VALUES (9, 2, :at, :id, 1, 2, '[]', :at)", **values)
    planted.execute("INSERT INTO workload_errors VALUES (:id, 'decide', 'no', :at, :at)", **values)
    with RowWatcher(database) as watcher:
        wait_looks(watcher, 1)
        planted.execute("DELETE FROM intents")
        planted.execute("DELETE FROM workload_errors")
        wait_looks(watcher, len(watcher.log.settled) + 2)
    ((first, last),) = watcher.log.intents.values()
    assert first <= last < watcher.log.settled[-1].at
    assert FailingWorkload(planted.first, "decide: no") in watcher.log.failing


def wait_looks(watcher: RowWatcher, n_looks: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(watcher.log.settled) < n_looks:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # another thread's work cannot be awaited otherwise
