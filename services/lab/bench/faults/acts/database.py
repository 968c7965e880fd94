"""Faults of a Postgres that others use too: locks, sessions, settings and a backend that dies."""

from __future__ import annotations

from contextlib import suppress

import psutil
import psycopg
from sqlalchemy import Connection

from services.lab.bench.faults.acts import intruder_repository as intruder
from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.rig import FaultRig

_SESSIONS_AT_ONCE = 80


class LockRows(PlainAct):
    """Somebody's open transaction holds a lock, and does nothing."""

    def __init__(self, what: str) -> None:
        """Hold a lock of `what`: `table`, `partition` or `rows`."""
        self._what = what
        self._connection: Connection | None = None
        self._has_waited = False

    def begin(self, rig: FaultRig) -> bool:
        """Take it; a busy table may refuse it for a while."""
        connection = rig.engine.connect()
        try:
            intruder.take_lock(connection, self._what)
        except Exception:
            connection.close()
            raise
        self._connection = connection
        return True

    def go_on(self, rig: FaultRig) -> bool:
        """See whether anybody waits for it."""
        if self._connection is not None and not self._has_waited:
            self._has_waited = intruder.count_waiting(self._connection) > 0
        return True

    def end(self, rig: FaultRig) -> bool:
        """Give it back."""
        if self._connection is not None:
            self._connection.close()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Somebody waited for it."""
        return self._has_waited


class TakeSessions(PlainAct):
    """Somebody else takes all connections that the server has."""

    def __init__(self) -> None:
        self._taken: list[psycopg.Connection] = []
        self._was_full = False

    def begin(self, rig: FaultRig) -> bool:
        """Connect until there is no more room."""
        return self.go_on(rig)

    def go_on(self, rig: FaultRig) -> bool:
        """Take what has become free."""
        for _ in range(_SESSIONS_AT_ONCE):
            try:
                self._taken.append(intruder.connect(rig.engine))
            except psycopg.OperationalError as error:
                self._was_full |= "too many clients" in str(error)
                break
        return True

    def end(self, rig: FaultRig) -> bool:
        """Give all back."""
        for connection in self._taken:
            with suppress(psycopg.Error):
                connection.close()
        self._taken.clear()
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """The server refused one more."""
        return self._was_full


class ServerSetting(PlainAct):
    """A setting of the server is wrong; sessions of before end, so that all have it."""

    def __init__(self, name: str, value: str) -> None:
        """Let the setting `name` be `value`."""
        self._name = name
        self._value = value
        self._n_ended = 0

    def begin(self, rig: FaultRig) -> bool:
        """Set it."""
        intruder.set_setting(rig.engine, self._name, self._value)
        self._n_ended = intruder.end_sessions(rig.engine)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Take it back."""
        intruder.set_setting(rig.engine, self._name, None)
        intruder.end_sessions(rig.engine)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """Sessions had to begin anew, with it."""
        return self._n_ended > 0


class EndSessions(PlainAct):
    """All sessions of the server are ended, as by an administrator."""

    def __init__(self) -> None:
        self._n_ended = 0

    def begin(self, rig: FaultRig) -> bool:
        """End them."""
        self._n_ended = intruder.end_sessions(rig.engine)
        return self._n_ended > 0

    def has_bitten(self, rig: FaultRig) -> bool:
        """There were some."""
        return self._n_ended > 0


class KillBackend(PlainAct):
    """One process of Postgres is killed, as by a kernel without memory: all others begin anew."""

    is_threaded = False

    def __init__(self) -> None:
        self._killed: psutil.Process | None = None

    def begin(self, rig: FaultRig) -> bool:
        """Kill the newest one that serves a client."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(rig.child("postgres").pid).children()
            serving = [one for one in family if "postgres: postgres" in " ".join(one.cmdline())]
            if serving:
                self._killed = serving[-1]
                self._killed.kill()
        return self._killed is not None

    def has_bitten(self, rig: FaultRig) -> bool:
        """It is gone."""
        return self._killed is not None and not self._killed.is_running()


class DetachPartition(PlainAct):
    """Somebody takes away the partition that today's samples go to, and brings it back."""

    def __init__(self, table: str) -> None:
        """Take a partition of `table`."""
        self._table = table
        self._partition: intruder.TakenPartition | None = None

    def begin(self, rig: FaultRig) -> bool:
        """Take it."""
        self._partition = intruder.detach_newest(rig.engine, self._table)
        return True

    def end(self, rig: FaultRig) -> bool:
        """Bring it back."""
        if self._partition is not None:
            intruder.attach(rig.engine, self._partition)
        return True

    def has_bitten(self, rig: FaultRig) -> bool:
        """There was one."""
        return self._partition is not None
