"""The Celery application: queues, reliability settings and the beat schedule from settings.

Which tasks a worker has is put together above the services, in `services.worker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import redis
from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError as BrokerError

from services.kernel import jobs, telemetry, tracing
from services.kernel.broker_transport import use_wary_transport
from services.kernel.jobs import Job
from services.kernel.queued_jobs import QueuedJobs, waits_once
from services.kernel.settings import Settings, get_settings

MIN_EXPIRES_S, EXPIRES_STEPS, DEFERRED_STEPS = 30, 3, 10
"""How long a shard's job may wait in its queue: so many steps, and no less than some seconds."""
DEFERRED = 9
"""Priority of a job that others go before; on Redis the lowest, 0 the highest."""
ANSWER_S = 10.0
"""A broker that answers nothing for so long is away: one whose machine is gone says so never."""
FIT_CHECKS = 24
"""How often per interval a scheduled fit asks whether it is due."""


def beat_schedule(settings: Settings) -> dict[str, dict[str, object]]:
    """Periodic jobs, each with its interval in seconds and its queue."""

    def every(name: str, seconds: float, **more: object) -> dict[str, object]:
        options = {"queue": Job(name).queue, "expires": max(10.0, 2 * seconds), **more}
        return {"task": name, "schedule": seconds, "options": options}

    def asked(name: str, interval_s: float) -> dict[str, object]:
        # Beat forgets across restarts when it sent what: ask often, the job knows what is due.
        entry = every(name, interval_s / FIT_CHECKS)
        return {**entry, "kwargs": {"is_scheduled": True}}

    periodic = [
        every(jobs.INGEST_SWEEP, settings.pull_interval_s),
        every(jobs.FORECAST_SWEEP, settings.sweep_interval_s),
        every(jobs.DECIDE_SWEEP, settings.sweep_interval_s),
        every(jobs.OPERATIONS_SWEEP, settings.sweep_interval_s),
        every(jobs.FORECAST_SCORE, settings.score_interval_s, priority=DEFERRED),
        asked(jobs.FORECAST_FIT, settings.fit_interval_s),
        asked(jobs.DECIDE_FIT, settings.fit_interval_s),
        every(jobs.RETENTION, settings.retention_interval_s),
    ]
    if settings.trust_interval_s > 0:
        periodic.append(asked(jobs.DECIDE_TRUST, settings.trust_interval_s))
    return {str(entry["task"]): entry for entry in periodic}


def make_celery(settings: Settings, task_modules: Sequence[str] = ()) -> Celery:
    """Build the application.

    Args:
        settings: The broker, and what the periodic jobs are sent by.
        task_modules: Modules whose tasks a worker can run; none for whoever only sends.

    A task is acknowledged after it has run (`acks_late`), and given back if its worker dies, so a
    killed worker costs latency, never a row.
    """
    use_wary_transport()
    app = Celery("harmony", broker=settings.redis_url, include=list(task_modules))
    app.conf.update(
        task_queues=[Queue(name) for name in jobs.QUEUES],  # type: ignore[no-untyped-call]  # kombu
        task_default_queue="ingest",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": 3600,
            "polling_interval": 0.01,
            "socket_connect_timeout": ANSWER_S,
            "socket_timeout": ANSWER_S,
        },
        timezone="UTC",
        enable_utc=True,
        beat_schedule=beat_schedule(settings),
        task_routes={f"{queue}.*": {"queue": queue} for queue in jobs.QUEUES},
        harmony_expires_s=max(MIN_EXPIRES_S, EXPIRES_STEPS * settings.step_s),
        harmony_deferred_s=max(MIN_EXPIRES_S, DEFERRED_STEPS * settings.step_s),
    )
    return app


class CelerySender:
    """Sends jobs through Celery."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, job: Job) -> None:
        """Send one job to its queue; it follows from the span that the caller is in.

        A shard's job that waits in its queue already is not sent again, and one that nobody has
        taken for some steps is dropped: a newer one has its work.

        Raises:
            kombu.exceptions.OperationalError: The broker is away, or takes nothing.
        """
        try:
            self._send(job)
        except redis.RedisError as error:  # also what Celery does not take for a broken connection
            raise BrokerError(str(error)) from error

    def _send(self, job: Job) -> None:
        options: dict[str, object] = {}
        if waits_once(job.name, job.payload):
            limit = "harmony_deferred_s" if job.is_deferred else "harmony_expires_s"
            options["expires"] = self._app.conf[limit]
            if not QueuedJobs(self._app).add(job.name, job.payload, self._app.conf[limit]):
                telemetry.jobs_not_sent_total.labels(job.name).inc()
                return
        try:
            self._app.send_task(
                job.name,
                kwargs=dict(job.payload),
                queue=job.queue,
                headers=tracing.to_headers(),
                priority=DEFERRED if job.is_deferred else 0,
                **options,
            )
        except Exception:  # whatever it is, it is raised again
            if options:  # it does not wait
                QueuedJobs(self._app).remove(job.name, job.payload)
            raise


@lru_cache(maxsize=1)
def get_celery() -> Celery:
    """The process's application, to send jobs with."""
    return make_celery(get_settings())
