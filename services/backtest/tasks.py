"""Celery task of backtests that were asked for through the API."""

from __future__ import annotations

from services.kernel import jobs
from services.kernel.task import job_task


@job_task(jobs.BACKTEST)
def run_backtest(operation_id: int) -> None:
    """Every policy over the stored demand of some workloads."""
    from services.backtest.service import run_stored

    run_stored(operation_id)
