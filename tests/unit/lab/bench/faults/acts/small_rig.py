"""A rig of sleeping processes that are looked after as under `harmony up`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from services.platform.child import Child, ProcessSpec
from services.platform.healing import Healer
from services.platform.platform import Platform
from services.platform.processes import Supervisor

PATIENCE_S = 60.0
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@dataclass
class SmallRig:
    """What the acts use of a rig."""

    platform: Any
    healer: Healer
    holder: str = ""
    old: object = "the code of before"
    database_url: str = ""
    strangers: frozenset[int] = frozenset()

    def child(self, name: str) -> Child:
        return next(c for c in self.platform.supervisor.children() if c.spec.name == name)

    def pids(self) -> set[int]:
        """Processes that run since it began; other tests of this process may have some too."""
        running = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
        return {process.pid for process in running} - self.strangers

    def lease_holder(self) -> str:
        return self.holder

    def until(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < deadline
            self.healer.step()
            time.sleep(0.02)  # another process's work cannot be awaited otherwise


@contextmanager
def running_small_rig(folder: Path, *names: str) -> Iterator[Any]:
    """Processes of these names, each with the variables that tell a service its servers."""
    urls = {
        "HARMONY_DATABASE_URL": "postgresql://postgres@127.0.0.1:5432/postgres",
        "HARMONY_REDIS_URL": "redis://127.0.0.1:6379/0",
    }
    strangers = frozenset(process.pid for process in psutil.Process().children())
    with Supervisor(folder) as supervisor:
        for name in names:
            supervisor.start(ProcessSpec(name, SLEEP, urls))
        platform = Platform.__new__(Platform)
        object.__setattr__(platform, "supervisor", supervisor)
        object.__setattr__(platform, "folder", folder)
        yield SmallRig(platform, Healer(supervisor, lambda _: None), strangers=strangers)
