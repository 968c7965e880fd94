"""What counts risk and leave unserved, those below all candidates of a plan among them. Pure.

A plan never chooses fewer replicas than any scenario needs; a scarce budget may. The least
candidate follows what runs: were fewer taken for it they would cost nothing, and equals would
change places at each decision. Shapes: K counts, H horizon.
"""

from __future__ import annotations

import numpy as np

from decider.planning.outlook import Outlook
from decider.tables.soft_response import Soft
from decider.tables.soft_tables import expected_risk
from decider.types import FloatArray, IntArray

N_POINTS = 9
"""Counts below all candidates that are judged; between them the risk is on a line."""


def charge_at(outlook: Outlook, row: int, counts: IntArray) -> FloatArray:
    """(K,) risk that counts answer for.

    Below all candidates every step is out of SLA, and a promise of time is as broken as it can be.
    Of requests more are missed the fewer replicas there are.

    Args:
        outlook: The plan.
        row: The workload.
        counts: (K,) replicas.
    """
    grid, soft = outlook.grid, outlook.soft.get(row)
    charge: FloatArray = outlook.charge[row, grid.row_index(row, counts)]
    below = counts < grid.low[row]
    if soft is None or soft.bad is not None or not below.any():
        return charge
    evenly = np.linspace(counts.min(), grid.low[row] - 1, N_POINTS).round().astype(np.int64)
    points = np.unique(evenly)
    found = np.interp(counts[below], points, _judged(outlook, soft, row, points))
    charge[below] = np.maximum(found, outlook.charge[row, 0])
    return charge


def shortage_at(outlook: Outlook, row: int, counts: IntArray) -> FloatArray:
    """(K,) load in replicas that counts leave unserved.

    Below all candidates each replica less leaves all of its load unserved.
    """
    short = outlook.program.stages.own_shortage[row, 0, outlook.grid.row_index(row, counts)]
    below = np.maximum(outlook.grid.low[row] - counts, 0)
    return np.asarray(short + below * outlook.weights.own_first[row].sum())


def _judged(outlook: Outlook, soft: Soft, row: int, counts: IntArray) -> FloatArray:
    """(K,) risk of counts that are less than what is ready, as `first_charge` has it."""
    weights = (outlook.weights.own_first, outlook.weights.drop_first)
    own, drop = (one[row].sum(axis=1) for one in weights)
    steps = np.flatnonzero(own + drop)
    requests = outlook.scenarios.raw[row]
    demand = outlook.scenarios.demand[row][:, steps]
    _, missed = expected_risk(soft, demand, requests[:, steps], counts)
    # It weighs requests by the mean of the steps it is given, the plan by that of all.
    missed *= requests[:, steps].mean() / max(float(requests.mean()), 1e-300)
    taken = np.maximum(drop[steps] @ missed - outlook.program.stages.held_risk[row], 0.0)
    return np.asarray(own[steps] @ missed + taken)
