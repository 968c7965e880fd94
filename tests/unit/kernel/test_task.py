"""A task runs under its job's name, is timed, and its failures are counted by type."""

from __future__ import annotations

import pytest
from celery import Celery

from services.kernel import telemetry
from services.kernel.task import job_task


def value(metric: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(metric, labels) or 0.0


def test_a_task_is_timed_and_its_failures_are_counted_by_type() -> None:
    app = Celery("tests", set_as_current=False)
    job = "forecast.test_task"
    seen: list[tuple[int, str]] = []

    @job_task(job)
    def run(shard: int, at: str = "now") -> None:
        """Keep or fail."""
        if shard < 0:
            raise ValueError(f"shard={shard} must be >= 0")
        seen.append((shard, at))

    app.finalize()
    task = app.tasks[job]
    assert task.__doc__ == "Keep or fail."
    task(3, at="then")
    with pytest.raises(ValueError, match="shard=-1"):
        task(shard=-1)
    with pytest.raises(TypeError, match="shrad"):
        task(shrad=1)
    assert seen == [(3, "then")]
    assert value("harmony_job_duration_seconds_count", job=job) == 3
    assert value("harmony_job_failures_total", job=job, error="ValueError") == 1
    assert value("harmony_job_failures_total", job=job, error="TypeError") == 1
