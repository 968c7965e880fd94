"""A worker that writes down what each of its tasks costs, and when it has begun to work.

`python -m services.lab.bench.fleet.worker FILE` is `python -m services.worker` with hooks. What the
first jobs of a worker load is loaded before it takes one: see `FleetDriver`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from celery.signals import task_postrun, task_prerun, worker_ready

from services.kernel.celery_app import get_celery
from services.kernel.clock import wall_seconds
from services.kernel.settings import get_settings
from services.kernel.telemetry import configure_logging
from services.lab.bench.fleet.cpu import OwnBackends
from services.lab.bench.fleet.records import TaskRecord
from services.lab.bench.fleet.speed import WaitLimits
from services.worker.run import run_worker


class TaskMeter:
    """Writes a line when a task has ended. The solo pool runs one at a time, in this thread."""

    def __init__(self, file: Path) -> None:
        """Append to `file`."""
        self._backends = OwnBackends()
        self._stream = file.open("a", buffering=1)
        self._limits = WaitLimits(file.parent)
        self._before = (0.0, 0.0, 0.0, 0.0)
        task_prerun.connect(self._on_start)
        task_postrun.connect(self._on_end)

    def close(self) -> None:
        """Write no more."""
        task_prerun.disconnect(self._on_start)
        task_postrun.disconnect(self._on_end)
        self._backends.stop()
        self._stream.close()

    def _on_start(self, **_given: object) -> None:
        self._limits.follow(get_celery())
        self._before = self._now()

    def _on_end(self, task: object, **_given: object) -> None:
        spent = [after - before for after, before in zip(self._now(), self._before, strict=True)]
        record = TaskRecord(str(getattr(task, "name", "")), self._before[0], *spent[1:])
        self._stream.write(record.line())

    def _now(self) -> tuple[float, float, float, float]:
        return wall_seconds(), time.perf_counter(), time.process_time(), self._backends.cpu_s()


def is_up(file: Path, pid: int) -> bool:
    """Whether the process that appends to a file has loaded everything and takes jobs."""
    told = _told_by(file)
    return told.exists() and told.read_text() == str(pid)


def _told_by(file: Path) -> Path:
    return file.with_suffix(".pid")


def load_all() -> None:
    """Load what the first jobs would: modules and the model that serves."""
    from services.decision.tasks import worker_deps
    from services.forecasting.deps import get_forecasting

    with worker_deps().engine.connect() as connection:
        get_forecasting().store.current(connection)


def main(file: Path) -> None:
    """Run until stopped."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    meter = TaskMeter(file)
    load_all()
    worker_ready.connect(lambda **_: _told_by(file).write_text(str(os.getpid())), weak=False)
    try:
        run_worker(settings)
    finally:
        meter.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
