"""A fit that was asked for through the API: the same fit, with its progress stored."""

from __future__ import annotations

from typing import Any

from services.forecasting.forecast.service import Forecasting
from services.forecasting.training.fit import BUSY, fit_models
from services.kernel.clock import Clock, SystemClock
from services.kernel.db.operations import Claimed
from services.kernel.errors import Conflict
from services.kernel.operation import Tell, run_operation

_WALL = SystemClock()


def train_as_asked(app: Forecasting, operation_id: int, wall: Clock = _WALL) -> None:
    """Train, back-test, register, and promote if better."""

    def work(claimed: Claimed, tell: Tell) -> dict[str, Any]:
        # an unfinished fit is gone on with where this operation's own worker died
        is_fresh = bool(claimed.params.get("is_fresh")) and claimed.n_attempts == 1
        found = fit_models(app, tell, is_fresh=is_fresh)
        if found.status == BUSY:
            raise Conflict(found.reason)
        return {"version": found.version, "status": found.status, "reason": found.reason}

    run_operation(app.engine, wall, operation_id, work)
