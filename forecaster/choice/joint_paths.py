"""Joint paths of all loads that bind a replica: the demand, and the further loads of a workload.

The demand's values at a step are those of its forecast, calibration included. A trained joint flow
says which path gets which value; the demand's own are dealt out anew too, and its distribution at
each step is what it was. Where nothing is known of how the loads go together, the further ones rank
as the demand does, all high at once: cautious where they share a resource, but not where the
tightest alone binds, since loads that peak at different times make that happen more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from forecaster.choice.baselines import POOLS, pool_quantiles
from forecaster.choice.ladder import MODEL_RUNG, TRAINED_RUNGS, Ladder
from forecaster.errors import ShapeError
from forecaster.joint import JointModel, row_chunks
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
    asked = _Asked(ladder, windows, further, forecast)
    loads = asked.loads()
    found = asked.sampled(asked.joint_rows(loads), rng)
    found |= asked.ranked([load for load in loads if load.row not in found], rng)
    return tuple(found.get(row) for row in range(len(windows)))


def further_quantiles(
    ladder: Ladder,
    windows: Windows,
    further: Sequence[tuple[str, ...]],
    forecast: Forecast,
) -> tuple[F32 | None, ...]:
    """Quantiles `(F, Q, H)` of the further loads of every row, at the forecast's levels.

    They are what the paths of `joint_paths`, which has the same arguments, are drawn from; None in
    the same rows.
    """
    asked = _Asked(ladder, windows, further, forecast)
    loads = asked.loads()
    found: list[F32 | None] = [None] * len(windows)
    if loads:
        quantiles, row = asked.quantiles(loads), np.array([load.row for load in loads])
        for i in np.unique(row):
            found[i] = quantiles[row == i]
    return tuple(found)


class _Load(NamedTuple):
    """A further load: row and column of the windows, and the rung that answers for it."""

    row: int
    column: int
    rung: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `joint_paths` was asked."""

    ladder: Ladder
    windows: Windows
    further: Sequence[tuple[str, ...]]
    forecast: Forecast

    def loads(self) -> list[_Load]:
        """Further loads of the rows that can be answered, row by row.

        Each has the demand's rung; the model must be one that could answer for both.
        """
        at = [(row, k) for row in range(len(self.windows)) for k in self._columns(row)]
        aimed = self._aimed(at)
        found = []
        for i, (row, column) in enumerate(at):
            rung = self.forecast.rung[row]
            if rung in TRAINED_RUNGS:
                rung, _ = self.ladder.choose(aimed, i)
            elif rung not in POOLS:
                rung = self.ladder.pick(aimed.workloads[i])
            found.append(_Load(row, column, rung))
        return found

    def _columns(self, row: int) -> list[int]:
        """Columns of a row's further loads; none where one of them cannot be forecast."""
        own, names = self.windows.indicators[row], self.further[row]
        if not set(names) <= set(own):
            return []
        at = [own.index(name) for name in names]
        is_seen = self.windows.observed[row][:, at].any(axis=0)
        return at if (is_seen & ~self.windows.known_ahead[row, at]).all() else []

    def _aimed(self, at: Sequence[tuple[int, int]]) -> Windows:
        """A window for each row and column, whose demand is that column."""
        row, column = np.array(at, dtype=np.int64).reshape(-1, 2).T
        return replace(self.windows.rows(row), demand_index=column)

    def joint_rows(self, loads: Sequence[_Load]) -> I64:
        """Rows whose loads the model answers for, and of which it knows how they go together."""
        model = self.ladder.model
        if model is None or model.joint is None:
            return np.zeros(0, dtype=np.int64)
        others = {load.row for load in loads if load.rung != MODEL_RUNG}
        rows = {load.row for load in loads if model.joint.knows(self.further[load.row])}
        return np.array(sorted(rows - others), dtype=np.int64)

    def sampled(self, rows: I64, rng: np.random.Generator) -> dict[int, JointPaths]:
        """Paths from the joint flow; a row is left out where they are not finite."""
        found: dict[int, JointPaths] = {}
        model, levels = self.ladder.model, self.forecast.quantile_levels
        if model is None or model.joint is None:
            return found
        n_paths, horizon = self.forecast.paths.shape[1:]
        joint = JointModel(model, model.joint.flow)
        for at in row_chunks(rows.size):
            windows, names = self.windows.rows(rows[at]), [self.further[row] for row in rows[at]]
            one = joint.sample(windows, model.joint.slots(windows, names), n_paths, rng, 1)
            scores = one.scores[..., :horizon]
            demand = dealt(self.forecast.paths[rows[at]], scores[:, :, 0])
            values = []
            for g in range(1, scores.shape[2]):
                quantiles, points = (
                    one.quantiles[:, g, :, :horizon],
                    stratified(n_paths, horizon, rng),
                )
                values.append(paths_by_rank(quantiles, levels, scores[:, :, g], points))
            further = np.stack(values, axis=1)
            is_finite = np.isfinite(further).all(axis=(1, 2, 3))
            is_finite &= np.isfinite(scores).all(axis=(1, 2, 3))
            for i in np.flatnonzero(is_finite):
                blocks = [model.joint.further.index(name) for name in names[i]]
                found[int(rows[at[i]])] = JointPaths(demand[i], further[i, blocks], is_joint=True)
        return found

    def ranked(self, loads: Sequence[_Load], rng: np.random.Generator) -> dict[int, JointPaths]:
        """Paths of further loads that rank as the demand does, by the rung that answered for it."""
        if not loads:
            return {}
        row = np.array([load.row for load in loads])
        n_paths, horizon = self.forecast.paths.shape[1:]
        points = stratified(n_paths, horizon, rng)
        ranks, levels = self.forecast.paths[row], self.forecast.quantile_levels
        values = paths_by_rank(self.quantiles(loads), levels, ranks, points)
        return {
            int(i): JointPaths(self.forecast.paths[i], values[row == i], is_joint=False)
            for i in np.unique(row)
        }

    def quantiles(self, loads: Sequence[_Load]) -> F32:
        """Quantiles `(P, Q, H)` of further loads, each by its rung."""
        levels, horizon = self.forecast.quantile_levels, self.forecast.horizon
        found = np.empty((len(loads), levels.size, horizon), dtype=np.float32)
        names = np.array([load.rung for load in loads], dtype=object)
        for rung in TRAINED_RUNGS:
            at_rung = np.flatnonzero(names == rung)
            if at_rung.size == 0:
                continue
            found[at_rung] = self._of_trained(rung, [load for load in loads if load.rung == rung])
            for i in at_rung[~np.isfinite(found[at_rung]).all(axis=(1, 2))]:
                names[i] = self.ladder.pick(self.windows.workloads[loads[int(i)].row])
        for name in sorted({*names} - {*TRAINED_RUNGS}):
            at = np.flatnonzero(names == name)
            aimed = self._aimed(
                [load[:2] for load, own in zip(loads, names, strict=True) if own == name]
            )
            window = self.ladder.simple.window
            found[at] = pool_quantiles(name, aimed, horizon, window, tuple(levels))
        return found

    def _of_trained(self, rung: str, loads: Sequence[_Load]) -> F32:
        """Quantiles `(P, Q, H)` of the model or the prior, >= 0.

        A model that was trained on further loads knows them beside the demand; for any other they
        must be the demand.
        """
        model = self.ladder.trained(rung)
        windows = self._aimed([load[:2] for load in loads])
        targets = windows.demand_index[:, None]
        if model.joint is not None:
            windows = self.windows.rows([load.row for load in loads])
        own = model.quantiles_of(windows, targets)[:, 0, :, : self.forecast.horizon]
        return np.maximum(own, np.float32(0))


def dealt(values: F32, scores: F32) -> F32:
    """The values of each step, dealt out so that they rank along S as the scores do.

    Args:
        values: `(B, S, H)`.
        scores: `(B, S, H)`.
    """
    found = np.empty_like(values)
    np.put_along_axis(found, np.argsort(scores, axis=1), np.sort(values, axis=1), axis=1)
    return found
