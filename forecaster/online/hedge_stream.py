"""The hedge over a whole record of forecasts, as it would have run at the time."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from forecaster.errors import ShapeError
from forecaster.online.hedge import PER_WORKLOAD, HedgeConfig, HedgeState, learned, mixed
from forecaster.types import F32, F64, I64, Bool


def hedge_stream(  # noqa: PLR0913 - one record of forecasts, column by column
    experts: tuple[F32, F32],
    actual: F32,
    observed: Bool,
    workloads: I64,
    origins: I64,
    levels: F64,
    state: HedgeState,
    config: HedgeConfig | None = None,
) -> tuple[F32, HedgeState]:
    """Hedge B forecasts in the order of their origins.

    Those of one origin are hedged together, by outcomes of origins at least H steps earlier. After
    the last origin the remaining outcomes are learned too, so that the state can be handed to the
    next record.

    Args:
        experts: Quantiles `(B, Q, H)` of the forecast and of the last value.
        actual: `(B, H)`.
        observed: `(B, H)`.
        workloads: `(B,)` index into the state's workloads.
        origins: `(B,)` steps on a clock that all workloads share; one forecast per workload and
            origin.
        levels: `(Q,)`.
        state: State before the first origin.
        config: How fast weights move.

    Returns:
        Hedged quantiles in the order given, and the state after all outcomes.

    Raises:
        ShapeError: If the columns do not fit each other.
    """
    _check(experts, actual)
    record = _Record(experts, actual, observed, workloads, levels)
    horizon = actual.shape[1]
    state = replace(state, **{name: getattr(state, name).copy() for name in PER_WORKLOAD})
    issued = np.empty_like(experts[0], dtype=np.float32)
    order = np.lexsort((workloads, origins))
    times, first = np.unique(origins[order], return_index=True)
    batches = np.split(order, first[1:])[: times.size]
    n_learned = 0
    for time, batch in zip(times, batches, strict=True):
        while times[n_learned] + horizon <= time:
            _learn(record, batches[n_learned], int(times[n_learned]), state, config)
            n_learned += 1
        own = state.rows(workloads[batch])
        issued[batch] = mixed(experts[0][batch], experts[1][batch], own, levels, config)
    for n in range(n_learned, len(batches)):
        _learn(record, batches[n], int(times[n]), state, config)
    return issued, state


class _Record(NamedTuple):
    """Columns of one record of forecasts, as `hedge_stream` takes them."""

    experts: tuple[F32, F32]
    actual: F32
    observed: Bool
    workloads: I64
    levels: F64


def _learn(
    record: _Record, batch: I64, step: int, state: HedgeState, config: HedgeConfig | None
) -> None:
    """Learn the outcomes of one origin into the arrays of `state`, which this module owns."""
    at = record.workloads[batch]
    said = (record.experts[0][batch], record.experts[1][batch])
    happened = (record.actual[batch], record.observed[batch])
    after = learned(state.rows(at), said, *happened, step, record.levels, config)
    for name in PER_WORKLOAD:
        getattr(state, name)[at] = getattr(after, name)


def _check(experts: tuple[F32, F32], actual: F32) -> None:
    n_rows, _, horizon = experts[0].shape
    if experts[1].shape != experts[0].shape or actual.shape != (n_rows, horizon):
        raise ShapeError(
            f"experts {experts[0].shape}, {experts[1].shape} and actual {actual.shape} must be "
            "(B, Q, H), (B, Q, H) and (B, H)"
        )
