"""Running a worker, or beat, until told to stop."""

from __future__ import annotations

import gc
import socket
import tempfile
from pathlib import Path

from celery import Celery

from services.exporter.api import workload_metrics
from services.exporter.service import WorkloadPages
from services.kernel.celery_app import make_celery
from services.kernel.clock import make_clock
from services.kernel.db.session import make_engine
from services.kernel.http.metrics_server import serve_wsgi
from services.kernel.listening import listen, report_address
from services.kernel.settings import Settings
from services.kernel.tracing_otel import configure_tracing
from services.worker.beat import WaryScheduler
from services.worker.tasks import queue_names, task_modules


def worker_app(settings: Settings) -> Celery:
    """The application of a worker for `settings.queues`.

    Raises:
        ConfigurationError: An unknown queue.
    """
    return make_celery(settings, task_modules(settings.queues))


def run_worker(settings: Settings, pool: str = "solo", concurrency: int = 1) -> None:
    """Run the tasks of `settings.queues` until told to stop.

    Args:
        settings: Settings; a metrics port is served where one is set.
        pool: Celery's pool: solo (one task at a time) or prefork.
        concurrency: Processes of the prefork pool.

    Raises:
        ConfigurationError: An unknown queue, or the metrics port cannot be had.
    """
    # of a name with a space around it Celery would make a queue that nobody sends to
    queues = ",".join(queue_names(settings.queues))
    if settings.worker_metrics_port is not None:
        # the solo pool runs tasks in this process: their metrics are here to be scraped
        server = serve_wsgi(_listen_for_metrics(settings.host, settings.worker_metrics_port))
        report_address("worker metrics", str(server.server_address[0]), server.server_port)
    configure_tracing(settings, f"worker-{queues.replace(',', '-')}")
    app = worker_app(settings)
    app.set_default()
    app.loader.import_default_modules()
    collect_rarely()
    app.worker_main(
        [
            "worker",
            f"--queues={queues}",
            f"--pool={pool}",
            f"--concurrency={concurrency}",
            f"--hostname={queues.replace(',', '-')}@%h",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _listen_for_metrics(host: str, port: int) -> socket.socket:
    return listen(host, port, "HARMONY_WORKER_METRICS_PORT")


def collect_rarely() -> None:
    """Look for garbage in circles less often: a shard's run makes a million values, hardly any.

    At the interpreter's own thresholds a sixth of a cycle's CPU time went there. What is imported
    stays, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def run_beat(settings: Settings) -> None:
    """Send the periodic jobs until told to stop: sweeps, pulls, refits and clean-ups.

    It is there once, so it also serves what is known of each workload, where a metrics port is set.

    Raises:
        ConfigurationError: The metrics port cannot be had.
    """
    if settings.worker_metrics_port is not None:
        clock = make_clock(settings.clock, settings.redis_url)
        is_judged = settings.trust_interval_s > 0
        pages = WorkloadPages(make_engine(settings.database_url, n_kept=1), clock, is_judged)
        listener = _listen_for_metrics(settings.host, settings.worker_metrics_port)
        server = serve_wsgi(listener, workload_metrics(pages))
        report_address("beat metrics", str(server.server_address[0]), server.server_port)
    with tempfile.TemporaryDirectory() as folder:
        schedule = str(Path(folder) / "schedule")
        app = make_celery(settings)
        app.Beat(loglevel=settings.log_level, schedule=schedule, scheduler=WaryScheduler).run()
