"""The probability that a step is bad, tabulated: a Beta's tail is too dear for every scenario.

The tail depends on the log odds of the expected share, the concentration and the objective's
tolerance. Concentrations are taken in classes of their logarithm, each of which has a fine table
over the log odds from where a step is surely good to where it is surely bad. A class's table does
not depend on which others are asked for.

Shapes: C classes, P draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from decider.belief.misses import bad_probability, log_odds_width
from decider.types import FloatArray, IntArray

CLASS_WIDTH = 0.005
"""Of a concentration's logarithm: moves a probability by less than 1e-3."""
CLASSES_APART = 16
"""Classes from one whose tail is computed to the next; those between are interpolated."""
N_NODES = 385
N_CELLS = 8192
NODES_REACH = 40.0
"""Log odds from the middle to the outermost nodes."""
NEGLIGIBLE = 1e-6

SingleArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BadSteps:
    """Tables of one tolerance.

    Attributes:
        classes: (C,) classes, in order.
        low: (C,) log odds at the lower end of each class's cells.
        cell: (C,) log odds that one cell spans.
        values: (C, N_CELLS) probability in a cell's middle; 0 in the first and 1 in the last:
            beyond them all is sure.
    """

    classes: IntArray
    low: FloatArray
    cell: FloatArray
    values: SingleArray

    def index_of(self, concentration: FloatArray) -> IntArray:
        """(P,) index of each draw's class."""
        return np.asarray(np.searchsorted(self.classes, class_of(concentration)), dtype=np.int64)

    def probability(self, log_odds: FloatArray, index: IntArray) -> FloatArray:
        """(P, N) probability of a bad step at log odds (P, N) for classes (P,)."""
        at = (log_odds - self.low[index, None]) / self.cell[index, None]
        cell = np.clip(at, 0, N_CELLS - 1).astype(np.int64)
        return self.values[index[:, None], cell].astype(float)


def class_of(concentration: FloatArray) -> IntArray:
    """(P,) class of effective concentrations."""
    return np.asarray(np.rint(np.log(concentration) / CLASS_WIDTH), dtype=np.int64)


def tabulate(concentration: FloatArray, tolerance: float) -> BadSteps:
    """Tables for all classes among effective concentrations (P,), for one tolerance."""
    classes = np.unique(class_of(concentration))
    tables = [_table(int(one), tolerance) for one in classes]
    low, cell = (np.array([getattr(one, name) for one in tables]) for name in ("low", "cell"))
    return BadSteps(classes, low, cell, np.stack([one.values for one in tables]))


@dataclass(frozen=True, slots=True)
class _ClassTable:
    """The table of one class, see `BadSteps`."""

    low: float
    cell: float
    values: SingleArray


@lru_cache(maxsize=2048)
def _table(one: int, tolerance: float) -> _ClassTable:
    """A class's table, kept (32 KiB each): the classes of a fleet are the same at the next step."""
    nodes, tail = _nodes(np.exp(CLASS_WIDTH * one), tolerance), _tail(one, tolerance)
    first = int(np.searchsorted(tail, NEGLIGIBLE, side="right")) - 1
    last = int(np.searchsorted(tail, 1.0 - NEGLIGIBLE))
    low = float(nodes[max(first, 0)])
    cell = float((nodes[min(last, N_NODES - 1)] - low) / N_CELLS)
    middles = low + cell * (np.arange(N_CELLS) + 0.5)
    values = np.interp(middles, nodes, tail).astype(np.float32)
    values[0], values[-1] = 0.0, 1.0
    values.setflags(write=False)
    return _ClassTable(low, cell, values)


def _nodes(concentration: FloatArray, tolerance: float) -> FloatArray:
    """(N_NODES,) log odds, dense where a step turns from good to bad, out to where all is sure."""
    width = log_odds_width(concentration, tolerance)
    reach = np.arcsinh(NODES_REACH / width)
    return np.asarray(logit(tolerance) + width * np.sinh(np.linspace(-reach, reach, N_NODES)))


def _tail(one: int, tolerance: float) -> FloatArray:
    """(N_NODES,) probabilities at a class's nodes.

    At equal nodes they change slowly between the classes that they are computed for.
    """
    below = one // CLASSES_APART * CLASSES_APART
    part = (one - below) / CLASSES_APART
    above = below + CLASSES_APART
    return np.asarray((1.0 - part) * _tail_at(below, tolerance) + part * _tail_at(above, tolerance))


@lru_cache(maxsize=2048)
def _tail_at(one: int, tolerance: float) -> FloatArray:
    """(N_NODES,) probabilities at a class's nodes, computed: the dearest part of a table."""
    middle = np.exp(CLASS_WIDTH * one)
    found = np.maximum.accumulate(bad_probability(_nodes(middle, tolerance), middle, tolerance))
    found.setflags(write=False)
    return np.asarray(found)
