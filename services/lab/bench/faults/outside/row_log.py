"""The watcher of the rows: what is settled, intended and failing, once a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from services.kernel.clock import SystemClock
from services.lab.bench.faults.outside import repository
from services.lab.bench.faults.outside.own_thread import OwnThread
from services.lab.bench.faults.outside.repository import OpenIntent

_PAUSE_S = 0.5
_LOOKBACK = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Settled:
    """Newest origins with an action at a moment, by workload."""

    at: datetime
    origins: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class FailingWorkload:
    """A workload that a stage set apart from the others.

    Attributes:
        key: `namespace/name`.
        why: Stage and message.
    """

    key: str
    why: str


@dataclass(slots=True)
class RowLog:
    """What was seen.

    Attributes:
        settled: One entry for each look that found the database.
        intents: First and last time that an open intent was seen.
        failing: Workloads that were set apart by a stage, and when each was seen so first.
    """

    settled: list[Settled] = field(default_factory=list)
    intents: dict[OpenIntent, tuple[datetime, datetime]] = field(default_factory=dict)
    failing: dict[FailingWorkload, datetime] = field(default_factory=dict)


class RowWatcher(OwnThread):
    """Looks at the database from a thread of its own; a look that fails is left out."""

    def __init__(self, engine: Engine) -> None:
        """Look through `engine`."""
        super().__init__("row-watcher", 20.0)
        self._engine = engine
        self._clock = SystemClock()
        self.log = RowLog()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            try:
                self._look()
            except DBAPIError:  # a fault of the run: the next look tells
                continue

    def _look(self) -> None:
        with self._engine.connect() as connection:
            settled = repository.load_settled(connection, self._clock.now() - _LOOKBACK)
            intents = repository.load_intents(connection)
            failing = repository.load_failing(connection)
        now = self._clock.now()
        self.log.settled.append(Settled(now, settled))
        for intent in intents:
            first, _ = self.log.intents.get(intent, (now, now))
            self.log.intents[intent] = (first, now)
        for key, why in failing.items():
            self.log.failing.setdefault(FailingWorkload(key, why), now)
