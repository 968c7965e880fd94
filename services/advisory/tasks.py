"""Celery task of advisory reports that were asked for through the API."""

from __future__ import annotations

from services.kernel import jobs
from services.kernel.task import job_task


@job_task(jobs.ADVISE)
def advise(operation_id: int) -> None:
    """What services cost and broke that somebody else scales, and what Harmony's counts would."""
    from services.advisory.operation import run_stored

    run_stored(operation_id)
