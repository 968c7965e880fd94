"""An online learner over a whole record of forecasts, as it would have run at the time.

Used to start a new model's learners from its validation forecasts (a warm start) and to measure
what they do: every origin is answered by what was known there, and no more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from forecaster.errors import ShapeError
from forecaster.online.hedge import Experts
from forecaster.online.learner import Learner, LearnerState, Outcome
from forecaster.types import I64, Forecast

StateT = TypeVar("StateT", bound=LearnerState)
GivenT = TypeVar("GivenT", Forecast, Experts)


def replay(
    learner: Learner[StateT, GivenT, Forecast], state: StateT, given: GivenT, outcome: Outcome
) -> tuple[Forecast, StateT]:
    """Answer B forecasts in the order of their origins.

    The forecasts of one origin are answered together, from outcomes of origins at least a horizon
    earlier. After the last origin the remaining outcomes are learned too, so that the state can be
    handed to the next record.

    Args:
        learner: One whose answer is a forecast.
        state: State before the first origin.
        given: B forecasts, one per workload and origin, of workloads of the state.
        outcome: Their outcomes.

    Returns:
        The answers in the order given, and the state after all outcomes.

    Raises:
        ShapeError: If a workload is unknown or has two forecasts at one origin, or there are not B
            outcomes of H steps.
    """
    forecast = given.forecast if isinstance(given, Experts) else given
    rows = _rows(state, forecast, outcome)
    order = np.lexsort((rows, forecast.origin_s))
    times, first = np.unique(forecast.origin_s[order], return_index=True)
    batches = np.split(order, first[1:])[: times.size]
    lead_s = forecast.horizon * forecast.step_s
    quantiles, paths = np.empty_like(forecast.quantiles), np.empty_like(forecast.paths)

    def learned(before: StateT, batch: I64) -> StateT:
        part = given.rows(batch)
        # The hedge compares its experts; calibration corrects what it issued itself.
        if isinstance(part, Forecast):
            part = replace(part, quantiles=quantiles[batch], paths=paths[batch])
        after = learner.observe(before.rows(rows[batch]), part, outcome.rows(batch))
        return before.with_rows(rows[batch], after)

    n_learned = 0
    for time, batch in zip(times, batches, strict=True):
        while times[n_learned] + lead_s <= time:
            state = learned(state, batches[n_learned])
            n_learned += 1
        answer = learner.apply(state.rows(rows[batch]), given.rows(batch))
        quantiles[batch], paths[batch] = answer.quantiles, answer.paths
    for batch in batches[n_learned:]:
        state = learned(state, batch)
    return replace(forecast, quantiles=quantiles, paths=paths), state


def _rows(state: LearnerState, forecast: Forecast, outcome: Outcome) -> I64:
    """Row of each forecast in the state, `(B,)`."""
    right = (len(forecast), forecast.horizon)
    if outcome.actual.shape != right:
        raise ShapeError(f"outcomes have shape {outcome.actual.shape}; {right} is right")
    place = {workload: i for i, workload in enumerate(state.workloads)}
    unknown = sorted(set(forecast.workloads) - place.keys())
    if unknown:
        raise ShapeError(f"the state holds no workload {unknown[0]!r}")
    rows = np.array([place[workload] for workload in forecast.workloads], dtype=np.int64)
    if np.unique(np.stack([rows, forecast.origin_s]), axis=1).shape[1] != len(forecast):
        raise ShapeError("a workload has two forecasts at one origin; one is right")
    return rows
