"""Steps of workloads as one dense array. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.kernel.db.steps.blocks import Layout, StepBlock, from_us
from services.kernel.db.steps.reading import Span

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NamedWorkload:
    """A workload and the indicators wanted of it, in the order of their columns."""

    id: int
    names: Layout


@dataclass(frozen=True)
class WantedSteps:
    """P steps of W workloads on one step length.

    Attributes:
        workloads: W different workloads, by rising id.
        steps_us: Starts of the steps in microseconds since the epoch, rising, (P,).
        step_us: Length of a step.
    """

    workloads: tuple[NamedWorkload, ...]
    steps_us: I64
    step_us: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(W, P, K): K is the most names of a workload."""
        width = max(len(one.names) for one in self.workloads)
        return len(self.workloads), len(self.steps_us), width

    @cached_property
    def ids(self) -> I64:
        """(W,)."""
        return np.array([one.id for one in self.workloads], dtype=np.int64)

    @property
    def spans(self) -> list[Span]:
        """The steps as closed stretches."""
        return spans_of(self.steps_us, self.step_us)


def spans_of(steps_us: I64, step_us: int) -> list[Span]:
    """Rising steps as closed stretches without gaps."""
    if not steps_us.size:
        return []
    breaks = np.flatnonzero(np.diff(steps_us) > step_us)
    firsts = steps_us[np.append(0, breaks + 1)]
    lasts = steps_us[np.append(breaks, -1)]
    return [Span(from_us(a), from_us(b)) for a, b in zip(firsts, lasts, strict=True)]


def empty_grid(wanted: WantedSteps) -> F32:
    """Nothing is known, (W, P, K)."""
    return np.full(wanted.shape, np.nan, dtype=np.float32)


def fill_grid(grid: F32, wanted: WantedSteps, blocks: Sequence[StepBlock]) -> None:
    """Put observed values into their places; steps off the grid have none.

    Args:
        grid: (W, P, K), changed in place.
        wanted: What its places are.
        blocks: Steps, also of others than are wanted.
    """
    kinds = list(dict.fromkeys(one.names for one in wanted.workloads))
    kind_of = np.array([kinds.index(one.names) for one in wanted.workloads])
    for block in blocks:
        columns = np.empty((len(kinds), len(block.names)), dtype=np.int64)
        for number, names in enumerate(kinds):
            columns[number] = [names.index(n) if n in names else -1 for n in block.names]
        row = np.minimum(np.searchsorted(wanted.ids, block.workload_ids), len(wanted.ids) - 1)
        at = np.searchsorted(wanted.steps_us, block.at_us)
        at = np.minimum(at, len(wanted.steps_us) - 1)
        is_wanted = wanted.ids[row] == block.workload_ids
        is_wanted &= wanted.steps_us[at] == block.at_us
        column = columns[kind_of[row]]
        rows, places = np.nonzero(block.is_seen & (column >= 0) & is_wanted[:, None])
        grid[row[rows], at[rows], column[rows, places]] = block.values[rows, places]
