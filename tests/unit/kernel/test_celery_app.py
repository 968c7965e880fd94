"""Queues, reliability and the beat schedule."""

import pytest

from services.kernel import jobs
from services.kernel.celery_app import FIT_CHECKS, beat_schedule, make_celery
from services.kernel.settings import Settings


def test_the_schedule_follows_the_settings() -> None:
    schedule = beat_schedule(Settings(sweep_interval_s=11.0))
    assert schedule[jobs.DECIDE_SWEEP]["schedule"] == 11.0
    assert {entry["options"]["queue"] for entry in schedule.values()} <= set(jobs.QUEUES)


def test_a_killed_worker_gives_its_job_back() -> None:
    app = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.accept_content == ["json"]


@pytest.mark.parametrize("job", [jobs.FORECAST_FIT, jobs.DECIDE_FIT])
def test_fits_are_asked_for_often_and_say_that_they_are_scheduled(job: str) -> None:
    entry = beat_schedule(Settings(fit_interval_s=86400.0))[job]
    assert (entry["schedule"], entry["kwargs"]) == (86400.0 / FIT_CHECKS, {"is_scheduled": True})
    assert entry["options"]["queue"] == "fit"


def test_looks_at_models_are_asked_for_often_and_can_be_turned_off() -> None:
    entry = beat_schedule(Settings(trust_interval_s=43200.0, fit_interval_s=60.0))[
        jobs.DECIDE_TRUST
    ]
    assert (entry["schedule"], entry["kwargs"]) == (43200.0 / FIT_CHECKS, {"is_scheduled": True})
    assert entry["options"]["queue"] == "fit"
    assert jobs.DECIDE_TRUST not in beat_schedule(Settings(trust_interval_s=0))
