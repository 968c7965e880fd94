"""Faults of senders: one that sends everything twice, one whose clock is far off."""

from __future__ import annotations

from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.rig import FaultRig


class OddSender(PlainAct):
    """The sender goes wrong in a way of its own."""

    is_threaded = False

    def __init__(self, how: str) -> None:
        """Let it go wrong so: `twice` or `wrong_times`."""
        self._how = how
        self._before = 0

    def begin(self, rig: FaultRig) -> bool:
        """Let it go wrong."""
        self._before = rig.sender.log.odd[self._how]
        rig.sender.odd_ways.add(self._how)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it be right again."""
        rig.sender.odd_ways.discard(self._how)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Such requests were answered."""
        return rig.sender.log.odd[self._how] > self._before
