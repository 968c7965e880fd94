"""Celery tasks of the forecasting service.

Every worker loads the task modules of all services; the imports inside the tasks keep torch out of
those that never forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery import shared_task

from services.kernel import jobs, telemetry


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
    from services.forecasting import deps, service

    with _measured(jobs.FORECAST_SHARD):
        service.forecast_shard(deps.get_forecasting(), shard, datetime.fromisoformat(at))


@_task(jobs.FORECAST_SCORE)
def score() -> None:
    """Score forecasts whose horizon has passed."""
    from services.forecasting import deps, service_score

    with _measured(jobs.FORECAST_SCORE):
        service_score.score_forecasts(deps.get_forecasting())


@_task(jobs.FORECAST_SWEEP)
def sweep() -> None:
    """Send lost jobs again."""
    from services.forecasting import deps, service

    with _measured(jobs.FORECAST_SWEEP):
        service.sweep(deps.get_forecasting())


@_task(jobs.FORECAST_FIT)
def fit_forecaster() -> None:
    """Train, back-test, register."""
    from services.forecasting import deps, service_fit

    with _measured(jobs.FORECAST_FIT):
        service_fit.fit_models(deps.get_forecasting())
