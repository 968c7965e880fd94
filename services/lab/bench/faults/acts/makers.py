"""What a fault does: the protocol, and the act of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.lab.bench.faults.acts import data, links, processes
from services.lab.bench.faults.kinds import SKEW_S
from services.lab.bench.faults.rig import FaultRig
from services.lab.bench.faults.schedule import PlannedFault


class FaultAct(Protocol):
    """A fault on a running rig. A step that returns False is tried again, also one that raises.

    Attributes:
        is_threaded: Its steps may wait for a server, so they are done in another thread; what
            starts or ends processes may not be.
    """

    is_threaded: bool

    def begin(self, rig: FaultRig) -> bool:
        """Come into force."""
        ...

    def go_on(self, rig: FaultRig) -> bool:
        """Called again and again while in force; what it returns says nothing."""
        ...

    def end(self, rig: FaultRig) -> bool:
        """Put things right."""
        ...

    def has_bitten(self, rig: FaultRig) -> bool:
        """Check that the platform felt it; asked from its end until it is true."""
        ...


_Maker = Callable[[PlannedFault], FaultAct]
_MAKERS: dict[str, _Maker] = {
    "kill": lambda fault: processes.KillProcess(fault.kind.target),
    "restart": lambda fault: processes.KillProcess(fault.kind.target, is_asked=True),
    "pause": lambda fault: processes.PauseProcess(fault.kind.target),
    "lead_twice": lambda fault: processes.LeadTwice(),
    "skew_ahead": lambda fault: processes.SkewClock(fault.kind.target, SKEW_S),
    "skew_behind": lambda fault: processes.SkewClock(fault.kind.target, -SKEW_S),
    "upgrade": lambda fault: processes.Upgrade(),
    "cut": lambda fault: links.LinkFault(fault.kind.target, "cut"),
    "delay": lambda fault: links.LinkFault(fault.kind.target, "delay"),
    "stall": lambda fault: links.LinkFault(fault.kind.target, "stall"),
    "answer": lambda fault: links.WrongAnswers(fault.kind.target),
    "flush": lambda fault: data.FlushBroker(),
    "fill_disk": lambda fault: data.FillDisk(),
    "poison_values": lambda fault: data.PoisonValues(),
    "poison_spec": lambda fault: data.PoisonSpec(),
    "garbage_model": lambda fault: data.GarbageModel(),
    "failed_migration": lambda fault: data.FailedMigration(fault.duration_s),
}


def make_act(fault: PlannedFault) -> FaultAct:
    """The act of a planned fault."""
    return _MAKERS[fault.kind.act](fault)
