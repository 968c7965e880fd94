"""What most faults have in common: nothing to do while they are in force, nothing to put back."""

from __future__ import annotations

from services.lab.bench.faults.rig import FaultRig


class PlainAct:
    """A fault whose steps may wait for a server; the steps that it does not need do nothing."""

    is_threaded = True

    def begin(self, rig: FaultRig) -> bool:
        """Come into force."""
        raise NotImplementedError

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Nothing is to be put back."""
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Check that the platform felt it."""
        raise NotImplementedError
