"""Pushed samples become indicators: complete steps, late samples, gaps, one forecast per origin."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, stored_steps
from tests.integration.ingest.pushes import HEAT, RATE, T0, TOKENS, at_s, body, push_rate, resample

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)


def test_a_step_flows_to_a_forecast(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    samples = [[at_s(15 * n), 10.0 + n] for n in range(4)]
    counter = [[at_s(15 * n), 600.0 * n] for n in range(1, 5)]
    clock.advance(60)
    result = push(deps, body(("w0", RATE, samples), ("w0", TOKENS, counter)))
    assert (result.n_accepted, result.rejected) == (8, ())
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    done = resample(deps)
    assert done.origins == (T0,)
    assert sender.sent[-1] == jobs.shard_job(jobs.FORECAST_SHARD, 0, T0)
    assert stored_steps(deps.engine, workload_id, RATE) == [(T0, 11.5)]
    assert stored_steps(deps.engine, workload_id, TOKENS) == [(T0, 40.0)]
    assert stored_steps(deps.engine, workload_id, HEAT) == [(T0, None)]


def test_an_incomplete_step_is_left(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(59)
    push_rate(deps, (10, 1.0))
    assert resample(deps).n_rows == 0
    assert stored_steps(deps.engine, workload_id, RATE) == []


def test_running_again_changes_nothing_and_asks_for_nothing(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(60)
    push_rate(deps, (10, 1.0))
    resample(deps)
    n_sent = len(sender.sent)
    again = resample(deps)
    assert (again.n_rows, again.origins, len(sender.sent)) == (0, (), n_sent)
    push_rate(deps, (10, 1.0))  # the client sends the same again
    again = resample(deps)
    assert (again.n_rows, again.origins) == (0, ())
    assert stored_steps(deps.engine, workload_id, RATE) == [(T0, 1.0)]


def test_a_late_sample_opens_its_step_again_but_no_forecast(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    for step in range(3):
        clock.advance(60)
        push_rate(deps, (60 * step + 10, 1.0))
        assert len(resample(deps).origins) == 1
    sender.sent.clear()
    push_rate(deps, (20, 3.0))
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    assert resample(deps).origins == ()
    assert [value for _, value in stored_steps(deps.engine, workload_id, RATE)] == [2.0, 1.0, 1.0]
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]


def test_a_gap_stays_a_gap(deps: IngestDeps, clock: FixedClock, register: Register) -> None:
    (workload_id,) = register()
    clock.advance(60)
    push_rate(deps, (10, 5.0))
    resample(deps)
    clock.advance(180)
    push_rate(deps, (200, 7.0))
    resample(deps)
    values = [value for _, value in stored_steps(deps.engine, workload_id, RATE)]
    assert values == [5.0, None, None, 7.0]


def test_without_samples_a_step_waits_for_its_grace_only(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    first, second = register(2)
    clock.advance(60)
    push_rate(deps, (10, 1.0), workload="w0")
    push_rate(deps, (10, 1.0), workload="w1")
    assert resample(deps).origins == (T0,)
    clock.advance(60)
    push_rate(deps, (70, 2.0), workload="w0")
    assert resample(deps).origins == ()  # the second may still be sending
    assert len(stored_steps(deps.engine, first, RATE)) == 2
    assert len(stored_steps(deps.engine, second, RATE)) == 1
    clock.advance(deps.settings.grace_s)
    sender.sent.clear()
    swept = service.sweep(deps, clock.now())
    assert (swept.resampled, swept.pulled) == ((0,), ())
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    assert resample(deps).origins == (T0 + STEP,)
    assert stored_steps(deps.engine, second, RATE)[-1] == (T0 + STEP, None)
    assert service.sweep(deps, clock.now()).resampled == ()


def test_a_replay_does_not_wait(
    deps: IngestDeps, clock: FixedClock, settings: Settings, register: Register
) -> None:
    """Its clock stands still until the step is through, so a grace would never pass."""
    deps.settings = settings.model_copy(update={"clock": "replay"})
    register(2)
    clock.advance(60)
    push_rate(deps, (0, 1.0), workload="w0")
    assert resample(deps).origins == (T0,)


def test_a_clock_that_is_ahead_closes_no_step_to_come(
    deps: IngestDeps, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    deps.clock = SystemClock()
    service.resample_shard(deps, 0, deps.clock.now() + timedelta(hours=1))
    # in the first seconds of a minute the step before it is not closed yet
    steps = stored_steps(deps.engine, workload_id, RATE)
    assert len(steps) <= 1
    assert all(at + STEP <= deps.clock.now() and value is None for at, value in steps)
    assert [job.payload["at"] for job in sender.sent] == [at.isoformat() for at, _ in steps]


def test_a_workload_that_never_sent_anything_gets_gaps(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(60 + deps.settings.grace_s)
    assert resample(deps).origins == (T0,)
    assert stored_steps(deps.engine, workload_id, RATE) == [(T0, None)]


@pytest.mark.parametrize("seed", range(3))
def test_any_split_and_order_of_pushes_gives_the_same_steps(
    deps: IngestDeps, clock: FixedClock, register: Register, seed: int
) -> None:
    """Two workloads, the same samples: at once, or shuffled, in pieces, resampled in between."""
    whole, pieces = register(2)
    rng = np.random.default_rng(seed)
    offsets = np.sort(rng.choice(300_000, size=80, replace=False)) / 1000
    readings = np.cumsum(rng.uniform(0, 100, size=80))
    readings[50:] -= readings[50]
    clock.advance(300)
    series = {RATE: rng.uniform(0, 50, size=80), TOKENS: readings}
    rows = [
        (name, [at_s(offset), value])
        for name, values in series.items()
        for offset, value in zip(offsets.tolist(), values.tolist(), strict=True)
    ]
    push(deps, body(*[("w0", name, [row]) for name, row in rows]))
    rng.shuffle(rows)  # type: ignore[arg-type]  # a list
    for start in range(0, len(rows), 20):
        push(deps, body(*[("w1", name, [row]) for name, row in rows[start : start + 20]]))
        resample(deps)
    for name in series:
        expected = stored_steps(deps.engine, whole, name)[-5:]
        assert stored_steps(deps.engine, pieces, name)[-5:] == expected
        assert sum(value is not None for _, value in expected) == 5


def test_a_value_is_never_replaced_by_a_gap(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    """History was loaded without raw samples; a late one opens its step for all indicators."""
    (workload_id,) = register()
    clock.advance(120)
    history = WorkloadHistory((RATE, HEAT), np.full((2, 2), 5.0), np.ones((2, 2), bool))
    backfill(deps.engine, [workload_id], HistoryFrame(T0, 60, (history,)))
    push_rate(deps, (70, 9.0))
    resample(deps)
    assert stored_steps(deps.engine, workload_id, RATE) == [(T0, 5.0), (T0 + STEP, 9.0)]
    assert stored_steps(deps.engine, workload_id, HEAT) == [(T0, 5.0), (T0 + STEP, 5.0)]


def test_shards_and_step_lengths_do_not_mix(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (minute,) = register(prefix="minute")
    (half,) = register(prefix="half", step_s=30)
    register(prefix="elsewhere", shard=1)
    clock.advance(60)
    push_rate(deps, (10, 1.0), workload="minute0")
    push_rate(deps, (10, 1.0), (40, 3.0), workload="half0")
    done = resample(deps)
    assert done.origins == (T0 + STEP / 2, T0)
    assert stored_steps(deps.engine, half, RATE) == [(T0, 1.0), (T0 + STEP / 2, 3.0)]
    assert stored_steps(deps.engine, minute, RATE) == [(T0, 1.0)]
    forecasts = [job for job in sender.sent if job.name == jobs.FORECAST_SHARD]
    assert {job.payload["shard"] for job in forecasts} == {0}


def test_a_long_backlog_is_done_in_runs(
    deps: IngestDeps, clock: FixedClock, sender: RecordingSender, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(60)
    push_rate(deps, (10, 1.0))
    resample(deps)
    deps.max_rows = 3 * 7  # seven steps of three indicators
    clock.advance(600 + deps.settings.grace_s)
    sender.sent.clear()
    assert resample(deps) == service.ResampleResult(7, (), True)
    assert sender.sent == [jobs.shard_job(jobs.INGEST_RESAMPLE, 0, clock.now())]
    assert resample(deps) == service.ResampleResult(3, (T0 + 10 * STEP,), False)
    steps = stored_steps(deps.engine, workload_id, RATE)
    assert [at for at, _ in steps] == [T0 + n * STEP for n in range(11)]
    assert [value for _, value in steps] == [1.0] + [None] * 10


def test_steps_whose_raw_samples_are_gone_are_given_up(
    deps: IngestDeps, clock: FixedClock, settings: Settings, register: Register
) -> None:
    (workload_id,) = register()
    clock.advance(60)
    push_rate(deps, (10, 1.0))
    resample(deps)
    deps.settings = settings.model_copy(update={"retain_observations_days": 1 / 24})
    clock.advance(86400 + deps.settings.grace_s)
    assert resample(deps).origins == (T0 + timedelta(days=1),)
    assert len(stored_steps(deps.engine, workload_id, RATE)) == 1 + 60
