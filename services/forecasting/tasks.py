"""Celery tasks of the forecasting service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery import shared_task

from services.forecasting import service, service_fit, service_score
from services.kernel import jobs, telemetry


def _app() -> service.Forecasting:
    # The composition root imports torch: a worker that only routes jobs need not load it.
    from services.forecasting.main import get_forecasting

    return get_forecasting()


def _task(name: str) -> Callable[[Callable[..., Any]], Any]:
    decorate: Callable[[Callable[..., Any]], Any] = shared_task(name=name)
    return decorate


@contextmanager
def _measured(job: str) -> Iterator[None]:
    """Run time and failures of a job; the error goes on to Celery."""
    with telemetry.job_duration_seconds.labels(job).time():
        try:
            yield
        except Exception as error:  # counted by type, then raised again
            telemetry.job_failures_total.labels(job, type(error).__name__).inc()
            raise


@_task(jobs.FORECAST_SHARD)
def forecast_shard(shard: int, at: str) -> None:
    """Forecast one shard at one origin."""
    with _measured(jobs.FORECAST_SHARD):
        service.forecast_shard(_app(), shard, datetime.fromisoformat(at))


@_task(jobs.FORECAST_SCORE)
def score() -> None:
    """Score forecasts whose horizon has passed."""
    with _measured(jobs.FORECAST_SCORE):
        service_score.score_forecasts(_app())


@_task(jobs.FORECAST_SWEEP)
def sweep() -> None:
    """Send lost jobs again."""
    with _measured(jobs.FORECAST_SWEEP):
        service.sweep(_app())


@_task(jobs.FORECAST_FIT)
def fit_forecaster() -> None:
    """Train, back-test, register."""
    with _measured(jobs.FORECAST_FIT):
        service_fit.fit_models(_app())
