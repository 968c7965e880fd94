"""Online calibration of a whole record of forecasts, as it would have run at the time.

Used to start a new model's calibration from its validation forecasts (a warm start) and to measure
what calibration does: every origin is corrected by what was known there, and no more.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np

from forecaster.errors import ShapeError
from forecaster.online.calibration import CalibrationConfig, CalibrationState, corrected, learned
from forecaster.types import F32, I64, Bool


def calibrate_stream(  # noqa: PLR0913 - one record of forecasts, column by column
    quantiles: F32,
    actual: F32,
    observed: Bool,
    workloads: I64,
    origins: I64,
    horizon: int,
    state: CalibrationState,
    config: CalibrationConfig | None = None,
) -> tuple[F32, CalibrationState]:
    """Calibrate B forecasts in the order of their origins.

    The forecasts of one origin are calibrated together, by outcomes of origins at least `horizon`
    steps earlier. After the last origin the remaining outcomes are learnt too, so that the state
    can be handed to the next record.

    Args:
        quantiles: `(B, Q, H)` as the predictor made them.
        actual: `(B, H)`.
        observed: `(B, H)`.
        workloads: `(B,)` index into the state's workloads.
        origins: `(B,)` steps on a clock that all workloads share; one forecast per workload and
            origin.
        horizon: Steps after which a forecast's outcomes are known, H or more.
        state: State before the first origin.
        config: Rates and limits.

    Returns:
        Calibrated quantiles in the order given, and the state after all outcomes.
    """
    record = _Record(quantiles, actual, observed, workloads, origins)
    _check(record, horizon, state)
    state = replace(state, **{k: getattr(state, k).copy() for k in _PER_WORKLOAD})
    issued = np.empty_like(quantiles, dtype=np.float32)
    order = np.lexsort((workloads, origins))
    times, first = np.unique(origins[order], return_index=True)
    batches = np.split(order, first[1:])[: times.size]
    n_learnt = 0
    for time, batch in zip(times, batches, strict=True):
        while times[n_learnt] + horizon <= time:
            _learn(state, issued, record, batches[n_learnt], config)
            n_learnt += 1
        issued[batch] = corrected(quantiles[batch], state.rows(workloads[batch]))
    for batch in batches[n_learnt:]:
        _learn(state, issued, record, batch, config)
    return issued, state


class _Record(NamedTuple):
    """Columns of one record of forecasts, as `calibrate_stream` takes them."""

    quantiles: F32
    actual: F32
    observed: Bool
    workloads: I64
    origins: I64


_PER_WORKLOAD = tuple(
    f.name for f in fields(CalibrationState) if f.name not in ("workloads", "levels")
)


def _learn(
    state: CalibrationState,
    issued: F32,
    record: _Record,
    batch: I64,
    config: CalibrationConfig | None,
) -> None:
    """Learn one batch into the arrays of `state`, which this module owns."""
    at = record.workloads[batch]
    after = learned(
        state.rows(at), issued[batch], record.actual[batch], record.observed[batch], config
    )
    for name in _PER_WORKLOAD:
        getattr(state, name)[at] = getattr(after, name)


def _check(record: _Record, horizon: int, state: CalibrationState) -> None:
    quantiles, actual, observed, workloads, origins = record
    n_rows, n_levels, n_steps = quantiles.shape
    if n_levels != state.levels.size or actual.shape != (n_rows, n_steps):
        raise ShapeError(
            f"quantiles {quantiles.shape} and actual {actual.shape} must be (B, Q, H) and (B, H) "
            f"with Q={state.levels.size}"
        )
    if observed.shape != actual.shape or not workloads.shape == origins.shape == (n_rows,):
        raise ShapeError(
            f"observed {observed.shape}, workloads {workloads.shape} and origins {origins.shape} "
            f"must be (B, H), (B,) and (B,) with B={n_rows} and H={n_steps}"
        )
    if horizon < n_steps:
        raise ShapeError(f"horizon={horizon} must be >= {n_steps}, the steps of each forecast")
    if n_rows and not 0 <= workloads.min() <= workloads.max() < len(state.workloads):
        raise ShapeError(f"workloads must be in 0..{len(state.workloads) - 1}")
    if np.unique(np.stack([workloads, origins]), axis=1).shape[1] != n_rows:
        raise ShapeError("a workload has two forecasts at one origin; one is right")
