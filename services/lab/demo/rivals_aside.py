"""Starting the rivals in a process of their own, and waiting for what they got."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from services.kernel.errors import Unavailable
from services.lab.demo.rivals import JudgedRivals, SharedDay
from services.lab.demo.rivals_process import ANSWER, ASKED
from services.platform.child import Child, ProcessSpec
from services.platform.platform import Platform
from services.platform.stop_signals import stop_signals_deferred

_LOOK_S = 0.25
_NICENESS = 10
"""The platform's processes go first: what they decide is waited for, step by step."""


class RivalsAside(AbstractContextManager["RivalsAside"]):
    """`judge_rivals` in a process of its own; leaving the context ends it, done or not."""

    def __init__(self, day: SharedDay, platform: Platform) -> None:
        """Start it; its log is beside those of the platform's processes."""
        self._folder = platform.supervisor.scratch()
        (self._folder / ASKED).write_bytes(pickle.dumps(day))
        argv = [sys.executable, "-m", "services.lab.demo.rivals_process", str(self._folder)]
        spec = ProcessSpec("rivals", argv, {"OMP_NUM_THREADS": "1"}, niceness=_NICENESS)
        with stop_signals_deferred():
            self._child = Child(spec, platform.folder / "logs" / "rivals.log")

    def pids(self) -> dict[str, int]:
        """Its process id by its name, while it lives."""
        return {self._child.spec.name: self._child.pid} if self._child.is_alive() else {}

    def result(self, check: Callable[[], None]) -> JudgedRivals:
        """The rivals' scores, once they are there.

        Args:
            check: Called while they are waited for; raises when another process has ended.

        Raises:
            Unavailable: The process has ended without them.
        """
        while not self._child.wait(_LOOK_S):
            check()
        if not self._child.has_succeeded():
            raise Unavailable(f"process rivals {self._child.ending()} (log: {self._child.log})")
        answer = (self._folder / ANSWER).read_bytes()
        found: JudgedRivals = pickle.loads(answer)  # noqa: S301 - our own process has written it
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with stop_signals_deferred():
            if self._child.is_alive():
                self._child.kill()
