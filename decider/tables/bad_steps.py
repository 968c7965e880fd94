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
    anchors = _Anchors.of(classes, tolerance)
    low, cell = np.empty(classes.size), np.empty(classes.size)
    values = np.empty((classes.size, N_CELLS), dtype=np.float32)
    for i, one in enumerate(classes):
        nodes, tail = _nodes(np.exp(CLASS_WIDTH * one), tolerance), anchors.tail(int(one))
        first = int(np.searchsorted(tail, NEGLIGIBLE, side="right")) - 1
        last = int(np.searchsorted(tail, 1.0 - NEGLIGIBLE))
        low[i] = nodes[max(first, 0)]
        cell[i] = (nodes[min(last, N_NODES - 1)] - low[i]) / N_CELLS
        values[i] = np.interp(low[i] + cell[i] * (np.arange(N_CELLS) + 0.5), nodes, tail)
    values[:, 0], values[:, -1] = 0.0, 1.0
    return BadSteps(classes, low, cell, values)


def _nodes(concentration: FloatArray, tolerance: float) -> FloatArray:
    """(N_NODES,) log odds, dense where a step turns from good to bad, out to where all is sure."""
    width = log_odds_width(concentration, tolerance)
    reach = np.arcsinh(NODES_REACH / width)
    return np.asarray(logit(tolerance) + width * np.sinh(np.linspace(-reach, reach, N_NODES)))


@dataclass(frozen=True, slots=True)
class _Anchors:
    """Tails at every `CLASSES_APART`-th class: at equal nodes they change slowly between them.

    Attributes:
        tails: By class, (N_NODES,) probabilities at its nodes.
    """

    tails: dict[int, FloatArray]

    @classmethod
    def of(cls, classes: IntArray, tolerance: float) -> _Anchors:
        """The anchors about all of some classes (C,)."""
        below = np.unique(classes // CLASSES_APART)
        found = {}
        for one in np.union1d(below, below + 1) * CLASSES_APART:
            found[int(one)] = _tail_at(int(one), tolerance)
        return cls(found)

    def tail(self, one: int) -> FloatArray:
        """(N_NODES,) probabilities at a class's nodes."""
        below = one // CLASSES_APART * CLASSES_APART
        part = (one - below) / CLASSES_APART
        return (1.0 - part) * self.tails[below] + part * self.tails[below + CLASSES_APART]


@lru_cache(maxsize=2048)
def _tail_at(one: int, tolerance: float) -> FloatArray:
    """(N_NODES,) probabilities at a class's nodes, computed.

    The dearest part of a decision, and the same at the next one: responses change seldom.
    """
    middle = np.exp(CLASS_WIDTH * one)
    found = np.maximum.accumulate(bad_probability(_nodes(middle, tolerance), middle, tolerance))
    found.setflags(write=False)
    return np.asarray(found)
