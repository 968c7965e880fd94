"""What the rows of steps cost beside a row for each value, and contexts that are kept.

`python -m pytest -q -s tests/integration/forecasting/rows/test_steps_cost.py` prints the figures.
The old layout is measured as it was: its table, its statements (of 1a83a13a), in this database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, text

from forecaster import WindowConfig, window_offsets
from services.forecasting.rows.translate import WorkloadRow
from services.forecasting.rows.windows import windows_at
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.step_blocks import StepSeries, StepValues, to_blocks
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.steps.blocks import from_us, to_us
from services.kernel.db.steps.grid import spans_of
from services.kernel.db.steps.kept import KeptSteps
from services.kernel.db.steps.writing import copy_new_steps, write_steps
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from tests.integration.cpu_meter import CpuMeter

pytestmark = [pytest.mark.integration, pytest.mark.slow]
N_WORKLOADS, STEP_S, STEP_US, N_CYCLES = 256, 60, 60_000_000, 4
NAMES = tuple(f"indicator_{letter}_per_s" for letter in "abcdefgh")
WINDOW = WindowConfig()
ORIGIN = datetime(2026, 1, 9, 12, tzinfo=UTC)
OFFSETS = np.unique(window_offsets(WINDOW, STEP_S))
OLD_READ = text(
    "SELECT k.workload_id, k.indicator, "
    "string_agg(i.packed, ''::bytea ORDER BY s.first_at) AS packed "
    "FROM unnest(CAST(:ids AS integer[]), CAST(:names AS text[])) AS k(workload_id, indicator) "
    "CROSS JOIN unnest(CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])) "
    "  AS s(first_at, last_at) CROSS JOIN LATERAL (SELECT string_agg("
    "    int4send((extract(epoch FROM step_at - :origin_at) / :step_s)::int)"
    "    || float4send(value), ''::bytea ORDER BY step_at) AS packed "
    "  FROM indicator_values WHERE workload_id = k.workload_id AND indicator = k.indicator "
    "  AND step_at BETWEEN s.first_at AND s.last_at AND is_observed AND value IS NOT NULL) AS i "
    "WHERE i.packed IS NOT NULL GROUP BY k.workload_id, k.indicator"
)
OLD_WRITE = text(
    "INSERT INTO indicator_values AS i SELECT w.id, n, :at, 1.5, true FROM generate_series(1, :n) "
    "AS w(id) CROSS JOIN unnest(CAST(:names AS text[])) AS n ON CONFLICT (workload_id, indicator, "
    "step_at) DO UPDATE SET value = EXCLUDED.value, is_observed = EXCLUDED.is_observed "
    "WHERE (EXCLUDED.is_observed OR NOT i.is_observed) AND (i.is_observed, i.value) "
    "IS DISTINCT FROM (EXCLUDED.is_observed, EXCLUDED.value)"
)
SPEC = WorkloadSpec(
    target="Deployment/w",
    demand=NAMES[0],
    indicators=tuple(IndicatorSpec(name=name, level=1) for name in NAMES),
    capacity=CapacitySpec(per_replica=1.0),
)
WORKLOADS = [WorkloadRow(n + 1, "demo", f"w{n}", STEP_S, SPEC) for n in range(N_WORKLOADS)]
REFS = [
    WorkloadRef(
        one.id,
        "demo",
        one.name,
        0,
        STEP_S,
        {name: IndicatorRef(name, False, is_signed=False, query="") for name in NAMES},
    )
    for one in WORKLOADS
]
SERIES = [StepSeries(ref, name) for ref in REFS for name in NAMES]


def stored_steps_us() -> np.ndarray:
    """All that any of the cycles reads, in microseconds."""
    offsets = np.unique((OFFSETS[:, None] + np.arange(N_CYCLES)).ravel())
    return to_us(ORIGIN) + offsets[offsets < N_CYCLES] * STEP_US


def fill(engine: Engine) -> int:
    """Both layouts hold the same steps; returns how many."""
    steps_us = stored_steps_us()
    first_at, last_at = from_us(steps_us[0]), from_us(steps_us[-1])
    series = np.repeat(np.arange(len(SERIES)), len(steps_us))
    values = np.random.default_rng(1).gamma(4.0, 50.0, len(series)).astype(np.float32)
    found = StepValues(
        series, np.tile(steps_us, len(SERIES)), values, np.ones(len(series), dtype=bool)
    )
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) SELECT 'demo', 'w' || i, 0, 60, '{}', now(), now() "
                "FROM generate_series(1, :n) AS i"
            ),
            {"n": N_WORKLOADS},
        )
        ensure_partitions(connection, "indicator_values", first_at, last_at)
        copy_new_steps(connection, to_blocks(SERIES, found))
        connection.execute(
            text("INSERT INTO indicator_values SELECT * FROM indicators ORDER BY 1, 2, 3")
        )
        connection.execute(text("ANALYZE"))
    return N_WORKLOADS * len(steps_us)


def size(connection: Connection, table: str) -> int:
    query = text(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits "
        "WHERE inhparent = CAST(:table AS regclass)"
    )
    return int(connection.execute(query, {"table": table}).scalar_one())


def old_read(connection: Connection, origin_at: datetime) -> int:
    spans = spans_of(to_us(origin_at) + OFFSETS[OFFSETS <= 0] * STEP_US, STEP_US)
    given = {
        "ids": [one.id for one in WORKLOADS for _ in NAMES],
        "names": [name for _ in WORKLOADS for name in NAMES],
        "origin_at": origin_at,
        "step_s": STEP_S,
        "firsts": [span.first_at for span in spans],
        "lasts": [span.last_at for span in spans],
    }
    return sum(len(row.packed) // 8 for row in connection.execute(OLD_READ, given))


def test_a_step_is_small_and_a_context_is_read_once(database: Engine) -> None:
    n_steps = fill(database)
    meter = CpuMeter(database)
    kept = KeptSteps()

    def cycles(name: str, read: Callable[[Connection, datetime], object], first: int = 0) -> None:
        for number in range(first, N_CYCLES):
            with meter.stage(name), database.begin() as connection:
                read(connection, ORIGIN + number * timedelta(seconds=STEP_S))

    with database.begin() as connection:
        # the old rows stay where they are: this only reads what is there as if all had moved
        new_bytes, old_bytes = (
            size(connection, "indicator_steps"),
            size(connection, "indicator_values"),
        )
        values = connection.execute(text("SELECT count(*) FROM indicator_values")).scalar_one()
    assert values == 8 * n_steps
    cycles("old", old_read)
    with database.begin() as connection:
        for name in connection.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = "
                 "'indicator_values'::regclass")
        ).scalars():  # fmt: skip
            connection.execute(text(f"ALTER TABLE indicator_values DETACH PARTITION {name}"))
    cycles("anew", lambda c, at: windows_at(c, WINDOW, WORKLOADS, at))
    with database.begin() as connection:
        windows_at(connection, WINDOW, WORKLOADS, ORIGIN, kept)
    cycles("kept", lambda c, at: windows_at(c, WINDOW, WORKLOADS, at, kept), 1)
    a_thousand = {
        name: 1000 * meter.spent[name] / N_WORKLOADS / n
        for name, n in (("old", N_CYCLES), ("anew", N_CYCLES), ("kept", N_CYCLES - 1))
    }
    figures = {
        "bytes_per_step": (round(old_bytes / n_steps), round(new_bytes / n_steps)),
        "cpu_s_per_1000": {name: round(value, 3) for name, value in a_thousand.items()},
        "kept_mib_per_1000": round(1000 * kept.n_bytes / N_WORKLOADS / 2**20, 1),
    }
    print(figures)
    assert new_bytes < old_bytes / 4
    assert a_thousand["anew"] < a_thousand["old"]
    assert a_thousand["kept"] < a_thousand["old"] / 3


def test_a_cycle_of_steps_is_written_for_less(database: Engine) -> None:
    fill(database)
    meter = CpuMeter(database)
    number = np.arange(len(SERIES))
    ones = np.ones(len(SERIES), dtype=np.float32)
    with database.begin() as connection:
        connection.execute(text("TRUNCATE indicator_values"))
        connection.execute(text("ALTER TABLE indicator_values RENAME TO values_apart"))
        connection.execute(
            text("CREATE TABLE indicator_values (LIKE values_apart) PARTITION BY RANGE (step_at)")
        )
    old = str(OLD_WRITE).replace("indicator_values", "values_apart")
    for cycle in range(1, 21):
        at = ORIGIN + (N_CYCLES + cycle) * timedelta(seconds=STEP_S)
        with meter.stage("old"), database.begin() as connection:
            connection.execute(text(old), {"at": at, "n": N_WORKLOADS, "names": list(NAMES)})
        found = StepValues(number, np.full(len(SERIES), to_us(at)), ones, ones > 0)
        with meter.stage("new"), database.begin() as connection:
            assert write_steps(connection, to_blocks(SERIES, found)) == N_WORKLOADS
    print({name: round(1000 * spent / N_WORKLOADS / 20, 4) for name, spent in meter.spent.items()})
    assert meter.spent["new"] < meter.spent["old"]
