"""Scheduled refits: what beat sends, and that a fit worker knows the job."""

from __future__ import annotations

from datetime import timedelta

from celery.beat import Scheduler

from services.kernel.celery_app import FIT_CHECKS
from services.kernel.jobs import FORECAST_FIT
from services.kernel.settings import Settings
from services.worker.run import worker_app

INTERVAL_S = 600.0
CHECK_S = INTERVAL_S / FIT_CHECKS


def test_beat_asks_for_a_due_fit_many_times_per_interval() -> None:
    settings = Settings(redis_url="memory://", fit_interval_s=INTERVAL_S, queues="fit")
    app = worker_app(settings)
    scheduler = Scheduler(app=app, lazy=False)
    entry = scheduler.schedule[FORECAST_FIT]
    assert not entry.is_due().is_due
    started_at = entry.last_run_at
    entry.last_run_at = started_at - timedelta(seconds=CHECK_S - 5)
    assert not entry.is_due().is_due
    entry.last_run_at = started_at - timedelta(seconds=CHECK_S + 5)
    scheduler.tick()
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue("fit")
        message = queue.get(timeout=60)
        assert message.headers["task"] == FORECAST_FIT
        assert message.payload[1] == {"is_scheduled": True}
        assert queue.qsize() == 0
    assert not scheduler.schedule[FORECAST_FIT].is_due().is_due
    app.loader.import_default_modules()
    assert FORECAST_FIT in app.tasks
