"""Brings the demo's platform up: database, cluster, services, fleet, history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

import httpx
import numpy as np
import redis
from sqlalchemy import Engine

from services.ingest.pull.history import backfill
from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.clock import ReplayClock
from services.kernel.db.session import make_engine
from services.kernel.domain.objective import READY
from services.kernel.errors import InvalidInput, Unavailable
from services.kernel.jobs import CALIBRATE_PRIOR, LEARN_HISTORY, Job
from services.kernel.security.keys import ensure_first_key
from services.kernel.settings import Settings
from services.lab.cluster.start import start_cluster
from services.lab.demo.cluster_client import ClusterClient
from services.lab.demo.manifests import fleet_manifests, nodes_argument
from services.lab.demo.measure import Reporter
from services.lab.demo.options import DemoOptions
from services.lab.demo.replay import CHANNELS, ReplayDeps
from services.lab.demo.repository import (
    Doorbell,
    drop_everything,
    forgo_durability,
    holds_other_data,
    mark_as_demo,
    n_responses,
    shards_of,
    workload_ids,
)
from services.operator.resource import definitions
from services.platform.platform import Platform, operator_process, service_processes
from services.simulator.fleet import Fleet, ScaledFleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet.meters import ServiceMeters

REGISTER_TIMEOUT_S = 60.0
LEARN_TIMEOUT_S = 30.0
"""A response that cannot be learned is not waited for longer."""


@dataclass(frozen=True, slots=True)
class DemoSession:
    """A running demo platform.

    Attributes:
        deps: What the replay talks to.
        platform: Processes and settings.
        admin_key: Key for API and console.
    """

    deps: ReplayDeps
    platform: Platform
    admin_key: str


def demo_settings(settings: Settings, options: DemoOptions, fleet: Fleet) -> Settings:
    """The platform's settings for a replay of `fleet`; a log level that was set stays."""
    is_level_set = "log_level" in settings.model_fields_set
    return settings.model_copy(
        update={
            "clock": "replay",
            "seed": options.seed,
            "step_s": fleet.step_s,
            "port": options.port,
            "ingest_port": 0,
            "fit_max_steps": max(200, fleet.n_history),
            "score_interval_s": 20.0,
            "operator_deletion_cost": True,  # the demo's own cluster
            "log_level": settings.log_level if is_level_set else "WARNING",
        }
    )


def empty_database(engine: Engine) -> None:
    """Drop what an earlier demo left.

    Raises:
        InvalidInput: The database holds workloads that no demo made.
    """
    if holds_other_data(engine):
        shown = engine.url.render_as_string(hide_password=True)
        raise InvalidInput(
            f"HARMONY_DATABASE_URL={shown}: holds a platform's workloads, which the demo would "
            "drop; give an empty database"
        )
    drop_everything(engine)


def empty_own_server(engine: Engine) -> None:
    """`empty_database` for a server that is the demo's alone."""
    forgo_durability(engine)
    empty_database(engine)


def start_session(
    platform: Platform,
    scaled: ScaledFleet,
    initial: Sequence[int],
    meters: ServiceMeters,
    past: Mapping[str, FloatArray] = MappingProxyType({}),
) -> DemoSession:
    """Start the cluster and all services, register the fleet, store its history.

    Args:
        platform: Processes and settings.
        scaled: The fleet.
        initial: (V,) replicas at the start of the replay.
        meters: The services' indicators.
        past: (W, T) series of the requests of the history by name. Where there are some, each
            workload says what its requests are to feel.

    Raises:
        Unavailable: Something does not start.
    """
    settings, supervisor, fleet = platform.settings, platform.supervisor, scaled.services
    engine = make_engine(settings.database_url)
    mark_as_demo(engine)
    clock = ReplayClock(redis.Redis.from_url(settings.redis_url))
    clock.set(fleet.step_at(fleet.n_history) - timedelta(seconds=fleet.step_s))
    admin_key = ensure_first_key(engine, settings.admin_key_file, clock.now())
    for process in service_processes(settings, platform.token_file):
        supervisor.start(process)  # they load their code while the fleet is made
    cluster = _start_cluster(platform, scaled.targets)
    for manifest in definitions.manifests():
        cluster.create(manifest)
    for manifest in fleet_manifests(scaled, meters.closed_loop, initial, has_objective=bool(past)):
        cluster.create(manifest)
    supervisor.start(operator_process(settings, platform.folder / "kubeconfig"))
    _wait(lambda: len(workload_ids(engine)) >= fleet.n_workloads, supervisor.check)
    ids = workload_ids(engine)
    order = [ids[workload.key] for workload in fleet.workloads]
    backfill(engine, order, Reporter(fleet, meters, past=past).history(), now=clock.now())
    # one worker forecasts, so that the first forecast is made once this is done
    CelerySender(make_celery(settings)).send(Job(CALIBRATE_PRIOR))
    if past:
        n_told = int(np.isfinite(past[READY]).any(axis=1).sum())
        _learn_history(engine, settings, n_told, supervisor.check)
    supervisor.wait_ready()
    bell = Doorbell(settings.database_url, CHANNELS)
    push = httpx.Client(base_url=platform.push_url, timeout=60.0, headers=_push_headers(settings))
    deps = ReplayDeps(engine, clock, cluster, bell, push, shards_of(engine), supervisor.check)
    return DemoSession(deps, platform, admin_key or "")


def end_session(session: DemoSession) -> None:
    """Close the driver's own connections; the supervisor ends the processes."""
    session.deps.cluster.close()
    session.deps.push.close()
    session.deps.bell.close()
    session.deps.engine.dispose()


def _start_cluster(platform: Platform, fleet: Fleet) -> ClusterClient:
    start = fleet.step_at(fleet.n_history).isoformat().replace("+00:00", "Z")
    options = ["--clock", "lab", "--nodes", nodes_argument(fleet.node_pools()), "--start", start]
    options += ["--seed", str(fleet.seed), "--kubeconfig-out", str(platform.folder / "kubeconfig")]
    return ClusterClient(start_cluster(platform.supervisor, *options))


def _push_headers(settings: Settings) -> dict[str, str]:
    if settings.push_token is None:
        return {}
    return {"Authorization": f"Bearer {settings.push_token.get_secret_value()}"}


def _learn_history(
    engine: Engine, settings: Settings, n_told: int, check: Callable[[], None]
) -> None:
    """Let responses be learned of what requests felt in the history, and wait for it.

    Nobody would wait in a fleet. Here the first decisions would depend on the machine.
    """
    sender = CelerySender(make_celery(settings))
    for shard in shards_of(engine):
        sender.send(Job(LEARN_HISTORY, {"shard": shard}))
    deadline = time.monotonic() + LEARN_TIMEOUT_S
    while n_responses(engine) < n_told and time.monotonic() < deadline:
        check()
        time.sleep(0.1)


def _wait(is_done: Callable[[], bool], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + REGISTER_TIMEOUT_S
    while not is_done():
        check()
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the operator did not register the fleet within {REGISTER_TIMEOUT_S:.0f} s; "
                "see its log"
            )
        time.sleep(0.1)
