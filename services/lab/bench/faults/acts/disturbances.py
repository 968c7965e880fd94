"""Faults around processes: signals at all, one too many, a wrong address, no room to log."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import psutil

from services.lab.bench.faults.kinds import PROCESSES
from services.lab.bench.faults.rig import FaultRig
from services.platform.child import Child

_STORM_EVERY_S = 1.0
_NOWHERE = "server.invalid"
_VARIABLES = {"database": "HARMONY_DATABASE_URL", "broker": "HARMONY_REDIS_URL"}


class Storm:
    """Every process is asked to end, again and again."""

    is_threaded = False

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._next_s = 0.0

    def begin(self, rig: FaultRig) -> bool:
        """Ask for the first time."""
        self._before = {name: rig.child(name).pid for name in PROCESSES}
        return self.go_on(rig)

    def go_on(self, rig: FaultRig) -> bool:
        """Ask once a second."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _STORM_EVERY_S
            for name in PROCESSES:
                rig.child(name).send(signal.SIGTERM)
        return True

    def end(self, rig: FaultRig) -> bool:
        """They are started again by what looks after them."""
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """All are others than before."""
        now = {name: rig.child(name) for name in PROCESSES}
        return all(
            now[name].is_alive() and now[name].pid != pid for name, pid in self._before.items()
        )


class RunTwice:
    """A process that is to be there once runs twice."""

    is_threaded = False

    def __init__(self, name: str) -> None:
        """Run the process of this name once more."""
        self._name = name
        self._second: Child | None = None
        self._was_seen = False

    def begin(self, rig: FaultRig) -> bool:
        """Start it."""
        name = f"{self._name}-second"
        spec = replace(rig.child(self._name).spec, name=name)
        self._second = Child(spec, rig.platform.folder / "logs" / f"{name}.log")
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """See that both live."""
        second = self._second
        self._was_seen |= (
            second is not None and second.is_alive() and rig.child(self._name).is_alive()
        )
        return True

    def end(self, rig: FaultRig) -> bool:
        """End the second."""
        if self._second is not None and self._second.is_alive():
            self._second.kill()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Both were seen to live."""
        return self._was_seen


class Misname:
    """A process is started again with an address that no name server knows."""

    is_threaded = False

    def __init__(self, server: str, name: str) -> None:
        """Let the process `name` look for `server` where nothing is: `database` or `broker`."""
        self._variable = _VARIABLES[server]
        self._name = name
        self._right = ""
        self._was_seen = False

    def begin(self, rig: FaultRig) -> bool:
        """Start it with the wrong name."""
        self._right = rig.child(self._name).spec.env[self._variable]
        parts = urlsplit(self._right)
        user = f"{parts.username}@" if parts.username else ""
        wrong = parts._replace(netloc=f"{user}{_NOWHERE}:{parts.port}").geturl()
        self._start(rig, wrong)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """See that it runs, or tries to, with that name."""
        with suppress(psutil.Error):
            environ = psutil.Process(rig.child(self._name).pid).environ()
            self._was_seen |= _NOWHERE in environ.get(self._variable, "")
        return True

    def end(self, rig: FaultRig) -> bool:
        """Start it with the right name."""
        self._start(rig, self._right)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was seen with the wrong name."""
        return self._was_seen

    def _start(self, rig: FaultRig, url: str) -> None:
        """It ends and is started again by what looks after it."""
        child = rig.child(self._name)
        child.spec = replace(child.spec, env={**child.spec.env, self._variable: url})
        child.send(signal.SIGKILL)


class FullLogs:
    """No process of the platform can write to a file: logs, and what is kept beside them."""

    is_threaded = False

    def __init__(self) -> None:
        self._limits: dict[psutil.Process, tuple[int, int]] = {}
        self._was_seen = False

    def begin(self, rig: FaultRig) -> bool:
        """Limit the size of the files of all that live."""
        for process in _services(rig):
            with suppress(psutil.Error):
                soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
                self._limits[process] = (soft, hard)
        return bool(self._limits)

    def go_on(self, rig: FaultRig) -> bool:
        """See that one lives on with the limit."""
        for process in self._limits:
            with suppress(psutil.Error):
                self._was_seen |= process.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
        return True

    def end(self, rig: FaultRig) -> bool:
        """Take the limits back."""
        for process, limits in self._limits.items():
            with suppress(psutil.Error):
                process.rlimit(psutil.RLIMIT_FSIZE, limits)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """One lived with the limit."""
        return self._was_seen


def _services(rig: FaultRig) -> Iterator[psutil.Process]:
    for name in PROCESSES:
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(rig.child(name).pid)
