"""A server of a test's own, which may be harmed, and is looked after as under `harmony up`."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.kernel.db.migrations import migrate
from services.lab.bench.faults.disk import BenchDisk
from services.lab.bench.faults.outside.repository import outside_engine
from services.platform.child import Child
from services.platform.embedded_postgres import start_postgres
from services.platform.embedded_servers import default_home
from services.platform.healing import Healer
from services.platform.processes import Supervisor

PATIENCE_S = 120.0


@dataclass
class ServerRig:
    """What the acts use of a rig, with a real server."""

    supervisor: Supervisor
    healer: Healer
    engine: Engine
    disk: BenchDisk
    lines: list[str]

    def child(self, name: str) -> Child:
        return next(c for c in self.supervisor.children() if c.spec.name == name)

    def until(self, is_done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < deadline, self.lines
            self.healer.step()
            time.sleep(0.05)  # another process's work cannot be awaited otherwise


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerRig]:
    is_root = os.geteuid() == 0
    folder = default_home() / f"test-{uuid.uuid4().hex[:8]}" if is_root else tmp_path / "home"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = BenchDisk(stack, folder)
        supervisor = stack.enter_context(Supervisor(folder))
        engine = outside_engine(start_postgres(supervisor, folder))
        stack.callback(engine.dispose)
        migrate(engine)
        lines: list[str] = []
        yield ServerRig(supervisor, Healer(supervisor, lines.append), engine, disk, lines)
