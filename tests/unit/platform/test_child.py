"""A process is known by what it says, and started again where it was."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.platform.child import Child, ProcessSpec
from tests.unit.platform.eventually import eventually

SERVER = """
import os, socket, sys, time
given = sys.argv[2] if sys.argv[2:] else os.environ.get("PORT", "0")
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(given)))
listener.listen()
print(f"one listens on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
time.sleep(600)
"""


def ended(child: Child) -> Child:
    assert child.wait(60)
    return child


@pytest.fixture
def start(tmp_path: Path):
    started: list[Child] = []

    def start(code: str, **more: object) -> Child:
        spec = ProcessSpec("one", [sys.executable, "-c", code], **more)
        started.append(Child(spec, tmp_path / "one.log"))
        return started[-1]

    yield start
    for child in started:
        if child.is_alive():
            child.kill()


def test_its_end_is_told_with_its_last_words(start: Callable[..., Child]) -> None:
    child = ended(start("import sys; print('first'); sys.exit('no room')"))
    assert child.ending() == "ended with status 1: no room"
    assert not child.has_succeeded()
    killed = start("import time; time.sleep(600)")
    killed.send(signal.SIGKILL)
    assert ended(killed).ending() == "was killed by SIGKILL"
    assert ended(start("pass")).has_succeeded()


@pytest.mark.parametrize("port_by", ["PORT", "--port"])
def test_started_again_it_listens_where_it_did(start: Callable[..., Child], port_by: str) -> None:
    child = start(SERVER, server="one", port_by=port_by)
    eventually(child.is_ready, "its address")
    address = child.address()
    child.kill()
    child.start()
    eventually(child.is_ready, "its address after its second start")
    assert child.address() == address
    assert child.log.read_text().count("listens on") == 2, "the log has both lives"


def test_a_log_removed_by_hand_harms_nothing(start: Callable[..., Child]) -> None:
    child = start(SERVER, server="one")
    eventually(child.is_ready, "its address")
    address = child.address()
    child.log.unlink()
    assert not child.is_ready()
    assert child.last_line() == "no output"
    assert child.address() == address


def test_a_probe_is_asked_about_the_process_that_runs_now(start: Callable[..., Child]) -> None:
    seen: list[int] = []
    child = start("import time; time.sleep(600)", probe=lambda pid: bool(seen.append(pid)))
    assert not child.is_ready()
    first = child.pid
    child.kill()
    child.start()
    assert not child.is_ready()
    assert seen == [first, child.pid]
    assert first != child.pid


def test_a_log_does_not_grow_without_end(
    start: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.platform.child.MOST_LOG_BYTES", 1000)
    code = "import sys; print('x' * 2000, flush=True); sys.stdin"
    child = ended(start(code))
    child.bound_log()
    assert child.log.read_bytes() == b""
    assert (tmp_path / "one.log.1").read_text() == "x" * 2000 + "\n"
    child.start()
    ended(child)
    assert child.log.stat().st_size == 2001, "it writes on where the log begins now"
    child.bound_log()
    child.bound_log()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["one.log", "one.log.1"]
    assert child.last_line() == "no output"
