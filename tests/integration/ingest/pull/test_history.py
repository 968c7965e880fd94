"""Back-fill."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.kernel.clock import FixedClock
from services.kernel.errors import InvalidInput, NotFound
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
RATE, HEAT = "request_rate_rps", "gpu_temperature_c"
T0 = datetime.fromisoformat("2026-01-05T00:00:00Z")
STEP = timedelta(seconds=60)


def frame(*columns: list[float], start_at: datetime = T0, step_s: int = 60) -> HistoryFrame:
    values = np.array(columns).T
    names = (RATE, HEAT)[: len(columns)]
    return HistoryFrame(start_at, step_s, (WorkloadHistory(names, values, ~np.isnan(values)),))


def test_history_across_partitions_is_read_back(deps: IngestDeps, register: Register) -> None:
    (workload_id,) = register()
    n_steps = 10 * 1440
    rate = np.arange(n_steps) % 97 + 0.5
    rate[::7] = np.nan
    heat = -np.arange(n_steps) / 1000
    result = backfill(deps.engine, [workload_id], frame(rate.tolist(), heat.tolist()))
    assert (result.n_rows, result.rejected) == (n_steps, ())
    assert result.n_observed == 2 * n_steps - len(rate[::7])
    found = stored_steps(deps.engine, workload_id, RATE)
    assert [at for at, _ in found] == [T0 + n * STEP for n in range(n_steps)]
    values = np.array([np.nan if value is None else value for _, value in found])
    assert np.array_equal(values, rate, equal_nan=True)
    found = stored_steps(deps.engine, workload_id, HEAT)
    found_heat = np.array([value for _, value in found], dtype=np.float32)
    assert np.array_equal(found_heat, heat.astype(np.float32))


def test_again_changes_nothing_and_values_win_over_gaps(
    deps: IngestDeps, register: Register
) -> None:
    (workload_id,) = register()
    nan = float("nan")
    assert backfill(deps.engine, [workload_id], frame([1, nan, 3])).n_rows == 3
    assert backfill(deps.engine, [workload_id], frame([1, nan, 3])).n_rows == 0
    assert backfill(deps.engine, [workload_id], frame([nan, 2, 30, 4])).n_rows == 3
    assert [value for _, value in stored_steps(deps.engine, workload_id, RATE)] == [1, 2, 30, 4]


def test_the_cursor_goes_to_the_end_and_never_back(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register()
    nan = float("nan")
    backfill(deps.engine, [workload_id], frame([1, 2, nan]))
    backfill(deps.engine, [workload_id], frame([7]))
    with deps.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM ingest_cursors")).one()
    assert (row.resampled_until, row.last_sample_at) == (T0 + 3 * STEP, T0 + STEP)
    clock.advance(180)
    assert service.resample_shard(deps, 0, clock.now()).n_rows == 0


def test_unusable_values_become_gaps_and_are_counted(deps: IngestDeps, register: Register) -> None:
    (workload_id,) = register()
    values = np.array([[1.0, -5.0], [-1.0, 1e19], [np.inf, 3.0], [np.nan, 4.0]])
    observed = np.ones((4, 2), dtype=bool)
    history = WorkloadHistory((RATE, HEAT), values, observed)
    result = backfill(deps.engine, [workload_id], HistoryFrame(T0, 60, (history,)))
    counts = {rejection.reason: rejection.count for rejection in result.rejected}
    assert counts == {"not_finite": 2, "out_of_range": 1, "negative": 1}
    assert observed.all()  # the caller's array is left alone
    rate = [value for _, value in stored_steps(deps.engine, workload_id, RATE)]
    heat = [value for _, value in stored_steps(deps.engine, workload_id, HEAT)]
    assert (rate, heat) == ([1.0, None, None, None], [-5.0, None, 3.0, 4.0])


def test_wrong_frames_are_refused_by_name_and_write_nothing(
    deps: IngestDeps, register: Register
) -> None:
    (workload_id,) = register()
    other = WorkloadHistory(("no_such",), np.ones((2, 1)), np.ones((2, 1), dtype=bool))
    with pytest.raises(InvalidInput, match=r"shop/w0: indicators \['no_such'\] must be"):
        backfill(deps.engine, [workload_id], HistoryFrame(T0, 60, (other,)))
    with pytest.raises(InvalidInput, match="step_s=30 must be 60"):
        backfill(deps.engine, [workload_id], frame([1, 2], step_s=30))
    with pytest.raises(NotFound, match="workload_id=999 does not exist"):
        backfill(deps.engine, [999], frame([1, 2]))
    with pytest.raises(InvalidInput, match="one per workload"):
        backfill(deps.engine, [workload_id, 999], frame([1, 2]))
    with pytest.raises(InvalidInput, match="on the grid"):
        frame([1, 2], start_at=T0 + timedelta(seconds=7))
    with pytest.raises(InvalidInput, match="same steps"):
        HistoryFrame(T0, 60, (other, WorkloadHistory((), np.ones((3, 0)), np.ones((3, 0), bool))))
    with pytest.raises(InvalidInput, match="must both be"):
        WorkloadHistory(("a", "b"), np.ones((2, 1)), np.ones((2, 1), dtype=bool))
    assert stored_steps(deps.engine, workload_id, RATE) == []
