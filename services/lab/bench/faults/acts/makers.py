"""What a fault does: the protocol, and the act of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.lab.bench.faults.acts import (
    broker,
    by_hand,
    data,
    database,
    disturbances,
    full_disk,
    links,
    objects,
    processes,
    senders,
    upgrade,
)
from services.lab.bench.faults.kinds import SKEWED
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


def _skewed(fault: PlannedFault, sign: int) -> FaultAct:
    return processes.SkewClock(fault.kind.target, sign * SKEWED[fault.kind.target])


_Maker = Callable[[PlannedFault], FaultAct]
_READ_ONLY: dict[str, Callable[[], FaultAct]] = {
    "postgres": lambda: database.ServerSetting("default_transaction_read_only", "on"),
    "valkey": broker.ReadOnlyBroker,
}
_MAKERS: dict[str, _Maker] = {
    "kill": lambda fault: processes.KillProcess(fault.kind.target),
    "restart": lambda fault: processes.KillProcess(fault.kind.target, is_asked=True),
    "pause": lambda fault: processes.PauseProcess(fault.kind.target),
    "sleep": lambda fault: processes.Sleep(),
    "lead_twice": lambda fault: processes.LeadTwice(),
    "skew_ahead": lambda fault: _skewed(fault, 1),
    "skew_behind": lambda fault: _skewed(fault, -1),
    "forget": lambda fault: by_hand.ForgottenRows(fault.kind.target),
    "spoil": lambda fault: by_hand.SpoiltSpec(),
    "expire": lambda fault: by_hand.ExpiredPartitions(),
    "upgrade": lambda fault: upgrade.Upgrade(),
    "cut": lambda fault: links.LinkFault(fault.kind.target, "cut"),
    "delay": lambda fault: links.LinkFault(fault.kind.target, "delay"),
    "stall": lambda fault: links.LinkFault(fault.kind.target, "stall"),
    "answer": lambda fault: links.WrongAnswers(fault.kind.target),
    "flush": lambda fault: data.FlushBroker(),
    "fill_disk": lambda fault: data.FillDisk(),
    "fill_server_disk": lambda fault: full_disk.FullServerDisk(),
    "poison_values": lambda fault: data.PoisonValues(),
    "poison_spec": lambda fault: data.PoisonSpec(),
    "garbage_model": lambda fault: data.GarbageModel(fault.kind.target),
    "failed_migration": lambda fault: data.FailedMigration(fault.duration_s),
    "lock": lambda fault: database.LockRows(fault.kind.target),
    "take": lambda fault: database.TakeSessions(),
    "cut_short": lambda fault: database.ServerSetting("statement_timeout", "25ms"),
    "read_only": lambda fault: _READ_ONLY[fault.kind.target](),
    "end_sessions": lambda fault: database.EndSessions(),
    "kill_backend": lambda fault: database.KillBackend(),
    "detach": lambda fault: database.DetachPartition(fault.kind.target),
    "fill_memory": lambda fault: broker.FullBroker(),
    "garbage_messages": lambda fault: broker.GarbageMessages(),
    "delete_lease": lambda fault: objects.DeleteLease(),
    "delete_definition": lambda fault: objects.DeleteDefinition(fault.kind.target),
    "vanish": lambda fault: objects.VanishingNamespace(),
    "send": lambda fault: senders.OddSender(fault.kind.target),
    "storm": lambda fault: disturbances.Storm(),
    "run_twice": lambda fault: disturbances.RunTwice(fault.kind.target),
    "misname": lambda fault: disturbances.Misname(*fault.kind.target.split(" of ")),
    "fill_logs": lambda fault: disturbances.FullLogs(),
}


def make_act(fault: PlannedFault) -> FaultAct:
    """The act of a planned fault."""
    return _MAKERS[fault.kind.act](fault)
