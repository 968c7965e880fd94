"""Faults of what is stored or sent: a full disk, poison, garbage, a migration that fails."""

from __future__ import annotations

from services.kernel.clock import SystemClock
from services.lab.bench.faults.acts import sabotage_repository as sabotage
from services.lab.bench.faults.fleet import CAPACITY, autoscaler_path
from services.lab.bench.faults.rig import FaultRig

_POISON = "0.00000001"
_MERGE = {"Content-Type": "application/merge-patch+json"}


class FlushBroker:
    """The broker forgets all jobs."""

    is_threaded = True

    def __init__(self) -> None:
        self._n_keys = 0

    def begin(self, rig: FaultRig) -> bool:
        """Flush it."""
        self._n_keys = int(rig.broker.dbsize())
        rig.broker.flushall()
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Nothing can be put back."""
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It held something."""
        return self._n_keys > 0


class FillDisk:
    """The database's disk is full."""

    is_threaded = True

    def __init__(self) -> None:
        self._before = 0

    def begin(self, rig: FaultRig) -> bool:
        """Fill it."""
        self._before = sabotage.count_full(rig.engine)
        sabotage.fill_disk(rig.engine)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Make room."""
        sabotage.free_disk(rig.engine)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Writes found it full."""
        return sabotage.count_full(rig.engine) > self._before


class PoisonValues:
    """The victim sends numbers that nothing can measure."""

    is_threaded = False

    def __init__(self) -> None:
        self._before = 0

    def begin(self, rig: FaultRig) -> bool:
        """Let it send them."""
        self._before = rig.sender.log.n_poisoned
        rig.sender.is_poisoned = True
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Let it send its demand."""
        rig.sender.is_poisoned = False
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Some were sent and answered."""
        return rig.sender.log.n_poisoned > self._before


class PoisonSpec:
    """The victim's replicas are said to carry next to nothing."""

    is_threaded = True

    def __init__(self) -> None:
        self._was_answered = False

    def begin(self, rig: FaultRig) -> bool:
        """Say so; a refusal at the door is an answer too."""
        return self._state(rig, _POISON)

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Say what they carry."""
        return self._state(rig, f"{CAPACITY:g}")

    def has_bitten(self, rig: FaultRig) -> bool:
        """The API server took it or refused it."""
        return self._was_answered

    def _state(self, rig: FaultRig, capacity: str) -> bool:
        body = {"spec": {"capacity": {"perReplica": capacity}}}
        path = autoscaler_path(rig.fleet.victim)
        answer = rig.cluster.patch(path, json=body, headers=_MERGE)
        self._was_answered |= answer.status_code in (200, 422)
        return answer.status_code in (200, 422)


class GarbageModel:
    """What is no model is promoted."""

    is_threaded = True

    def __init__(self, what: str) -> None:
        """Promote one of `sabotage.GARBAGE`."""
        self._what = what
        self._clock = SystemClock()
        self._since = self._clock.now()

    def begin(self, rig: FaultRig) -> bool:
        """Promote them."""
        self._since = self._clock.now()
        with rig.engine.begin() as connection:
            sabotage.promote_garbage(connection, self._what, self._since)
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """Retire them."""
        with rig.engine.begin() as connection:
            sabotage.retire_garbage(connection, self._what, self._clock.now())
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Forecasts say that it cannot be read."""
        with rig.engine.connect() as connection:
            return sabotage.count_garbage_answers(connection, self._what, self._since) > 0


class FailedMigration:
    """A migration holds its locks for a while, and is rolled back."""

    is_threaded = True

    def __init__(self, seconds: float) -> None:
        """Hold the locks for so long."""
        self._seconds = seconds
        self._has_failed = False

    def begin(self, rig: FaultRig) -> bool:
        """Run it to its failure."""
        self._has_failed = sabotage.fail_migration(rig.engine, self._seconds)
        return self._has_failed

    def go_on(self, rig: FaultRig) -> bool:
        """Nothing."""
        return True

    def end(self, rig: FaultRig) -> bool:
        """It is rolled back."""
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """It had its locks and failed."""
        return self._has_failed
