"""Celery tasks of the forecasting service.

Every worker loads the task modules of all services; the imports inside the tasks keep torch out of
those that never forecast.
"""

from __future__ import annotations

from datetime import datetime

from services.kernel import jobs
from services.kernel.task import job_task


@job_task(jobs.FORECAST_SHARD)
def forecast_shard(shard: int, at: str, is_rest: bool = False) -> None:
    """Forecast one shard at one origin, or at a newer one that has passed it."""
    from services.forecasting import deps
    from services.forecasting.forecast import service

    origin_at = datetime.fromisoformat(at)
    service.forecast_shard(deps.get_forecasting(), shard, origin_at, is_rest=is_rest)


@job_task(jobs.FORECAST_SCORE)
def score() -> None:
    """Score forecasts whose horizon has passed."""
    from services.forecasting import deps
    from services.forecasting.score.service import score_forecasts

    score_forecasts(deps.get_forecasting())


@job_task(jobs.FORECAST_SWEEP)
def sweep() -> None:
    """Send lost jobs again."""
    from services.forecasting import deps
    from services.forecasting.forecast import service

    service.sweep(deps.get_forecasting())


@job_task(jobs.FORECAST_FIT)
def fit_forecaster(request_id: int | None = None, is_scheduled: bool = False) -> None:
    """Train, back-test, register; a scheduled call only when the last fit is old enough."""
    from services.forecasting import deps
    from services.forecasting.score import drift

    app = deps.get_forecasting()
    if not is_scheduled or drift.is_fit_due(app):
        drift.fit_as_requested(app, request_id)


@job_task(jobs.CALIBRATE_PRIOR)
def calibrate_prior() -> None:
    """Let the histories of workloads that no model serves calibrate the prior."""
    from services.forecasting import deps
    from services.forecasting.training import calibrate_prior as calibration

    calibration.calibrate_prior(deps.get_forecasting())


@job_task(jobs.TRAIN_MODEL)
def train_model(operation_id: int) -> None:
    """Train as somebody asked through the API."""
    from services.forecasting import deps
    from services.forecasting.training.operations import train_as_asked

    train_as_asked(deps.get_forecasting(), operation_id)
