"""The embedded Redis-protocol server is this process's own, and back where it was after an end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from services.platform import embedded_valkey as module
from services.platform.claim import SCRATCH_PREFIX
from services.platform.embedded_valkey import embedded_valkey, start_valkey
from services.platform.healing import Healer
from services.platform.processes import Supervisor
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration


def told(url: str, what: str) -> object:
    client = redis.Redis.from_url(url)
    found = client.info("server")[what]
    client.close()
    return found


def test_a_port_that_another_took_meanwhile_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is free when it is chosen, and the server binds it a moment later."""
    find = module._find_free_port
    with embedded_valkey(tmp_path / "a") as first, monkeypatch.context() as patch:
        ports = iter([urlsplit(first).port, find()])
        patch.setattr(module, "_find_free_port", lambda: next(ports))
        with embedded_valkey(tmp_path / "b") as second:
            assert second != first
            assert told(first, "run_id") != told(second, "run_id")
        assert told(first, "run_id")


def test_it_takes_orders_from_who_knows_its_password_alone(tmp_path: Path) -> None:
    """Its port is open to every user of the machine; arguments and logs may be read by them too."""
    with Supervisor(tmp_path) as supervisor:
        url = start_valkey(supervisor)
        found = urlsplit(url)
        password = found.password
        assert password is not None
        assert len(password) >= 40
        assert told(url, "run_id")
        for wrong in (None, "guessed"):
            stranger = redis.Redis("127.0.0.1", found.port or 0, password=wrong)
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
            stranger.close()
        (pid,) = supervisor.pids()
        argv = psutil.Process(pid).cmdline()
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [word for word in argv if password in word]
        assert not [path for path in kept if password in path.read_text(errors="replace")]


def test_its_password_is_in_a_file_of_its_owner_and_gone_after_it(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        folder = supervisor.scratch()
        url = start_valkey(supervisor)
        files = [
            file
            for file in folder.parent.glob(f"{SCRATCH_PREFIX}*/valkey.conf")
            if file.read_text() == f"requirepass {urlsplit(url).password}\n"
        ]
        (file,) = files
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not file.exists()


def test_each_server_has_a_password_of_its_own(tmp_path: Path) -> None:
    with embedded_valkey(tmp_path / "a") as first, embedded_valkey(tmp_path / "b") as second:
        assert urlsplit(first).password != urlsplit(second).password


def test_a_killed_server_is_seen_and_back_at_its_address(tmp_path: Path) -> None:
    lines: list[str] = []
    with Supervisor(tmp_path) as supervisor:
        url = start_valkey(supervisor)
        pid = int(str(told(url, "process_id")))
        assert supervisor.pids() == [pid], "it is this process's child"
        healer = Healer(supervisor, lines.append)
        os.kill(pid, signal.SIGKILL)

        def is_back() -> bool:
            healer.step()
            return bool(lines) and healer.is_whole()

        eventually(is_back, "its return")
        assert told(url, "process_id") != pid
        assert "valkey was killed by SIGKILL" in lines[0]
        assert "it is empty" in lines[1]
        (last,) = supervisor.pids()
    assert not psutil.pid_exists(last)
