"""Scheduled refits: what beat sends, and that a fit worker knows the job."""

from __future__ import annotations

from datetime import timedelta

from celery.beat import Scheduler

from services.kernel.jobs import FORECAST_FIT
from services.kernel.settings import Settings
from services.kernel.worker import make_celery

INTERVAL_S = 600.0


def test_beat_sends_a_fit_to_its_queue_once_per_interval() -> None:
    settings = Settings(redis_url="memory://", fit_interval_s=INTERVAL_S, queues="fit")
    app = make_celery(settings)
    scheduler = Scheduler(app=app, lazy=False)
    entry = scheduler.schedule[FORECAST_FIT]
    assert not entry.is_due().is_due
    started_at = entry.last_run_at
    entry.last_run_at = started_at - timedelta(seconds=INTERVAL_S - 5)
    assert not entry.is_due().is_due
    entry.last_run_at = started_at - timedelta(seconds=INTERVAL_S + 5)
    scheduler.tick()
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue("fit")
        message = queue.get(timeout=1)
        assert message.headers["task"] == FORECAST_FIT
        assert queue.qsize() == 0
    assert not scheduler.schedule[FORECAST_FIT].is_due().is_due
    app.loader.import_default_modules()
    assert FORECAST_FIT in app.tasks
