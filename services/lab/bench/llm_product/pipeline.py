"""The platform's jobs in one process: each is carried out as a worker would, in turn."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine

from services.decision.beliefs import due
from services.decision.decide import service as deciding
from services.decision.trust.service import judge_shard
from services.decision.wiring import DecisionDeps
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service as forecasting
from services.forecasting.score.service import score_forecasts
from services.ingest import service as ingest
from services.ingest.deps import IngestDeps
from services.ingest.push.service import PushResult, push
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.db.session import make_engine
from services.kernel.jobs import Job
from services.kernel.settings import Settings


@dataclass(slots=True)
class JobLine:
    """Jobs that were sent and wait to be carried out, the oldest first."""

    waiting: deque[Job] = field(default_factory=deque)

    def send(self, job: Job) -> None:
        """Put it in the line."""
        self.waiting.append(job)


@dataclass(slots=True)
class Spent:
    """Seconds of CPU of this process, and runs, by the name of the job; `push` among them."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, name: str, seconds: float) -> None:
        """Count a run."""
        self.seconds[name] += seconds
        self.runs[name] += 1


class Pipeline:
    """Ingest, forecasting and decision on one database, by a clock that the caller moves.

    Posteriors are refitted when a decision asks for it, models are scored and judged when they are
    due. Forecasting models are fitted by who has a history to fit them on.

    Attributes:
        clock: The platform's time.
        engine: Its database.
        spent: What the jobs took.
    """

    def __init__(self, settings: Settings, clock: FixedClock) -> None:
        """Wire the services.

        Args:
            settings: Settings of all of them.
            clock: The time.
        """
        self.clock = clock
        self.engine: Engine = make_engine(settings.database_url)
        self.spent = Spent()
        self._line = JobLine()
        self._settings = settings
        self._ingest = IngestDeps(self.engine, clock, self._line, settings)
        self._forecasting = make_forecasting(settings, self._line, clock)
        self._decision = DecisionDeps(self.engine, clock, settings, sender=self._line)
        self._judged_at = clock.now()
        self._tasks: dict[str, Callable[[Job], object]] = {
            jobs.INGEST_RESAMPLE: lambda job: ingest.resample_shard(self._ingest, *_place(job)),
            jobs.FORECAST_SHARD: lambda job: forecasting.forecast_shard(
                self._forecasting, *_place(job)
            ),
            jobs.FORECAST_SCORE: lambda _: score_forecasts(self._forecasting),
            jobs.DECIDE_SHARD: lambda job: deciding.decide_shard(self._decision, *_place(job)),
            jobs.DECIDE_FIT: lambda _: due.fit_posteriors(self._decision, is_scheduled=False),
            jobs.DECIDE_TRUST: lambda _: judge_shard(self._decision, 0, is_scheduled=True),
        }

    def push(self, body: bytes) -> PushResult:
        """Take a push request as the API does behind its door, and do all that follows from it."""
        start = time.process_time()
        result = push(self._ingest, body)
        self.spent.add("push", time.process_time() - start)
        self._send_due()
        while self._line.waiting:
            self._carry_out(self._line.waiting.popleft())
        return result

    def _send_due(self) -> None:
        """What the beat sends: the judgement of models."""
        interval_s = self._settings.trust_interval_s
        now = self.clock.now()
        if interval_s > 0 and now - self._judged_at >= timedelta(seconds=interval_s):
            self._judged_at = now
            self._line.send(Job(jobs.DECIDE_TRUST))

    def _carry_out(self, job: Job) -> None:
        start = time.process_time()
        self._tasks[job.name](job)
        self.spent.add(job.name, time.process_time() - start)


def _place(job: Job) -> tuple[int, datetime]:
    """Shard and time of a shard's job."""
    shard = job.payload["shard"]
    assert isinstance(shard, int)
    return shard, datetime.fromisoformat(str(job.payload["at"]))
