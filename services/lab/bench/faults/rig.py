"""The rig: the platform as `harmony up` runs it, a cluster, proxies between, and those outside."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine

from services.kernel.clock import SystemClock
from services.kernel.db.migrations import migrate
from services.kernel.db.session import make_engine
from services.kernel.errors import Unavailable
from services.kernel.security.keys import ensure_first_key
from services.kernel.settings import Settings
from services.lab.bench.faults.disk import BenchDisk
from services.lab.bench.faults.fleet import NODES, FaultFleet, create, keys, make_fleet
from services.lab.bench.faults.laboratory_client import LaboratoryClient
from services.lab.bench.faults.old_code import CodeFolder, old_code
from services.lab.bench.faults.outside.caller import ApiCaller
from services.lab.bench.faults.outside.repository import count_decided, outside_engine
from services.lab.bench.faults.outside.row_log import RowWatcher
from services.lab.bench.faults.outside.scale_log import ScaleWatcher
from services.lab.bench.faults.outside.sender import OutsideSender
from services.lab.bench.faults.proxy import FaultProxy, Upstream
from services.lab.cluster.kubeconfig import DEFAULT_TOKEN, make_kubeconfig
from services.lab.cluster.start import start_cluster
from services.platform.child import Child
from services.platform.embedded_servers import default_home
from services.platform.healing import Healer
from services.platform.platform import (
    Platform,
    operator_process,
    platform_servers,
    service_processes,
)
from services.platform.stop_signals import ending_on_signals

TICK_S = 0.1
_START_TIMEOUT_S = 120.0
_TIMEOUT_S = 3.0
LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/harmony-operator"
_LEASE_SECONDS = {"lease_duration_s": 6, "lease_renew_deadline_s": 4.0, "lease_retry_s": 1.0}
Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class FaultRig:
    """A running platform under load, and the ways to harm it.

    Attributes:
        platform: The processes; their settings lead through the proxies.
        healer: Starts again what has ended, as `harmony up` does.
        proxies: By the name of the link.
        cluster: Client of the simulated cluster, past the proxy.
        laboratory: Its fault hook.
        broker: Client of the broker, past the proxy.
        engine: The database, past the proxy.
        disk: Where the data lie.
        old: The code that the processes were started by; None: all run this one.
    """

    platform: Platform
    disk: BenchDisk
    old: CodeFolder | None
    healer: Healer
    fleet: FaultFleet
    proxies: dict[str, FaultProxy]
    cluster: httpx.Client
    laboratory: LaboratoryClient
    broker: redis.Redis
    engine: Engine
    sender: OutsideSender
    caller: ApiCaller
    scales: ScaleWatcher
    rows: RowWatcher

    @property
    def database_url(self) -> str:
        """URL of the database, past the proxy."""
        return self.platform.settings.database_url

    def child(self, name: str) -> Child:
        """A process by its name."""
        return next(c for c in self.platform.supervisor.children() if c.spec.name == name)

    def tick(self) -> None:
        """Start again what has ended; to be called often."""
        self.healer.step()

    def lease_holder(self) -> str:
        """Who leads; empty where that cannot be told."""
        try:
            answer = self.cluster.get(LEASE_PATH)
        except httpx.TransportError:
            return ""
        if answer.status_code != 200:
            return ""
        return str(answer.json()["spec"].get("holderIdentity") or "")

    def wait(self, is_done: Callable[[], bool], patience_s: float) -> bool:
        """Keep the platform going until something is true; false: it did not become so."""
        deadline = time.monotonic() + patience_s
        while not is_done():
            if time.monotonic() > deadline:
                return False
            self.tick()
            time.sleep(TICK_S)
        return True


@dataclass(frozen=True, slots=True)
class RigOptions:
    """What a rig is to be.

    Attributes:
        n_workloads: Size of the fleet.
        has_old: It starts on the code of an earlier release.
        old: Which: a folder or a revision; None: the last one.
    """

    n_workloads: int
    has_old: bool = False
    old: str | None = None


def rig_settings(settings: Settings, seed: int, step_s: int) -> Settings:
    """The platform's settings: the embedded servers, short steps, two operators may be there."""
    return settings.model_copy(
        update={
            "database_url": "",
            "redis_url": "",
            "seed": seed,
            "port": 0,
            "ingest_port": 0,
            "step_s": step_s,
            "context_steps": 48,
            "n_paths": 100,
            "sweep_interval_s": float(step_s),
            "pull_interval_s": float(step_s),
            "grace_s": float(step_s),
            "retention_interval_s": 2.0 * step_s,
            "leader_election": "on",
            "lease_namespace": "default",
            "log_level": "WARNING",
            **_LEASE_SECONDS,
        }
    )


@contextmanager
def running_rig(
    settings: Settings, options: RigOptions, say: Say, logs: Path | None = None
) -> Iterator[FaultRig]:
    """A rig whose fleet has been decided for; all of it is gone afterwards.

    Args:
        settings: As `rig_settings` gives them.
        options: What is asked for.
        say: Called with each line about processes.
        logs: Folder that the processes' logs are left in; None: nowhere.

    Raises:
        Unavailable: Something does not start.
    """
    with ExitStack() as stack:
        stack.enter_context(ending_on_signals())
        folder = _scratch_folder(stack, settings)
        old = None
        if options.has_old:
            old = old_code(options.old, folder.with_name(f"{folder.name}-old"))
            stack.callback(
                shutil.rmtree, folder.with_name(f"{folder.name}-old"), ignore_errors=True
            )
            say(f"upgrade from: {old.name if old else 'the same code, for there is no other'}")
        disk = BenchDisk(stack, folder)
        say(f"disk: {disk.kind}")
        given = settings.model_copy(update={"home": folder})
        schema = (lambda _: None) if old is not None else migrate
        platform = stack.enter_context(platform_servers(given, "platform", schema=schema))
        if logs is not None:
            stack.callback(shutil.copytree, platform.folder / "logs", logs, dirs_exist_ok=True)
        rig = _start(stack, _Ground(platform, disk, old), make_fleet(options.n_workloads), say)
        names = keys(rig.fleet.members)
        if not rig.wait(lambda: _count_settled(rig, names) == len(names), _START_TIMEOUT_S):
            raise Unavailable("the fleet was not decided for in time; see the logs")
        yield rig


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all else stands on."""

    platform: Platform
    disk: BenchDisk
    old: CodeFolder | None

    def first_key(self) -> str:
        """The administrator's key; where there is old code, its schema is made too."""
        url = self.platform.settings.database_url
        if self.old is not None:
            return self.old.prepare(url)
        return ensure_first_key(make_engine(url), None, SystemClock().now()) or ""


def _start(stack: ExitStack, ground: _Ground, fleet: FaultFleet, say: Say) -> FaultRig:
    """Start what is between the servers and those outside, and these."""
    platform, old = ground.platform, ground.old
    supervisor, settings = platform.supervisor, platform.settings
    key = ground.first_key()
    options = ("--clock", "real", "--nodes", NODES, "--seed", str(settings.seed))
    cluster_url = start_cluster(supervisor, *options, "--watch-log", "50000", "--definitions")
    create(cluster_url, fleet)
    engine = outside_engine(settings.database_url)
    stack.callback(engine.dispose)
    broker = redis.Redis.from_url(
        settings.redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
    )
    stack.callback(broker.close)
    proxies = {
        name: stack.enter_context(FaultProxy(upstream))
        for name, upstream in _upstreams(settings, cluster_url).items()
    }
    through = _through(settings, proxies)
    kubeconfig = platform.folder / "kubeconfig"
    config = make_kubeconfig(f"http://127.0.0.1:{proxies['api_server'].port}", DEFAULT_TOKEN)
    kubeconfig.write_text(yaml.safe_dump(config))
    specs = service_processes(through, platform.token_file)
    specs.append(operator_process(through, kubeconfig))
    supervisor.start_all([old.runs(spec) for spec in specs] if old is not None else specs)
    assert settings.push_token is not None, "the platform draws one"
    token = settings.push_token.get_secret_value()
    laboratory = LaboratoryClient(cluster_url)
    stack.callback(laboratory.close)
    return FaultRig(
        platform=platform,
        disk=ground.disk,
        old=old,
        healer=Healer(supervisor, say),
        fleet=fleet,
        proxies=proxies,
        cluster=stack.enter_context(
            httpx.Client(base_url=cluster_url, timeout=_TIMEOUT_S, trust_env=False)
        ),
        laboratory=laboratory,
        broker=broker,
        engine=engine,
        sender=stack.enter_context(OutsideSender(platform.push_url, token, fleet)),
        caller=stack.enter_context(ApiCaller(platform.api_url, key)),
        scales=stack.enter_context(ScaleWatcher(cluster_url)),
        rows=stack.enter_context(RowWatcher(engine)),
    )


def _upstreams(settings: Settings, cluster_url: str) -> dict[str, Upstream]:
    """Where each link leads to."""
    sockets = settings.database_url.rpartition("host=")[2]
    return {
        "database": Upstream(path=f"{sockets}/.s.PGSQL.5432"),
        "broker": Upstream(port=urlsplit(settings.redis_url).port or 0),
        "api_server": Upstream(port=urlsplit(cluster_url).port or 0),
    }


def _through(settings: Settings, proxies: dict[str, FaultProxy]) -> Settings:
    """The settings with URLs that lead through the proxies."""
    database, broker = proxies["database"].port, proxies["broker"].port
    direct = urlsplit(settings.redis_url)
    login, at, _ = direct.netloc.rpartition("@")
    urls = {
        "database_url": f"postgresql://postgres@127.0.0.1:{database}/postgres",
        "redis_url": urlunsplit(direct._replace(netloc=f"{login}{at}127.0.0.1:{broker}")),
    }
    return settings.model_copy(update=urls)


def _scratch_folder(stack: ExitStack, settings: Settings) -> Path:
    """A folder that an embedded Postgres can use, also as root."""
    if settings.home is None and os.geteuid() != 0:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harmony-bench-")))
    folder = (settings.home or default_home()) / f"bench-faults-{os.getpid()}"
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _count_settled(rig: FaultRig, names: list[str]) -> int:
    with rig.engine.connect() as connection:
        return count_decided(connection, names)
