"""A refit that decisions ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.kernel.db.session import UnitOfWork
from services.kernel.jobs import DECIDE_FIT, Job
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class RefitRequest:
    """Who asks for a refit, and why.

    Attributes:
        event: Name of the log line.
        workloads: `namespace/name` of those whose steps no longer agree with what was learned.
        step_s: Longest step of the shard.
    """

    event: str
    workloads: Sequence[str]
    step_s: int


def request_refit(
    work: UnitOfWork, settings: Settings, request: RefitRequest, origin_at: datetime
) -> None:
    """Send the fit job when the origin is the first of its interval: no state, no flood.

    Args:
        work: The transaction.
        settings: Settings.
        request: Who asks and why.
        origin_at: The origin that is decided for.
    """
    width = settings.refit_min_interval_s
    origin_s = origin_at.timestamp()
    is_first = origin_s // width != (origin_s - request.step_s) // width
    if is_first:
        work.send_after_commit(Job(DECIDE_FIT))
    get_logger(__name__).warning(
        request.event, workloads=list(request.workloads), is_asked=is_first
    )
