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
