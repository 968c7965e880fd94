"""Faults of processes: killed, paused, restarted, with a wrong clock, two that lead."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import replace

import psutil

from services.lab.bench.faults.acts import wrong_clock
from services.lab.bench.faults.rig import FaultRig
from services.platform.child import Child

_LEADS_WITHIN_S = 40.0
_WRONG_CLOCK = wrong_clock.__file__


class KillProcess:
    """A process ends at once, or as it is asked to."""

    is_threaded = False

    def __init__(self, name: str, *, is_asked: bool = False) -> None:
        """Kill the process of this name; `is_asked`: let it end in order."""
        self._name = name
        self._is_asked = is_asked
        self._pid = 0

    def begin(self, rig: FaultRig) -> bool:
        """Send the signal, once the process lives."""
        child = rig.child(self._name)
        if not child.is_alive():
            return False
        self._pid = child.pid
        child.send(child.spec.endings[0] if self._is_asked else signal.SIGKILL)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """It is started again by what looks after it."""
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Another process has its place."""
        child = rig.child(self._name)
        return bool(self._pid) and child.pid != self._pid and child.is_alive()


class PauseProcess:
    """A process and its children stand still."""

    is_threaded = False

    def __init__(self, name: str) -> None:
        """Pause the process of this name."""
        self._name = name
        self._stopped: list[psutil.Process] = []
        self._was_seen = False

    def begin(self, rig: FaultRig) -> bool:
        """Stop it, once it lives."""
        child = rig.child(self._name)
        if not child.is_alive():
            return False
        self._stopped = _family(child.pid)
        for process in self._stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        return bool(self._stopped)

    def go_on(self, rig: FaultRig) -> bool:
        """See that it stands still."""
        with suppress(psutil.NoSuchProcess):
            self._was_seen |= self._stopped[0].status() == psutil.STATUS_STOPPED
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it go on."""
        self.go_on(rig)
        for process in reversed(self._stopped):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was seen to stand still."""
        return self._was_seen


class Sleep:
    """All of it stands still at once, as on a laptop that is closed."""

    is_threaded = False

    def __init__(self) -> None:
        self._pauses: list[PauseProcess] = []

    def begin(self, rig: FaultRig) -> bool:
        """Stop all that lives."""
        for child in rig.platform.supervisor.children():
            pause = PauseProcess(child.spec.name)
            if pause.begin(rig):
                self._pauses.append(pause)
        return bool(self._pauses)

    def go_on(self, rig: FaultRig) -> bool:
        """See that they stand still."""
        return all(pause.go_on(rig) for pause in self._pauses)

    def end(self, rig: FaultRig) -> bool:
        """Let them go on, servers last."""
        return all(pause.end(rig) for pause in reversed(self._pauses))

    def has_bitten(self, rig: FaultRig) -> bool:
        """All were seen to stand still."""
        return bool(self._pauses) and all(pause.has_bitten(rig) for pause in self._pauses)


class SkewClock:
    """A process is started again with a clock that is wrong."""

    is_threaded = False

    def __init__(self, name: str, skew_s: float) -> None:
        """Let the clock of the process of this name be ahead by `skew_s`."""
        self._name = name
        self._skew_s = skew_s
        self._was_seen = False

    def begin(self, rig: FaultRig) -> bool:
        """Start it with that clock."""
        self._start(rig, self._skew_s)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """See that it runs with that clock."""
        with suppress(psutil.Error):
            command = psutil.Process(rig.child(self._name).pid).cmdline()
            self._was_seen |= [_WRONG_CLOCK, str(self._skew_s)] == command[1:3]
        return True

    def end(self, rig: FaultRig) -> bool:
        """Start it with its own clock."""
        self._start(rig, 0.0)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was seen with the wrong clock."""
        return self._was_seen

    def _start(self, rig: FaultRig, skew_s: float) -> None:
        child = rig.child(self._name)
        python, *rest = child.spec.argv
        module = rest[2:] if rest[0] == _WRONG_CLOCK else rest[1:]
        how = [_WRONG_CLOCK, str(skew_s)] if skew_s else ["-m"]
        child.kill()
        rig.platform.supervisor.start(replace(child.spec, argv=[python, *how, *module]))


class LeadTwice:
    """A second operator takes over from one that stands still, which then goes on."""

    is_threaded = False

    def __init__(self) -> None:
        self._pause = PauseProcess("operator")
        self._second: Child | None = None
        self._has_led = False
        self._patient_until_s = 0.0

    def begin(self, rig: FaultRig) -> bool:
        """Start the second operator, and stop the first."""
        if not self._pause.begin(rig):
            return False
        spec = replace(rig.child("operator").spec, name="operator-second")
        self._patient_until_s = time.monotonic() + _LEADS_WITHIN_S
        self._second = Child(spec, rig.platform.folder / "logs" / "operator-second.log")
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Wake the first as soon as the second leads."""
        if not self._has_led and self._second is not None:
            self._has_led = f"_{self._second.pid}_" in rig.lease_holder()
            if self._has_led:
                self._pause.end(rig)
        return True

    def end(self, rig: FaultRig) -> bool:
        """The second is killed while it leads; it is given a while to begin."""
        self.go_on(rig)
        if not self._has_led and time.monotonic() < self._patient_until_s:
            return False
        self._pause.end(rig)
        if self._second is not None and self._second.is_alive():
            self._second.kill()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """The second was seen to lead."""
        return self._has_led


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, parents first; none where it has gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
