"""The server's disk is really full: no row, no log of changes, no words about it."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from services.lab.bench.faults.acts import intruder_repository as intruder
from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.rig import FaultRig

_SWITCHES = 10


class FullServerDisk(PlainAct):
    """Nothing is left of the disk, and the log of changes is kept for a copy that never asks.

    Without that Postgres would use old segments of the log again, and outlive a full disk.
    """

    def __init__(self) -> None:
        self._has_refused = False

    def begin(self, rig: FaultRig) -> bool:
        """Keep the log, then fill the disk."""
        intruder.keep_log(rig.engine)
        rig.disk.fill(rig.child("postgres").pid)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Fill what has become free, and let Postgres ask for more."""
        rig.disk.fill(rig.child("postgres").pid)
        for _ in range(_SWITCHES):
            try:
                intruder.use_log(rig.engine)
            except DBAPIError:
                self._has_refused = True
                break
        return True

    def end(self, rig: FaultRig) -> bool:
        """Make room, and let the log go once the server is back."""
        rig.disk.free(rig.child("postgres").pid)
        intruder.keep_log_no_more(rig.engine)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """The server could not write, or was not there any more."""
        return self._has_refused
