"""An upgrade in mid-flight: the schema changes under the old code, then both write side by side."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from services.lab.bench.faults.kinds import PROCESSES
from services.lab.bench.faults.old_code import NEW_CODE
from services.lab.bench.faults.rig import FaultRig
from services.platform.child import Child

_DOUBLED = ("worker-pipeline", "worker-forecast", "operator")
"""What a rolling update starts anew before it ends the old one; beat is there once."""
_SIDE_BY_SIDE_S = 6.0
_MIGRATE = """
import sys
from services.kernel.db.migrations import migrate
from services.kernel.db.session import make_engine
migrate(make_engine(sys.argv[1]))
"""


class Upgrade:
    """The migrations run, new processes start beside the old ones, then each old one is replaced.

    All of it goes on to its end, however long that takes.
    """

    is_threaded = False

    def __init__(self) -> None:
        self._steps: Iterator[bool] | None = None
        self._beside: list[Child] = []
        self._n_replaced = 0

    def begin(self, rig: FaultRig) -> bool:
        """Begin with the migrations."""
        self._steps = self._all_steps(rig)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Do what can be done now; true once all is new."""
        return self._steps is not None and next(self._steps, True)

    def end(self, rig: FaultRig) -> bool:
        """Go on until all is new."""
        return self.go_on(rig)

    def has_bitten(self, rig: FaultRig) -> bool:
        """All have been replaced."""
        return self._n_replaced == len(PROCESSES)

    def _all_steps(self, rig: FaultRig) -> Iterator[bool]:
        for step in (self._migrate, self._start_beside, self._replace_all):
            for _ in step(rig):
                yield False
        for child in self._beside:
            child.kill()
        rig.old = None

    def _migrate(self, rig: FaultRig) -> Iterator[None]:
        """Run the migrations, again where they fail."""
        argv = [sys.executable, "-c", _MIGRATE, rig.database_url]
        while True:
            with subprocess.Popen(argv, cwd=NEW_CODE.folder) as running:
                while running.poll() is None:
                    yield
            if running.returncode == 0:
                return

    def _start_beside(self, rig: FaultRig) -> Iterator[None]:
        for name in _DOUBLED:
            spec = NEW_CODE.runs(replace(rig.child(name).spec, name=f"{name}-new"))
            log = rig.platform.folder / "logs" / f"{spec.name}.log"
            self._beside.append(Child(spec, log))
        until_s = time.monotonic() + _SIDE_BY_SIDE_S
        while time.monotonic() < until_s:
            yield

    def _replace_all(self, rig: FaultRig) -> Iterator[None]:
        for name in PROCESSES:
            child = rig.child(name)
            pid = child.pid
            child.spec = NEW_CODE.runs(child.spec)
            child.send(signal.SIGTERM)
            while (new := rig.child(name)).pid == pid or not new.is_alive():
                yield
            self._n_replaced += 1
