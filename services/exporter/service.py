"""Use case of the exporter: one page for whoever asks, made anew when it has grown old."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from services.exporter.lines import WorkloadLines
from services.exporter.repository import FleetPart, read_figures, read_operators
from services.kernel.clock import Clock

KEPT_S = 15.0
"""So long a page is handed out again: several Prometheus ask for the same."""
_MOST_PARTS = 64
_LEVEL = 1
"""Of the compression: a page of metrics shrinks to a tenth already."""


@dataclass(frozen=True, slots=True)
class _KeptPage:
    """A page, compressed, and until when it is handed out."""

    page: bytes
    until_s: float


@dataclass(slots=True)
class WorkloadPages:
    """Pages of the workloads, made one at a time.

    Attributes:
        engine: Of the database; it sees all clusters.
        clock: What is old is so by it.
        is_trust_judged: Verdicts on models are in force; else each is trusted.
        monotonic: Seconds, for how long a page is kept.
    """

    engine: Engine
    clock: Clock
    is_trust_judged: bool = True
    monotonic: Callable[[], float] = time.monotonic
    _kept: dict[FleetPart, _KeptPage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self, part: FleetPart) -> bytes:
        """The page of a part of the fleet, compressed by gzip.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database cannot be read; nothing old is shown.
        """
        with self._lock:
            kept = self._kept.get(part)
            if kept is not None and self.monotonic() < kept.until_s:
                return kept.page
            made = gzip.compress(self._make(part), _LEVEL)
            if len(self._kept) >= _MOST_PARTS:
                self._kept.clear()
            self._kept[part] = _KeptPage(made, self.monotonic() + KEPT_S)
            return made

    def _make(self, part: FleetPart) -> bytes:
        now, found = self.clock.now(), WorkloadLines(is_trust_judged=self.is_trust_judged)
        with self.engine.begin() as connection:
            for rows in read_figures(connection, part, now):
                found.add(rows, now)
            found.add_operators(read_operators(connection))
        return found.to_bytes()
