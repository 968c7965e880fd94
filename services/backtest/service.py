"""Carries out a backtest operation: loads its demand, runs the study, stores the result."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from services.backtest.predictors import Untrained
from services.backtest.repository import load_cluster
from services.backtest.stored import BacktestParams, run_backtest
from services.kernel.clock import Clock, SystemClock, make_clock
from services.kernel.db.clusters import narrow
from services.kernel.db.operations import Claimed
from services.kernel.db.session import make_engine
from services.kernel.operation import Tell, run_operation
from services.kernel.settings import get_settings


def run_stored(operation_id: int) -> None:
    """Carry out one backtest with the process's settings."""
    import torch

    settings = get_settings()
    torch.set_num_threads(settings.torch_threads)
    clock = make_clock(settings.clock, settings.redis_url)
    engine = make_engine(settings.database_url)
    carry_out(engine, clock, SystemClock(), operation_id, Untrained.of(settings))


def carry_out(
    engine: Engine,
    clock: Clock,
    wall: Clock,
    operation_id: int,
    untrained: Untrained | None = None,
) -> None:
    """Carry out one backtest.

    Args:
        engine: Database.
        clock: Time of the data, at which the replay ends.
        wall: Wall clock, for the heartbeat.
        operation_id: The operation.
        untrained: What the service forecasts with before a fit; default: as shipped.
    """

    def work(claimed: Claimed, tell: Tell) -> dict[str, Any]:
        params = BacktestParams.model_validate(claimed.params)
        with engine.connect() as connection:
            # names of workloads are those of the cluster that it was asked for in
            narrow(connection, load_cluster(connection, operation_id))
            return run_backtest(connection, params, clock.now(), tell, untrained)

    run_operation(engine, wall, operation_id, work)
