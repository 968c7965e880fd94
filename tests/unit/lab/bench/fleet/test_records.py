"""Costs of tasks are read back and added up by stage."""

from __future__ import annotations

from pathlib import Path

from services.kernel import jobs
from services.lab.bench.fleet.records import STAGES, TaskRecord, cost_by_stage, read_records


def test_an_unfinished_line_is_no_record(tmp_path: Path) -> None:
    records = [TaskRecord(jobs.DECIDE_SHARD, 20.0, 1.0, 0.5, 0.25)]
    records.append(TaskRecord(jobs.FORECAST_SWEEP, 10.0, 0.1, 0.05, 0.01))
    (tmp_path / "a.jsonl").write_text(records[0].line() + records[0].line()[:20])
    (tmp_path / "b.jsonl").write_text(records[1].line())
    (tmp_path / "c.jsonl").write_text("")
    assert read_records(tmp_path.glob("*.jsonl")) == [records[1], records[0]]


def test_tasks_are_counted_for_their_stage_within_the_time() -> None:
    names = (jobs.INGEST_RESAMPLE, jobs.FORECAST_SHARD, jobs.DECIDE_SHARD, jobs.FORECAST_SCORE)
    sweeps = (jobs.INGEST_SWEEP, jobs.FORECAST_SWEEP, jobs.DECIDE_SWEEP, jobs.RETENTION)
    records = [TaskRecord(name, 10.0, 1.0, 0.5, 0.25) for name in (*names, *sweeps)]
    early = TaskRecord(jobs.DECIDE_SHARD, 9.9, 1.0, 0.5, 0.25)
    found = cost_by_stage([early, *records], 10.0, 11.0)
    assert set(found) == set(STAGES) - {"ingest", "operator"}
    assert (found["decide"].cpu_s, found["decide"].n_runs) == (0.75, 1)
    assert (found["sweep"].python_s, found["sweep"].n_runs) == (2.0, 4)
    assert sum(cost.cpu_s for cost in found.values()) == 0.75 * len(records)
