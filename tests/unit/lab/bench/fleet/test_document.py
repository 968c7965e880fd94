"""The document: sums over cycles, against the total."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from services.lab.bench.fleet.document import CycleTiming, Meters, machine, of_cycles, queue_course
from services.lab.bench.fleet.feed import Pushed
from services.lab.bench.fleet.freshness import Watched
from services.lab.bench.fleet.queues import QueueLook
from services.lab.bench.fleet.records import STAGES, StageCost
from services.lab.bench.fleet.repository import TableSize
from services.lab.bench.fleet.run import CycleOptions

OPTIONS = asdict(CycleOptions(n_workloads=500, n_cycles=2))
BEFORE = Meters(
    wall_s=100.0,
    cpu_s={"workers": 10.0, "database": 20.0, "broker": 1.0, "ingest": 3.0},
    ingest_database_s=2.0,
    tables={"decisions": TableSize(1000, 2**20, 50)},
    database_bytes=10 * 2**20,
    log_bytes=0,
    pushed=Pushed(),
)
AFTER = Meters(
    wall_s=110.0,
    cpu_s={"workers": 16.0, "database": 24.0, "broker": 1.5, "ingest": 4.0},
    ingest_database_s=2.5,
    tables={"decisions": TableSize(1000, 3 * 2**20, 1050), "new": TableSize(5, 10, 5)},
    database_bytes=14 * 2**20,
    log_bytes=8 * 2**20,
    pushed=Pushed(8000, 80_000, 2.0),
)
COSTS = {
    "forecast": StageCost(2.0, 1.0, 4.0, 4),
    "decide": StageCost(3.0, 1.5, 6.0, 4),
    "operator": StageCost(0.5, 0.25, 1.0, 2),
}
FOUND = of_cycles(OPTIONS, (BEFORE, AFTER), COSTS, CycleTiming([4.0, 6.0], {}, 1.5, 0))


def test_a_stage_is_counted_for_a_thousand_workloads_and_a_cycle() -> None:
    assert list(FOUND["cpu_s_per_1000"]) == list(STAGES)
    assert FOUND["cpu_s_per_1000"]["forecast"] == pytest.approx(3.0)
    assert FOUND["cpu_s_per_1000"]["ingest"] == pytest.approx(1.5)
    assert FOUND["cpu_s_per_1000"]["sweep"] == 0.0


def test_stages_and_what_is_left_add_up_to_the_total() -> None:
    parts = [*FOUND["cpu_s_per_1000"].values(), *FOUND["cpu_s_per_1000_other"].values()]
    assert sum(parts) == pytest.approx(FOUND["cpu_s_per_1000_total"])
    assert FOUND["cpu_s_per_1000_total"] == pytest.approx(6 + 4 + 0.5 + 1 + 0.5)
    assert FOUND["cpu_s_per_1000_other"]["workers"] == pytest.approx(1.0)


def test_sizes_grow_by_cycle() -> None:
    assert (FOUND["db_growth_mib_per_cycle"], FOUND["wal_mib_per_cycle"]) == (2.0, 4.0)
    assert FOUND["tables"]["decisions"]["growth_bytes_per_cycle"] == 2**20
    assert FOUND["tables"]["new"]["rows_written_per_cycle"] == 2.5
    assert FOUND["rows_per_s"] == pytest.approx(1005 / 10.0)
    assert FOUND["cycle_s"] == {"p50": 5.0, "max": 6.0}
    assert FOUND["busy_s_per_cycle"] == pytest.approx(10 / 2 / 2)


def test_the_most_that_waited_in_each_step() -> None:
    watched = Watched(2, 60.0, 1000.0)
    seen = [(990.0, 9, 9), (1001.0, 3, 3), (1059.0, 5, 1), (1061.0, 2, 0), (1200.0, 9, 9)]
    looks = [QueueLook(*look) for look in seen]
    assert queue_course(looks, watched) == {"jobs": [5, 2], "shard_jobs": [3, 0]}


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert set(found["versions"]) == {"commit", "harmony", "python"}
