"""Steps that a process keeps from one read to the next; it reads what is new or was changed.

A cycle wants what the last one wanted, a step later: of a window of hundreds of steps one is new.
What is kept is never wrong: each read asks, by the snapshot it reads in, for all that was written
since (`changes`). Where there is no room, where steps are still to be moved, and of steps that a
transaction has written itself, nothing is kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection

from services.kernel.db.steps.changes import NEVER, load_changed
from services.kernel.db.steps.grid import F32, I64, WantedSteps, empty_grid, fill_grid, spans_of
from services.kernel.db.steps.moving import moved_since
from services.kernel.db.steps.reading import load_steps

MOST_BYTES = 256 * 2**20
"""Of a process: the contexts of some 20,000 workloads of 8 indicators."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was read of some workloads.

    Attributes:
        steps_us: (P,).
        grid: (W, P, K).
        since: The oldest transaction that was under way.
    """

    steps_us: I64
    grid: F32
    since: int


def load_grid(connection: Connection, wanted: WantedSteps) -> F32:
    """Observed values of all wanted steps, (W, P, K); NaN where there is none."""
    grid = empty_grid(wanted)
    by_name: dict[str, list[int]] = {}
    for one in wanted.workloads:
        for name in one.names:
            by_name.setdefault(name, []).append(one.id)
    fill_grid(grid, wanted, load_steps(connection, by_name, wanted.spans))
    return grid


@dataclass(slots=True)
class KeptSteps:
    """Keeps what was read last of workloads that are read together; safe to share.

    Attributes:
        most_bytes: Of more, what was not read for longest is forgotten.
    """

    most_bytes: int = MOST_BYTES
    _kept: OrderedDict[Hashable, _Kept] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def n_bytes(self) -> int:
        """Bytes that are kept."""
        with self._lock:
            return sum(one.grid.nbytes for one in self._kept.values())

    def load(self, connection: Connection, wanted: WantedSteps) -> F32:
        """As `load_grid`, the same to the byte; the array is not to be changed."""
        spans = wanted.spans
        if spans[0].first_at < moved_since(connection):
            return load_grid(connection, wanted)
        key = (wanted.workloads, wanted.step_us)
        with self._lock:
            kept = self._kept.get(key)
        grid, is_held = _carried(kept, wanted)
        missing = spans_of(wanted.steps_us[~is_held], wanted.step_us)
        since = NEVER if kept is None else kept.since
        found = load_changed(connection, wanted.ids.tolist(), spans, missing, since)
        if kept is not None and found.since < kept.since:  # another database, or an older one
            with self._lock:
                self._kept.pop(key, None)
            return load_grid(connection, wanted)
        for first_us, last_us in zip(found.first_us, found.last_us, strict=True):
            first, last = np.searchsorted(wanted.steps_us, [first_us, last_us + 1])
            grid[:, first:last] = np.nan
        fill_grid(grid, wanted, found.blocks)
        if not found.is_own:
            self._keep(key, _Kept(wanted.steps_us, grid, found.since))
        return grid

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if kept.grid.nbytes > self.most_bytes:
                return
            self._kept[key] = kept
            while sum(one.grid.nbytes for one in self._kept.values()) > self.most_bytes:
                self._kept.popitem(last=False)


def _carried(kept: _Kept | None, wanted: WantedSteps) -> tuple[F32, np.ndarray]:
    """What is known of the wanted steps already, and of which, (P,)."""
    grid = empty_grid(wanted)
    is_held = np.zeros(len(wanted.steps_us), dtype=bool)
    if kept is not None:
        at = np.minimum(np.searchsorted(kept.steps_us, wanted.steps_us), len(kept.steps_us) - 1)
        is_held = kept.steps_us[at] == wanted.steps_us
        grid[:, is_held] = kept.grid[:, at[is_held]]
    return grid, is_held
