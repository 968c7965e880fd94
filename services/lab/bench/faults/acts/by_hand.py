"""Faults of rows: somebody deletes or spoils some by hand, a clean-up drops old ones under load."""

from __future__ import annotations

import time

from services.kernel.clock import SystemClock
from services.lab.bench.faults.acts import by_hand_repository as by_hand
from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.kinds import SETTLED_S
from services.lab.bench.faults.rig import FaultRig


class ForgottenRows(PlainAct):
    """Somebody empties a table of what can be made again."""

    def __init__(self, what: str) -> None:
        """Empty one of `by_hand_repository.FORGOTTEN`."""
        self._what = what
        self._n_deleted = 0

    def begin(self, rig: FaultRig) -> bool:
        """Empty it."""
        with rig.engine.begin() as connection:
            self._n_deleted = by_hand.forget(connection, self._what)
        return self._n_deleted > 0

    def has_bitten(self, rig: FaultRig) -> bool:
        """There was something."""
        return self._n_deleted > 0


class SpoiltSpec(PlainAct):
    """Somebody spoils the stored spec of the victim; the operator stores it again."""

    def __init__(self) -> None:
        self._is_spoilt = False

    def begin(self, rig: FaultRig) -> bool:
        """Spoil it; nobody can tell then which samples are the victim's."""
        victim = rig.fleet.victim
        rig.sender.spoilt_until_s = time.monotonic() + SETTLED_S
        with rig.engine.begin() as connection:
            self._is_spoilt = by_hand.spoil_spec(connection, victim.namespace, victim.name)
        return self._is_spoilt

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was spoilt, and is there again."""
        victim = rig.fleet.victim
        with rig.engine.connect() as connection:
            is_there = by_hand.is_spec_there(connection, victim.namespace, victim.name)
        return self._is_spoilt and is_there


class ExpiredPartitions(PlainAct):
    """Partitions have passed their time, and the clean-up drops them under load."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._n_planted = 0

    def begin(self, rig: FaultRig) -> bool:
        """Make them; the clean-up comes by itself."""
        self._n_planted = by_hand.plant_old_partitions(rig.engine, self._clock.now())
        return self._n_planted > 0

    def has_bitten(self, rig: FaultRig) -> bool:
        """They were there and are gone."""
        left = by_hand.count_old_partitions(rig.engine, self._clock.now())
        return self._n_planted > 0 and left == 0
