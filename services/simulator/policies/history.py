"""Demand that a policy with memory reads: the columns it has not seen yet, and windows.

Memory is kept by time, not by column number, so that a history that grows and a context of fixed
length that slides are read alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.grid import FloatArray, GridView, Knob
from services.simulator.policies.view import IntArray

NEVER_S = -np.inf
"""`seen_until_s` of a policy that has seen nothing."""


def unseen_columns(view: GridView, seen_until_s: float) -> FloatArray:
    """(W, n) demand of the steps that ended after `seen_until_s`, oldest first.

    Raises:
        ValueError: If the view is older than what was seen.
    """
    n_columns = view.demand.shape[1]
    if np.isinf(seen_until_s):
        return view.demand
    n_new = round((view.now_s - seen_until_s) / view.step_s)
    if n_new < 0:
        raise ValueError(f"now_s={view.now_s} is before {seen_until_s}, which was already seen")
    return view.demand[:, n_columns - min(n_new, n_columns) :]


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """Arrays (..., W) recorded at instants, as long as they are young enough to matter.

    Attributes:
        at_s: (n,) instants, oldest first.
        values: (n, ..., W) records; NaN marks an unknown.
    """

    at_s: FloatArray
    values: FloatArray

    def add(self, now_s: float, value: FloatArray, keep_s: float) -> Recent:
        """With `value` recorded now, without what is `keep_s` or older."""
        first = int(np.searchsorted(self.at_s, now_s - keep_s, side="right"))
        return Recent(
            np.append(self.at_s[first:], now_s),
            np.concatenate([self.values[first:], value[None]]),
        )

    def largest(self, row: int, window_s: float) -> FloatArray:
        """(W,) largest of records younger than `window_s` in a row; the newest always counts."""
        newest_s = self.at_s[-1]
        first = int(np.searchsorted(self.at_s, newest_s - window_s, side="right"))
        kept: FloatArray = self.values[min(first, self.at_s.size - 1) :, row]
        largest: FloatArray = np.fmax.reduce(kept, axis=0)
        return largest


def largest_by_setting(
    recent: Recent, rows: IntArray, windows_s: Knob, n_settings: int
) -> FloatArray:
    """(G, W) `recent.largest` for the row and the window of each setting, once per distinct pair.

    Args:
        recent: At least one record.
        rows: (G,) or (1,) row of each setting.
        windows_s: Window of each setting.
        n_settings: G.
    """
    pairs = [
        (int(row), float(window_s))
        for row, window_s in zip(
            np.broadcast_to(rows, n_settings), np.broadcast_to(windows_s, n_settings), strict=True
        )
    ]
    distinct = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    found = np.stack([recent.largest(row, window_s) for row, window_s in distinct])
    return found[[distinct[pair] for pair in pairs]]


def distinct_values(knob: Knob) -> tuple[FloatArray, IntArray]:
    """Distinct values of a knob, ascending, and (G,) or (1,) which of them each setting has."""
    values, which = np.unique(np.atleast_1d(np.asarray(knob, dtype=float)), return_inverse=True)
    return values, which.astype(np.int64)


def nothing_recent(n_rows: int, n_workloads: int) -> Recent:
    """No records of (n_rows, W) yet."""
    return Recent(np.empty(0), np.empty((0, n_rows, n_workloads)))


def duration_text(seconds: float) -> str:
    """A length of time for tables: 90 s, 15 min, 12 h."""
    if seconds >= 3600:
        return f"{seconds / 3600:.4g} h"
    return f"{seconds / 60:.4g} min" if seconds >= 300 else f"{seconds:.4g} s"
