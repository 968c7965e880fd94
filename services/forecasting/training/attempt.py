"""Attempts at a fit: a fit whose process died goes on from the epoch that it had reached.

The unfinished fit is a row of the registry with status `training`, rewritten after each epoch. Its
time is part of it: the next attempt reads the same histories, so that it may end with the same
model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from forecaster import FitProgress, ForecasterConfig
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import NewModel, TrainingRow
from services.forecasting.rows.translate import json_safe
from services.kernel.db.session import unit_of_work
from services.kernel.telemetry import get_logger

MAX_ATTEMPTS = 3
"""Cut short this often, a fit is given up: the next one would be cut short as well."""
MAX_AGE = timedelta(days=1)
"""Older histories are not worth finishing a model for."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a fit.

    Attributes:
        row_id: Its row of the registry.
        at: Time of the fit; its histories end before it.
        number: 1, or more when earlier runs were cut short.
        spent_s: Wall seconds that earlier runs took.
        state: State to go on from; None at the start.
        reached: How far earlier runs came, in words.
    """

    row_id: int
    at: datetime
    number: int
    spent_s: float
    state: bytes | None
    reached: str

    @property
    def is_last(self) -> bool:
        """True when the fit is given up instead of being tried once more."""
        return self.number > MAX_ATTEMPTS


def begin_attempt(app: Forecasting, config: ForecasterConfig, *, is_fresh: bool) -> Attempt:
    """Take up the unfinished fit, or begin a new one. Only the holder of the fit lock may.

    Args:
        app: The service.
        config: Configuration of the fit.
        is_fresh: Begin a new one whatever is there.
    """
    with unit_of_work(app.engine) as work:
        now = app.now(work.connection)
        row = registry.load_training(work.connection)
        if row is not None and not is_fresh:
            refusal = _why_not(row, config, app.settings.seed, now)
            if refusal is None:
                return _taken_up(work.connection, row)
            get_logger(__name__).warning("fit_not_resumed", reason=refusal)
        registry.delete_training(work.connection)
        attempt = Attempt(0, now, 1, 0.0, None, "nothing")
        model = NewModel(
            f"training-{now:%Y%m%dT%H%M%S%f}",
            registry.TRAINING,
            "fit begun",
            config.to_dict(),
            {"seed": app.settings.seed, **_facts(attempt)},
            None,
        )
        row_id = registry.insert_model(work.connection, model, now)
    assert row_id is not None  # every other training row was deleted above
    return replace(attempt, row_id=row_id)


def _why_not(row: TrainingRow, config: ForecasterConfig, seed: int, now: datetime) -> str | None:
    """Why an unfinished fit is not taken up; None when it is."""
    if row.config != json_safe(config.to_dict()):
        return "the configuration has changed"
    if row.metrics.get("seed") != seed:
        return f"it has seed={row.metrics.get('seed')}, now {seed}"
    if now - row.created_at > MAX_AGE:
        return f"it was begun at {row.created_at.isoformat()}, more than {MAX_AGE} ago"
    return None


def _taken_up(connection: Connection, row: TrainingRow) -> Attempt:
    metrics = row.metrics
    attempt = Attempt(
        row.id,
        row.created_at,
        int(metrics["n_attempts"]) + 1,
        float(metrics["spent_s"]),
        row.state,
        str(metrics["reached"]),
    )
    registry.save_training(connection, row.id, {**metrics, **_facts(attempt)}, None)
    get_logger(__name__).info(
        "fit_resumed", attempt=attempt.number, reached=attempt.reached, at=row.created_at
    )
    return attempt


def _facts(attempt: Attempt) -> dict[str, Any]:
    return {
        "n_attempts": attempt.number,
        "spent_s": attempt.spent_s,
        "reached": attempt.reached,
    }


def save_epoch(
    app: Forecasting, attempt: Attempt, line: FitProgress, state: bytes, spent_s: float
) -> None:
    """Keep the state after an epoch, in a transaction of its own."""
    reached = f"{line.stage} {line.epoch}/{line.n_epochs}"
    facts = _facts(replace(attempt, spent_s=spent_s, reached=reached))
    losses: Mapping[str, Any] = json_safe(
        {"train_loss": line.train_loss, "validation_loss": line.validation_loss}
    )
    metrics = {"seed": app.settings.seed, **facts, **losses}
    with unit_of_work(app.engine) as work:
        registry.save_training(work.connection, attempt.row_id, metrics, state)


def forgive_attempt(app: Forecasting, attempt: Attempt) -> None:
    """Do not count an attempt that was stopped in order: it says nothing against the fit."""
    with unit_of_work(app.engine) as work:
        row = registry.load_training(work.connection)
        if row is not None and row.id == attempt.row_id:
            metrics = {**row.metrics, "n_attempts": attempt.number - 1}
            registry.save_training(work.connection, row.id, metrics, None)
