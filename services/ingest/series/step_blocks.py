"""From values of single indicators to rows of whole steps. Pure numpy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ingest.series.catalog import WorkloadRef
from services.ingest.series.samples import I64, Mask
from services.kernel.db.steps.blocks import GAP, SEEN, Layout, StepBlock


@dataclass(frozen=True, slots=True)
class StepSeries:
    """An indicator of a workload whose steps are written."""

    workload: WorkloadRef
    indicator: str


@dataclass(frozen=True, slots=True)
class StepValues:
    """N values of steps, of the series given with them.

    Attributes:
        series: Number of the series, (N,).
        step_us: Start of the step, (N,).
        value: Value, (N,); not read where unobserved.
        observed: (N,).
    """

    series: I64
    step_us: I64
    value: NDArray[np.float32]
    observed: Mask


def to_blocks(series: Sequence[StepSeries], found: StepValues) -> list[StepBlock]:
    """Rows of the steps that any value is of.

    A row has a place for each indicator of its workload, so that what is written of one later finds
    its place, and workloads with the same names share a layout.

    Args:
        series: The series.
        found: No step of a series twice.
    """
    workloads = {one.workload.id: one.workload for one in series}
    names_of = {id_: tuple(ref.indicators) for id_, ref in workloads.items()}
    for one in series:  # counts that pods add up to have names of their own
        if one.indicator not in names_of[one.workload.id]:
            names_of[one.workload.id] += (one.indicator,)
    by_layout: dict[Layout, list[int]] = defaultdict(list)
    for number, one in enumerate(series):
        by_layout[names_of[one.workload.id]].append(number)
    layout_of = np.zeros(len(series), dtype=np.int64)
    for position, numbers in enumerate(by_layout.values()):
        layout_of[numbers] = position
    ids = np.array([one.workload.id for one in series], dtype=np.int64)
    places = np.array([names_of[s.workload.id].index(s.indicator) for s in series], dtype=np.int64)
    blocks = []
    for position, names in enumerate(by_layout):
        chosen = np.flatnonzero(layout_of[found.series] == position)
        blocks.append(_block(names, ids, places, found, chosen))
    return blocks


def _block(
    names: Layout, ids: I64, places: I64, found: StepValues, chosen: NDArray[np.intp]
) -> StepBlock:
    """The steps of the chosen values, in the order of workloads and time."""
    owner, at_us = ids[found.series[chosen]], found.step_us[chosen]
    order = np.lexsort((at_us, owner))
    chosen, owner, at_us = chosen[order], owner[order], at_us[order]
    is_first = np.ones(len(chosen), dtype=bool)
    is_first[1:] = (owner[1:] != owner[:-1]) | (at_us[1:] != at_us[:-1])
    row, place = np.cumsum(is_first) - 1, places[found.series[chosen]]
    values = np.full((int(is_first.sum()), len(names)), np.nan, dtype=np.float32)
    states = np.zeros(values.shape, dtype=np.uint8)
    observed = found.observed[chosen]
    values[row, place] = np.where(observed, found.value[chosen], np.nan)
    states[row, place] = np.where(observed, SEEN, GAP)
    return StepBlock(names, owner[is_first], at_us[is_first], values, states)
