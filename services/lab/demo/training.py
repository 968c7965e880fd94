"""The demo's training: one job on the `fit` queue, as in production; the demo only waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.jobs import FORECAST_FIT, Job
from services.kernel.settings import Settings
from services.lab.demo.repository import newest_models

_GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of the training.

    Attributes:
        status: `promoted`, `shadow`, `failed`, or `late` when it did not end in time.
        version: Version of the model; empty when there is none.
        reason: Why it has that status.
        wall_s: How long it took.
    """

    status: str
    version: str
    reason: str
    wall_s: float


def start_training(settings: Settings) -> None:
    """Send the training job."""
    CelerySender(make_celery(settings)).send(Job(FORECAST_FIT))


def wait_for_training(
    engine: Engine, budget_s: float, check: Callable[[], None], tick: Callable[[], None]
) -> TrainingResult:
    """Wait until the job has registered a model.

    Args:
        engine: Database.
        budget_s: What the fit was given.
        check: Raises when a process has ended.
        tick: Called a few times a second.
    """
    started = time.monotonic()
    while True:
        elapsed_s = time.monotonic() - started
        found = [model for model in newest_models(engine) if model["status"] != "training"]
        if found:
            newest = found[0]
            return TrainingResult(newest["status"], newest["version"], newest["reason"], elapsed_s)
        if elapsed_s > budget_s + _GRACE_S:
            reason = f"no model after {elapsed_s:.0f} s; the best-simple forecaster serves"
            return TrainingResult("late", "", reason, elapsed_s)
        check()
        tick()
        time.sleep(0.25)
