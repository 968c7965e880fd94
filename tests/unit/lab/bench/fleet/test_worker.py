"""A worker writes a line for each task, and takes its limits of waiting from the speed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.signals import task_postrun, task_prerun

from services.kernel.celery_app import get_celery
from services.lab.bench.fleet.records import read_records
from services.lab.bench.fleet.speed import write_speed
from services.lab.bench.fleet.worker import TaskMeter

BUSY_S = 0.1


class Task:
    name = "decide.decide_shard"


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[TaskMeter]:
    get_celery.cache_clear()
    found = TaskMeter(tmp_path / "worker-1.jsonl")
    yield found
    found.close()
    get_celery.cache_clear()


def test_a_task_is_written_down_with_its_cpu_time(meter: TaskMeter, tmp_path: Path) -> None:
    write_speed(tmp_path, 2.0)
    task_prerun.send(sender=Task, task=Task)
    until = time.process_time() + BUSY_S
    while time.process_time() < until:
        pass
    task_postrun.send(sender=Task, task=Task)
    (record,) = read_records([tmp_path / "worker-1.jsonl"])
    assert (record.job, record.stage, record.database_s) == (Task.name, "decide", 0.0)
    assert record.python_s >= BUSY_S
    assert record.wall_s > 0
    assert get_celery().conf.harmony_expires_s == 90


def test_one_that_was_closed_writes_nothing_more(meter: TaskMeter, tmp_path: Path) -> None:
    meter.close()
    task_prerun.send(sender=Task, task=Task)
    task_postrun.send(sender=Task, task=Task)
    assert read_records([tmp_path / "worker-1.jsonl"]) == []
