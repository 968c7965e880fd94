"""What ends is started again and told, whatever ended it; real processes, a clock by hand."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from services.platform.child import Child, ProcessSpec
from services.platform.embedded_postgres import start_postgres
from services.platform.healing import Healer
from services.platform.processes import Supervisor
from services.platform.restarts import N_SOON, WINDOW_S
from tests.unit.platform.eventually import eventually

UP = "print('one listens on http://127.0.0.1:4711', flush=True)"
LASTING = [sys.executable, "-c", f"import time; {UP}; time.sleep(600)"]
ENDING = [sys.executable, "-c", "import sys; sys.exit('[no] room')"]


class Watched:
    """A supervisor whose healer goes by a clock that the test moves."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.lines: list[str] = []
        self.now_s = 1000.0
        self.healer = Healer(supervisor, self.lines.append, lambda: self.now_s)

    def child(self, name: str) -> Child:
        (found,) = [one for one in self.supervisor.children() if one.spec.name == name]
        return found

    def see_end(self, name: str) -> None:
        """Step until the end has been told."""
        n_told = len(self.lines)
        eventually(lambda: not self.child(name).is_alive(), f"the end of {name}")
        self.healer.step()
        assert len(self.lines) == n_told + 1
        assert self.lines[-1].startswith(f"{name} ")

    def see_return(self, name: str) -> None:
        def told() -> bool:
            self.healer.step()
            return self.lines[-1].startswith(f"{name} is back")

        eventually(told, f"the return of {name}")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Supervisor(tmp_path) as supervisor:
        yield Watched(supervisor)


@pytest.mark.parametrize("word", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_killed_process_is_back_with_one_line_each(watched: Watched, word: int) -> None:
    note = "it is empty"
    spec = ProcessSpec("one", LASTING, server="one", restart_note=note)
    watched.supervisor.start_all([spec, ProcessSpec("other", LASTING)])
    before, other = watched.child("one").pid, watched.child("other").pid
    os.kill(before, word)
    watched.see_end("one")
    assert not watched.healer.is_whole()
    watched.healer.step()
    assert not watched.child("one").is_alive(), "it waits first"
    watched.now_s += 0.5
    watched.see_return("one")
    killed, back = watched.lines
    assert f"was killed by {signal.Signals(word).name}; it starts again in 0.5 s" in killed
    assert back == "one is back after 0.5 s; it is empty"
    assert watched.child("one").pid != before
    assert watched.child("other").pid == other
    assert watched.healer.is_whole()
    watched.supervisor.check()


def test_what_ends_at_once_is_told_every_time_and_tried_for_ever(watched: Watched) -> None:
    watched.supervisor.start(ProcessSpec("one", ENDING))
    for _ in range(N_SOON + 3):
        watched.see_end("one")
        watched.now_s += 5.0
        watched.healer.step()
    assert all("ended with status 1: [no] room" in line for line in watched.lines)
    assert "it starts again in 0.5 s" in watched.lines[0]
    assert f"end {N_SOON} within {WINDOW_S:g} s: it is tried every 5 s" in watched.lines[N_SOON - 1]
    assert not watched.healer.is_whole()


def test_one_that_never_gets_ready_is_ended_and_tried_again(watched: Watched) -> None:
    watched.supervisor.start(ProcessSpec("one", LASTING, server="another", start_timeout_s=60.0))
    watched.child("one").kill()
    watched.see_end("one")
    watched.now_s += 1.0
    watched.healer.step()
    first = watched.child("one").pid
    watched.now_s += 61.0
    watched.healer.step()
    assert "one was not ready within 60 s" in watched.lines[-1]
    assert not psutil.pid_exists(first)
    watched.now_s += 5.0
    watched.healer.step()
    assert watched.child("one").is_alive()


def test_services_wait_for_their_servers(watched: Watched) -> None:
    server = ProcessSpec("db", LASTING, server="one", is_server=True)
    watched.supervisor.start_all([server, ProcessSpec("service", LASTING)])
    for name in ("service", "db"):
        watched.child(name).kill()
    watched.healer.step()
    watched.now_s += 0.6
    watched.healer.step()
    assert not watched.child("service").is_alive()
    watched.see_return("db")
    watched.healer.step()
    assert watched.child("service").is_alive()
    assert not watched.healer.is_whole(), "it has to live for a moment first"
    watched.now_s += 2.0
    watched.see_return("service")
    assert watched.healer.is_whole()


def test_a_start_that_the_system_refuses_is_told_and_tried_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.supervisor.start_all([ProcessSpec("one", LASTING)])

    def refuse(_self: Child) -> None:
        raise OSError(12, "Cannot allocate memory")

    watched.child("one").kill()
    watched.see_end("one")
    with monkeypatch.context() as patch:
        patch.setattr(Child, "start", refuse)
        watched.now_s += 1.0
        watched.healer.step()
    assert "one could not be started" in watched.lines[-1]
    assert "Cannot allocate memory" in watched.lines[-1]
    watched.now_s += 5.0
    watched.healer.step()
    assert watched.child("one").is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="groups of processes as Linux has them")
def test_what_a_killed_process_has_started_ends_before_its_next_start(
    watched: Watched, tmp_path: Path
) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    file = tmp_path / "grandchild"
    code = (
        "import pathlib, subprocess, time; "
        f"child = subprocess.Popen({sleep!r}); "
        f"pathlib.Path({str(file)!r}).write_text(str(child.pid)); {UP}; time.sleep(600)"
    )
    spec = ProcessSpec("one", [sys.executable, "-c", code], server="one")
    watched.supervisor.start_all([spec])
    grandchild = psutil.Process(int(file.read_text()))
    os.kill(watched.child("one").pid, signal.SIGKILL)
    watched.see_end("one")
    gone, _ = psutil.wait_procs([grandchild], timeout=30)
    assert gone == [grandchild] or grandchild.status() == psutil.STATUS_ZOMBIE


def test_what_lives_and_never_works_again_is_killed_after_a_while(watched: Watched) -> None:
    stuck: set[int] = set()
    watched.supervisor.start(ProcessSpec("one", LASTING, is_stuck=lambda pid: pid in stuck))
    first = watched.child("one").pid
    watched.healer.step()
    stuck.add(first)
    for _ in range(4):  # and well again before it is killed
        watched.now_s += 2.5
        watched.healer.step()
    stuck.clear()
    watched.now_s += 2.5
    watched.healer.step()
    stuck.add(first)
    watched.now_s += 2.5
    watched.healer.step()
    assert watched.child("one").is_alive()
    assert watched.lines == []
    watched.now_s += 10.5
    watched.healer.step()
    assert watched.lines[-1].startswith("one was stuck for 10 s; it starts again in 0.5 s")
    watched.now_s += 1.0
    watched.healer.step()
    assert watched.child("one").pid != first


def test_logs_are_kept_short_while_a_platform_runs(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.platform.child.MOST_LOG_BYTES", 10)
    watched.supervisor.start_all([ProcessSpec("one", LASTING, server="one")])
    log = watched.child("one").log
    watched.now_s += 10.0
    watched.healer.step()
    assert log.read_bytes() == b""
    assert watched.child("one").address() == "http://127.0.0.1:4711"


def test_a_database_that_recovers_for_minutes_is_left_to_it(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended meanwhile it would begin anew, and never come back."""
    noted: list[ProcessSpec] = []
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18")
    with monkeypatch.context() as patched:
        patched.setattr(watched.supervisor, "start_all", noted.extend)
        start_postgres(watched.supervisor, tmp_path)
    (spec,) = noted
    recovering = {"probe": lambda _pid: False, "is_stuck": None, "options": {}}
    watched.supervisor.start(replace(spec, argv=LASTING, **recovering))
    watched.child("postgres").kill()
    watched.see_end("postgres")
    watched.now_s += 1.0
    watched.healer.step()
    pid = watched.child("postgres").pid
    for _ in range(10):
        watched.now_s += 60.0
        watched.healer.step()
    assert watched.child("postgres").pid == pid
    assert watched.child("postgres").is_alive()
