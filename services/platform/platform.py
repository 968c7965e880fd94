"""The services as processes on one machine: what compose and the chart run, without containers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine

from services.kernel.db.migrations import migrate
from services.kernel.db.session import check_reachable, make_engine
from services.kernel.errors import InvalidInput
from services.kernel.secret_files import SECRETS
from services.kernel.settings import Settings
from services.platform.child import ProcessSpec
from services.platform.embedded_servers import data_folder, start_servers
from services.platform.processes import Supervisor
from services.platform.push_token import TOKEN_FILE, kept_token

SERVERS = {
    "admin": "services.admin.main",
    "ingest": "services.ingest.main",
    "scaler": "services.scaler.main",
}
_PORTS = {
    "admin": "HARMONY_PORT",
    "ingest": "HARMONY_INGEST_PORT",
    "scaler": "HARMONY_SCALER_PORT",
}
_BACKGROUND = {"worker-fit": 5}
"""Niceness of the processes whose work takes minutes, and that no step waits for.

In a replay they give way to nobody: its steps follow each other within a second, and the model of
a fit that waited for them would come hours of simulated time later.
"""
WORKERS = {"worker-pipeline": "ingest,decide", "worker-forecast": "forecast", "worker-fit": "fit"}


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform.

    Attributes:
        settings: Settings with the URLs of the servers filled in.
        supervisor: Owner of the processes.
        folder: Logs and small files.
        token_file: File with the push token, where it was drawn; None: the settings had one.
    """

    settings: Settings
    supervisor: Supervisor
    folder: Path
    token_file: Path | None = None

    @property
    def api_url(self) -> str:
        """URL of the admin API and console, once they are served."""
        return self.supervisor.address("admin")

    @property
    def push_url(self) -> str:
        """URL of the push API, once it is served."""
        return self.supervisor.address("ingest")


def check_port_free(host: str, port: int, flag: str) -> None:
    """See that a server can listen there.

    Raises:
        InvalidInput: Something does already.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise InvalidInput(
                f"{flag}={port}: {host}:{port} is not free ({error.strerror}); choose another"
            ) from error


@contextmanager
def platform_servers(
    settings: Settings,
    name: str,
    prepare: Callable[[Engine], None] | None = None,
    schema: Callable[[Engine], object] = migrate,
) -> Iterator[Platform]:
    """Servers started and migrated, no service yet.

    Args:
        settings: Settings; empty URLs mean the embedded servers.
        name: Name of the data folder.
        prepare: Called with the database before it is migrated.
        schema: What migrates it.

    Raises:
        Unavailable: A server cannot be reached or started.
        InvalidInput: The port is taken.
    """
    folder = data_folder(settings, name)
    with Supervisor(folder) as supervisor:
        # looked at once what a killed run has left is gone, which may have had them
        check_port_free(settings.host, settings.port, "--port")
        check_port_free(settings.host, settings.ingest_port, "HARMONY_INGEST_PORT")
        urls = start_servers(supervisor, settings, folder)
        filled = settings.model_copy(
            update={"database_url": urls.database_url, "redis_url": urls.redis_url}
        )
        token_file = None
        if filled.push_token is None:
            token = SecretStr(kept_token(folder))
            filled = filled.model_copy(update={"push_token": token})
            token_file = folder / TOKEN_FILE
        engine = make_engine(filled.database_url)
        try:
            check_reachable(engine)
            if prepare is not None:
                prepare(engine)
            schema(engine)
            yield Platform(filled, supervisor, folder, token_file)
        finally:
            engine.dispose()


def process_env(settings: Settings) -> dict[str, str]:
    """The settings as environment variables for child processes.

    Defaults too: a child also has this process's environment, which may name another value. What
    a file gave is given by value: a child that finds both would refuse them.
    """
    shown = settings.model_dump(mode="json", exclude_none=True)
    for name, value in settings:
        if isinstance(value, SecretStr):
            shown[name] = value.get_secret_value()
    env = {f"HARMONY_{name.upper()}": str(value) for name, value in shown.items()}
    files = {f"HARMONY_{name.upper()}_FILE": "" for name in SECRETS}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**threads, "PYTHONUNBUFFERED": "1", **files, **env}


def service_processes(settings: Settings, token_file: Path | None = None) -> list[ProcessSpec]:
    """Workers, beat, the push API and the admin API (the operator needs an API server first).

    Args:
        settings: Settings.
        token_file: File that the push API reads its token from, and names to who has none.
    """
    env = process_env(settings)
    worker = [sys.executable, "-m", "services.worker"]
    background = {} if settings.clock == "replay" else _BACKGROUND
    specs = [
        ProcessSpec(
            name,
            worker,
            env | {"HARMONY_QUEUES": queues} | _metrics(settings, number),
            niceness=background.get(name, 0),
        )
        for number, (name, queues) in enumerate(WORKERS.items())
    ]
    specs.append(ProcessSpec("beat", [*worker, "beat"], env | _metrics(settings, len(WORKERS))))
    by_file = {"HARMONY_PUSH_TOKEN": "", "HARMONY_PUSH_TOKEN_FILE": str(token_file)}
    ingest = server_process("ingest", env | (by_file if token_file else {}))
    return [*specs, ingest, server_process("admin", env)]


def server_process(name: str, env: Mapping[str, str]) -> ProcessSpec:
    """A service that serves under its own name."""
    argv = [sys.executable, "-m", SERVERS[name]]
    return ProcessSpec(name, argv, env, server=name, port_by=_PORTS[name])


def _metrics(settings: Settings, number: int) -> dict[str, str]:
    """Workers and beat of one machine serve their metrics on neighbouring ports."""
    first = settings.worker_metrics_port
    return {"HARMONY_WORKER_METRICS_PORT": str(first + number)} if first else {}


def operator_process(settings: Settings, kubeconfig: Path | None) -> ProcessSpec:
    """The operator, for the cluster that `kubeconfig` (or the settings) names."""
    env = process_env(settings)
    if kubeconfig is not None:
        env["KUBECONFIG"] = str(kubeconfig)
    return ProcessSpec("operator", [sys.executable, "-m", "services.operator.main"], env)


def scaler_process(settings: Settings) -> ProcessSpec:
    """KEDA's external scaler."""
    return server_process("scaler", process_env(settings))
