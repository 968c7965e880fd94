"""Carries out an advisory report that was asked for through the API, and stores what it says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine

from services.advisory.page import to_result
from services.advisory.service import AdvisoryQuery, load_report
from services.backtest.repository import load_cluster
from services.kernel.clock import Clock, SystemClock, make_clock
from services.kernel.db.clusters import narrow
from services.kernel.db.operations import Claimed
from services.kernel.db.session import make_engine
from services.kernel.operation import Tell, run_operation
from services.kernel.settings import get_settings


class AdviseParams(BaseModel):
    """What was asked for, as it is stored.

    Attributes:
        since_hours: Length of the time up to now.
        namespace: Only this one; None: all.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    since_hours: float
    namespace: str | None = None


def run_stored(operation_id: int) -> None:
    """Carry out one report with the process's settings."""
    settings = get_settings()
    clock = make_clock(settings.clock, settings.redis_url)
    carry_out(make_engine(settings.database_url), clock, SystemClock(), operation_id)


def carry_out(engine: Engine, clock: Clock, wall: Clock, operation_id: int) -> None:
    """Carry out one report.

    Args:
        engine: Database.
        clock: Time of the data, at which the report ends.
        wall: Wall clock, for the heartbeat.
        operation_id: The operation.
    """

    def work(claimed: Claimed, tell: Tell) -> dict[str, Any]:
        params = AdviseParams.model_validate(claimed.params)
        query = AdvisoryQuery(timedelta(hours=params.since_hours), params.namespace or "")
        tell("reading what ran and what was decided", 0.1)
        with engine.connect() as connection:
            # names of namespaces are those of the cluster that it was asked for in
            narrow(connection, load_cluster(connection, operation_id))
            return to_result(load_report(connection, query, clock.now()))

    run_operation(engine, wall, operation_id, work)
