"""Joint paths of all loads that bind a replica: the demand, and the further loads of a workload.

The demand's values at a step are those of its forecast, calibration included. Where nothing is
known of how the loads go together, the further ones are ranked as the demand is: all high at once,
the cautious assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecaster.choice.baselines import POOLS, pool_quantiles
from forecaster.choice.ladder import MODEL_RUNG, Ladder
from forecaster.errors import ShapeError
from forecaster.predict import paths_by_rank, stratified
from forecaster.types import F32, I64, Forecast, Windows


@dataclass(frozen=True, slots=True, eq=False)
class JointPaths:
    """Paths of all loads of one workload; path s of one belongs to path s of the others.

    Args:
        demand: `(S, H)`; per step the S values of the forecast.
        further: `(F, S, H)` in the order that the loads were named, raw units, >= 0.
        is_joint: Whether the model says how they go together; else all rank as the demand does.
    """

    demand: F32
    further: F32
    is_joint: bool


def joint_paths(
    ladder: Ladder,
    windows: Windows,
    further: Sequence[tuple[str, ...]],
    forecast: Forecast,
    rng: np.random.Generator,
) -> tuple[JointPaths | None, ...]:
    """Paths of the demand and the further loads of every row.

    Args:
        ladder: What the forecast is from.
        windows: B windows.
        further: B tuples of indicators, the further loads of each row.
        forecast: The forecast of these windows, row by row; it may be calibrated.
        rng: Source of all randomness.

    Returns:
        B answers; None where a row has no further load, or one that is not an indicator of the
        window, is known ahead or was not observed once in the context.

    Raises:
        ShapeError: If the three are not of the same rows.
    """
    if not len(further) == len(windows) or forecast.workloads != windows.workloads:
        raise ShapeError(
            f"{len(windows)} windows, {len(further)} sets of further loads and a forecast of "
            f"{len(forecast)} workloads must be of the same workloads in order"
        )
    found: list[JointPaths | None] = [None] * len(windows)
    columns = {
        row: at for row, names in enumerate(further) if (at := _columns(windows, row, names))
    }
    if not columns:
        return tuple(found)
    loads = _Loads.of(columns)
    values = _ranked_as_the_demand(ladder, windows, loads, forecast, rng)
    for row in columns:
        found[row] = JointPaths(forecast.paths[row], values[loads.row == row], is_joint=False)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Loads:
    """Further loads of several rows, one after the other: `(P,)` row and column of each."""

    row: I64
    column: I64

    @classmethod
    def of(cls, columns: dict[int, list[int]]) -> _Loads:
        pairs = [(row, column) for row, at in columns.items() for column in at]
        row, column = np.array(pairs, dtype=np.int64).T
        return cls(row, column)


def _columns(windows: Windows, row: int, names: tuple[str, ...]) -> list[int]:
    """Columns of a row's further loads; none where one of them cannot be forecast."""
    own = windows.indicators[row]
    if not set(names) <= set(own):
        return []
    at = [own.index(name) for name in names]
    is_seen = windows.observed[row][:, at].any(axis=0) & ~windows.known_ahead[row, at]
    return at if is_seen.all() else []


def _ranked_as_the_demand(
    ladder: Ladder, windows: Windows, loads: _Loads, forecast: Forecast, rng: np.random.Generator
) -> F32:
    """Paths `(P, S, H)` of further loads by the rung that answered for the demand."""
    aimed = replace(windows.rows(loads.row), demand_index=loads.column)
    quantiles = _quantiles(ladder, aimed, [forecast.rung[row] for row in loads.row], forecast)
    n_paths, horizon = forecast.paths.shape[1:]
    points = stratified(n_paths, horizon, rng)
    ranks = forecast.paths[loads.row]
    return paths_by_rank(quantiles, forecast.quantile_levels, ranks, points)


def _quantiles(ladder: Ladder, aimed: Windows, rungs: Sequence[str], forecast: Forecast) -> F32:
    """Quantiles `(P, Q, H)` of the loads that windows are aimed at, each by its rung.

    The model answers for a load that it could answer for were it the demand.
    """
    levels, horizon = forecast.quantile_levels, forecast.horizon
    chosen = [
        ladder.choose(aimed, i)[0] if rung == MODEL_RUNG else rung for i, rung in enumerate(rungs)
    ]
    quantiles = np.empty((len(aimed), levels.size, horizon), dtype=np.float32)
    at_model = np.flatnonzero([rung == MODEL_RUNG for rung in chosen])
    if ladder.model is not None and at_model.size:
        rows = aimed.rows(at_model)
        own = ladder.model.quantiles_of(rows, rows.demand_index[:, None])[:, 0, :, :horizon]
        quantiles[at_model] = np.maximum(own, np.float32(0))
        for i in at_model[~np.isfinite(own).all(axis=(1, 2))]:
            chosen[i] = ladder.pick(aimed.workloads[i])
    names = [
        r if r in POOLS or r == MODEL_RUNG else ladder.pick(w)
        for r, w in zip(chosen, aimed.workloads, strict=True)
    ]
    for name in sorted({*names} - {MODEL_RUNG}):
        at = np.flatnonzero([one == name for one in names])
        rows, config = aimed.rows(at), ladder.simple.window
        quantiles[at] = pool_quantiles(name, rows, horizon, config, tuple(levels))
    return quantiles
