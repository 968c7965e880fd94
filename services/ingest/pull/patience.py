"""Whom a pull goes on asking its source for, once queries have taken too long.

A query that takes too long says nothing of the others: it may be of a tenant who sums millions of
series. So a workload with such a query is left for this pull, and asked for last in the next ones,
while there is time. The server itself is away where nobody can reach it, or where it left several
workloads, of more than one namespace, without an answer and has given none since.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.source import SERVER_REASONS, TIMEOUT

_MOST_SILENT = 3
"""Workloads that get no answer in time, one after the other, until the server counts as away."""


class Patience:
    """Counts what a source left unanswered in one pull. Safe to share between threads."""

    def __init__(
        self, n_namespaces: int = 1, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with a server that answers.

        Args:
            n_namespaces: Namespaces of the workloads that are asked for; one of several cannot
                make the server count as away by what it asks for.
            monotonic: Seconds of a clock that never goes back.
        """
        self._n_namespaces = min(2, n_namespaces)
        self._monotonic = monotonic
        self._until_s = math.inf
        self._lock = threading.Lock()
        self._is_down = False
        self._silent: dict[int, str] = {}
        self._timed_out: dict[int, str] = {}
        self._answered: set[int] = set()

    @property
    def is_down(self) -> bool:
        """True once the server itself does not answer; nobody is asked for any more."""
        return self._is_down

    @property
    def timed_out(self) -> dict[int, str]:
        """Workloads with a query that took too long, and what the first of these asks for."""
        with self._lock:
            return dict(self._timed_out)

    @property
    def answered(self) -> set[int]:
        """Workloads of which the source has answered some query, and none took too long."""
        with self._lock:
            return self._answered - self._timed_out.keys()

    def limit(self, seconds: float) -> None:
        """Ask for nobody any more once so many seconds have passed."""
        self._until_s = self._monotonic() + seconds

    def may_ask(self, workload: WorkloadRef) -> bool:
        """Check whether a query of this workload is worth sending."""
        if self._is_down or workload.id in self._timed_out:
            return False
        return self._monotonic() < self._until_s

    def note_answer(self, workload: WorkloadRef) -> None:
        """Note that the server has answered a query, be it that the query is wrong."""
        with self._lock:
            self._silent.clear()
            self._answered.add(workload.id)

    def note_failure(self, workload: WorkloadRef, reason: str, what: str) -> None:
        """Note that a query of a workload gave nothing, and why.

        Args:
            workload: The workload.
            reason: One of the words of a `SourceError`.
            what: What the query asks for.
        """
        if reason in SERVER_REASONS:
            self._is_down = True
        elif reason != TIMEOUT:
            self.note_answer(workload)
        else:
            with self._lock:
                self._timed_out.setdefault(workload.id, what)
                self._silent[workload.id] = workload.namespace
                n_silent, n_namespaces = len(self._silent), len(set(self._silent.values()))
                if n_silent >= _MOST_SILENT and n_namespaces >= self._n_namespaces:
                    self._is_down = True
