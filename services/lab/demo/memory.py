"""Memory of the demo's processes at its highest, looked at without slowing them down."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence

import psutil

from services.platform.processes import resident_gib

_SAMPLE_S = 3.0
_SAMPLES_PER_FAMILY = 5
"""Who is there is found out that often: it takes a look at every process of the machine."""
_WORTH_A_LOOK = 1.01
"""By how much the pages of all must have grown since the last exact look."""

Measure = Callable[[Sequence[int]], float]


class MemoryMeter:
    """Samples the memory of this process and all its children in a thread.

    What processes share is counted once only by walking through all their pages, which holds each
    of them up and took a fifth of this process's time. So that is done only while their pages,
    counted the quick way, are more than ever.
    """

    def __init__(self, exact: Measure = resident_gib) -> None:
        """Count nothing yet; `exact` is the memory of processes in GiB."""
        self.peak_gib = 0.0
        self._exact = exact
        self._seen_bytes = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemoryMeter:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()

    def look(self, processes: Sequence[psutil.Process]) -> None:
        """Take one sample."""
        total = float(sum(map(_resident_bytes, processes)))
        if total <= self._seen_bytes * _WORTH_A_LOOK:
            return
        self._seen_bytes = total
        self.peak_gib = max(self.peak_gib, self._exact([each.pid for each in processes]))

    def _run(self) -> None:
        me, family = psutil.Process(os.getpid()), list[psutil.Process]()
        for number in itertools.count():
            if self._stopped.wait(_SAMPLE_S):
                return
            if number % _SAMPLES_PER_FAMILY == 0:
                family = [me, *me.children(recursive=True)]
            self.look(family)


def _resident_bytes(process: psutil.Process) -> int:
    """Pages in memory, those shared with others too; 0 where it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
