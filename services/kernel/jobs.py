"""Names of the jobs and how they are sent: ids only, after commit.

A job's payload carries a shard number and a time; the rows are in Postgres. Unique keys make a
second run of any job harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

QUEUES = ("ingest", "forecast", "decide", "fit")

INGEST_PULL = "ingest.pull_shard"
INGEST_RESAMPLE = "ingest.resample_shard"
INGEST_SWEEP = "ingest.sweep"
FORECAST_SHARD = "forecast.forecast_shard"
FORECAST_SCORE = "forecast.score"
CALIBRATE_PRIOR = "forecast.calibrate_prior"
FORECAST_SWEEP = "forecast.sweep"
FORECAST_FIT = "fit.fit_forecaster"
DECIDE_SHARD = "decide.decide_shard"
DECIDE_SWEEP = "decide.sweep"
DECIDE_FIT = "fit.fit_posteriors"
LEARN_HISTORY = "fit.learn_history"
DECIDE_TRUST = "fit.judge_models"
RETENTION = "ingest.drop_expired"
MOVE_INDICATORS = "ingest.move_indicators"
BACKTEST = "fit.run_backtest"
ADVISE = "fit.advise"
TRAIN_MODEL = "fit.train_model"
REPLAY_DECISION = "decide.replay_decision"
OPERATIONS_SWEEP = "decide.sweep_operations"

OPERATION_JOBS = {
    "backtest": BACKTEST,
    "advise": ADVISE,
    "train_model": TRAIN_MODEL,
    "replay_decision": REPLAY_DECISION,
}
"""The job that carries out an operation, by its kind."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job to send.

    Attributes:
        name: One of the names above; the part before the dot is its queue.
        payload: JSON-able keyword arguments of the task.
        is_deferred: It is taken from its queue when nothing else waits.
    """

    name: str
    payload: Mapping[str, object] = field(default_factory=dict)
    is_deferred: bool = False

    @property
    def queue(self) -> str:
        """Queue that the job goes to."""
        return self.name.partition(".")[0]


class JobSender(Protocol):
    """Sends jobs; Celery in production, a list in tests."""

    def send(self, job: Job) -> None:
        """Send one job."""
        ...


class RecordingSender:
    """Keeps the jobs it is given, for tests."""

    def __init__(self) -> None:
        self.sent: list[Job] = []

    def send(self, job: Job) -> None:
        """Keep the job."""
        self.sent.append(job)


def shard_job(name: str, shard: int, at: datetime, *, is_rest: bool = False) -> Job:
    """A job for one shard at one time.

    Args:
        name: Name of the job.
        shard: Shard number.
        at: Origin (forecast, decide) or now (ingest), aware.
        is_rest: For the workloads that waited while urgent ones were done.
    """
    payload: dict[str, object] = {"shard": shard, "at": at.astimezone(UTC).isoformat()}
    return Job(name, payload | ({"is_rest": True} if is_rest else {}), is_deferred=is_rest)
