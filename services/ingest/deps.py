"""Dependencies of the use cases of ingest, made once per process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from services.ingest.lateness import SourceLateness
from services.ingest.series.catalog import WorkloadCatalog
from services.ingest.series.due import DueRules
from services.ingest.series.known_series import KnownSeries
from services.ingest.series.owners import SeriesOwners
from services.ingest.series.pod_memory import PodMemory
from services.ingest.series.rules import DEFAULT_RULES, RemoteRules
from services.ingest.series.source import Source
from services.kernel import telemetry
from services.kernel.clock import Clock, SystemClock
from services.kernel.jobs import Job, JobSender
from services.kernel.security.limits import Limiter
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger

_DAY_S = 86400.0


class BestEffortSender:
    """Sends jobs; a broker that is away is logged and counted, and the sweeps send again.

    Jobs leave after the rows are committed. Answering a push with an error then would tell the
    client that its samples are lost, which they are not.
    """

    def __init__(self, sender: JobSender) -> None:
        self._sender = sender

    def send(self, job: Job) -> None:
        """Send one job, if the broker answers."""
        try:
            self._sender.send(job)
        except OperationalError as error:
            telemetry.job_failures_total.labels(job.name, "not_sent").inc()
            get_logger("ingest").warning("job_not_sent", job=job.name, error=str(error))


@dataclass(slots=True)
class IngestDeps:
    """Dependencies of the use cases.

    Attributes:
        engine: Database.
        clock: Tells `now`.
        sender: Sends jobs after commit.
        settings: Settings.
        source: Where indicators with a query are pulled from; None: push only.
        catalog: Workloads parsed so far.
        known: Their series, as columns.
        announced: Per shard the newest origin that this process has seen.
        max_rows: Indicator rows that one resampling run writes; more follow in the next.
        remote_rules: Which indicator a series of a remote write is of.
        owners: Which series each indicator of remote writes is made of.
        pods: Pods whose counters this process has seen.
        lateness: How late the source's samples are, as this process has seen it.
        wall: Time of keys, also in a replay.
        limiter: Counts requests; None: nobody does.
        decoding: Held while a request is decoded: its objects take many times its size, so that one
            is at a time.
        token_file: File that senders on this machine find the push token in; empty: no such file.
    """

    engine: Engine
    clock: Clock
    sender: JobSender
    settings: Settings
    source: Source | None = None
    catalog: WorkloadCatalog = field(default_factory=WorkloadCatalog)
    known: KnownSeries = field(default_factory=KnownSeries)
    max_rows: int = 200_000
    announced: dict[int, datetime] = field(default_factory=dict)
    remote_rules: RemoteRules = DEFAULT_RULES
    owners: SeriesOwners = field(default_factory=SeriesOwners)
    pods: PodMemory = field(default_factory=PodMemory)
    lateness: SourceLateness = field(default_factory=SourceLateness)
    wall: Clock = field(default_factory=SystemClock)
    limiter: Limiter | None = None
    decoding: threading.Lock = field(default_factory=threading.Lock)
    token_file: str = ""

    @property
    def due_rules(self) -> DueRules:
        """When a step is due.

        A replay sends all samples of a step in one request and its clock stands still until they
        are through, so there is nobody to wait for.
        """
        grace_s = 0.0 if self.settings.clock == "replay" else self.settings.grace_s
        oldest_s = self.settings.retain_observations_days * _DAY_S
        late_s = 0.0 if self.source is None else self.settings.source_late_s
        return DueRules(grace_s, oldest_s, self.max_rows, late_s)

    def close(self) -> None:
        """Release connections."""
        if self.source is not None:
            self.source.close()
        self.engine.dispose()
