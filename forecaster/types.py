"""The values that enter and leave the forecaster.

Shape letters: B batch, C context steps, D indicators, H horizon, S sample paths, Q quantile
levels, N seasonal lags, M steps per seasonal block. Times are epoch seconds; `step` is the START
of a bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import (
    IrregularSteps,
    ShapeError,
    UnknownDemand,
    UnknownLevel,
    UnknownLoad,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

LEVELS = (1, 2, 3)
"""Hierarchy levels: service, container, hardware. 0 marks padding."""


def _not_given() -> Any:
    return np.zeros(0)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ShapeError(message)


def _rows(value: Any, index: Sequence[int] | I64, shared: Sequence[str]) -> dict[str, Any]:
    """Fields of `value` at rows `index`; those in `shared` are the same for all rows."""
    at = np.asarray(index, dtype=np.int64)
    parts = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in shared}
    return {
        name: tuple(part[i] for i in at) if isinstance(part, tuple) else part[at]
        for name, part in parts.items()
    }


@dataclass(frozen=True, slots=True)
class Series:
    """One workload's history on the step grid.

    Args:
        workload: Stable name or id of the workload.
        values: `(T, D)` raw values; what stands where `observed` is false is never read.
        observed: `(T, D)`; a gap is false, never a zero.
        indicators: D names.
        levels: D hierarchy levels, each in 1..3.
        demand_index: Which indicator is the demand.
        start_s: Epoch seconds of step 0.
        step_s: Step length, seconds.
        known_ahead: D flags, all false when not given: the values of such an indicator (a campaign
            calendar, a batch schedule) are known before their time, so a window also reads the
            steps of its horizon. The demand is never one.
        further: Columns of the further loads: besides the demand, what binds a replica.

    Non-finite values, and negative values of a load, are masked: they count as unobserved.

    Raises:
        ShapeError, UnknownLevel, UnknownDemand, UnknownLoad, IrregularSteps: At construction.
    """

    workload: str
    values: F32
    observed: Bool
    indicators: tuple[str, ...]
    levels: tuple[int, ...]
    demand_index: int
    start_s: int
    step_s: int
    known_ahead: tuple[bool, ...] = ()
    further: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check shapes, then mask what cannot be a measurement."""
        values = np.asarray(self.values)
        n_indicators = len(self.indicators)
        _require(
            values.ndim == 2 and values.shape[1] == n_indicators and n_indicators > 0,
            f"values of {self.workload!r} has shape {values.shape}; "
            f"(T, {n_indicators}) with at least one indicator is right",
        )
        _require(
            np.shape(self.observed) == values.shape,
            f"observed of {self.workload!r} has shape {np.shape(self.observed)}, "
            f"values has {values.shape}; they must be equal",
        )
        if len(self.levels) != n_indicators or any(v not in LEVELS for v in self.levels):
            raise UnknownLevel(
                f"levels={self.levels!r} of {self.workload!r} must be {n_indicators} values of 1..3"
            )
        if not 0 <= self.demand_index < n_indicators:
            raise UnknownDemand(
                f"demand_index={self.demand_index} of {self.workload!r} is outside "
                f"0..{n_indicators - 1}"
            )
        self._check_known_ahead()
        self._check_further()
        if self.step_s <= 0:
            raise IrregularSteps(f"step_s={self.step_s} of {self.workload!r} must be > 0")
        if self.start_s % self.step_s:
            raise IrregularSteps(
                f"start_s={self.start_s} of {self.workload!r} is off the grid of {self.step_s} s"
            )
        self._mask(values)

    def _check_known_ahead(self) -> None:
        n_indicators = len(self.indicators)
        known_ahead = tuple(bool(flag) for flag in self.known_ahead) or (False,) * n_indicators
        _require(
            len(known_ahead) == n_indicators,
            f"known_ahead={self.known_ahead!r} of {self.workload!r} must be {n_indicators} flags",
        )
        if known_ahead[self.demand_index]:
            raise UnknownDemand(
                f"known_ahead={self.known_ahead!r} of {self.workload!r} must be false for the "
                f"demand {self.indicators[self.demand_index]!r}: it is what is forecast"
            )
        object.__setattr__(self, "known_ahead", known_ahead)

    def _check_further(self) -> None:
        taken = {self.demand_index, *np.flatnonzero(self.known_ahead).tolist()}
        free = [k for k in range(len(self.indicators)) if k not in taken]
        if len(set(self.further)) < len(self.further) or not set(self.further) <= set(free):
            raise UnknownLoad(
                f"further={self.further!r} of {self.workload!r} must be different columns of "
                f"{free}: neither the demand nor known ahead"
            )

    def _mask(self, values: NDArray[np.generic]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            raw = values.astype(np.float32)
        seen = np.array(self.observed, dtype=bool) & np.isfinite(raw)
        loads = [self.demand_index, *self.further]
        seen[:, loads] &= raw[:, loads] >= 0
        object.__setattr__(self, "values", np.where(seen, raw, np.float32(0)))
        object.__setattr__(self, "observed", seen)

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return int(self.values.shape[0])

    @property
    def last_s(self) -> int:
        """Epoch seconds of the newest step."""
        return self.start_s + (self.n_steps - 1) * self.step_s

    def head(self, n_steps: int) -> Series:
        """The first `n_steps` steps; none where the number is below zero."""
        n_kept = max(n_steps, 0)  # a negative end would keep the beginning of what is held out
        return replace(self, values=self.values[:n_kept], observed=self.observed[:n_kept])


def series_from_rows(
    workload: str,
    step_at_s: Sequence[int] | I64,
    values: F32 | F64,
    indicators: tuple[str, ...],
    levels: tuple[int, ...],
    demand: str,
) -> Series:
    """Make a series from timestamped rows, refusing an irregular grid.

    Args:
        workload: Name of the workload.
        step_at_s: `(T,)` epoch seconds, strictly increasing by one constant step.
        values: `(T, D)`; NaN is a gap.
        indicators: D names.
        levels: D levels.
        demand: Name of the demand indicator.

    Raises:
        IrregularSteps: If the timestamps are not an increasing regular grid of >= 2 steps.
        UnknownDemand: If `demand` is not in `indicators`.
    """
    times = np.asarray(step_at_s, dtype=np.int64)
    gaps = np.diff(times)
    if times.size < 2 or gaps[0] <= 0 or np.any(gaps != gaps[0]):
        wrong = int(np.argmax(gaps != gaps[0])) + 1 if times.size >= 2 else 0
        raise IrregularSteps(
            f"step_at of {workload!r} is not an increasing regular grid "
            f"(first irregular row {wrong} of {times.size})"
        )
    if demand not in indicators:
        raise UnknownDemand(f"demand={demand!r} of {workload!r} is not one of {indicators}")
    array = np.asarray(values)
    return Series(
        workload,
        array.astype(np.float32),
        np.isfinite(array),
        indicators,
        levels,
        indicators.index(demand),
        int(times[0]),
        int(gaps[0]),
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """A padded batch of contexts, one row per workload and origin.

    Args:
        workloads: B names.
        indicators: B tuples of names (as many as that row has; the rest of D is padding).
        values: `(B, C, D)`, oldest step first, the last one is the origin.
        observed: `(B, C, D)`.
        season_values: `(B, N, M, D)` blocks around the same time one or more days ago, where
            M = season past + horizon; entry `past - 1 + h` lies one lag before step `origin + h`.
        season_observed: `(B, N, M, D)`.
        levels: `(B, D)`; 0 marks padding.
        demand_index: `(B,)`.
        origin_s: `(B,)` epoch seconds of the last complete step.
        step_s: Step length, seconds.
        future_values: `(B, H, D)` steps `origin + 1 .. origin + H` of the indicators known ahead,
            zero for all others. H is 0 when not given: nothing is known ahead.
        future_observed: `(B, H, D)`, false for all others.
        known_ahead: `(B, D)`, which indicators are known ahead; all false when not given.
    """

    workloads: tuple[str, ...]
    indicators: tuple[tuple[str, ...], ...]
    values: F32
    observed: Bool
    season_values: F32
    season_observed: Bool
    levels: I64
    demand_index: I64
    origin_s: I64
    step_s: int
    future_values: F32 = field(default_factory=_not_given)
    future_observed: Bool = field(default_factory=_not_given)
    known_ahead: Bool = field(default_factory=_not_given)

    def __post_init__(self) -> None:
        """Check that all shapes agree."""
        n_rows = len(self.workloads)
        _require(self.values.ndim == 3, f"values has shape {self.values.shape}; (B, C, D) is right")
        n_indicators = self.values.shape[2]
        _require(
            self.values.shape[0] == n_rows == len(self.indicators),
            f"{n_rows} workloads, {len(self.indicators)} indicator sets and "
            f"{self.values.shape[0]} rows of values; all must be B",
        )
        _require(self.observed.shape == self.values.shape, "observed must have values' shape")
        _require(
            self.season_values.ndim == 4
            and self.season_values.shape[0] == n_rows
            and self.season_values.shape[3] == n_indicators
            and self.season_observed.shape == self.season_values.shape,
            f"season_values has shape {self.season_values.shape}; "
            f"({n_rows}, N, M, {n_indicators}) is right",
        )
        _require(
            self.levels.shape == (n_rows, n_indicators)
            and self.demand_index.shape == (n_rows,)
            and self.origin_s.shape == (n_rows,),
            "levels must be (B, D), demand_index and origin_s (B,)",
        )
        self._check_known_ahead()

    def _check_known_ahead(self) -> None:
        n_rows, _, n_indicators = self.values.shape
        for name, kind, shape in (
            ("future_values", np.float32, (n_rows, 0, n_indicators)),
            ("future_observed", bool, (n_rows, 0, n_indicators)),
            ("known_ahead", bool, (n_rows, n_indicators)),
        ):
            if getattr(self, name).ndim == 1:  # not given
                object.__setattr__(self, name, np.zeros(shape, dtype=kind))
        ahead, width = self.future_values.shape, self.season_values.shape[2]
        _require(
            len(ahead) == 3
            and ahead[::2] == (n_rows, n_indicators)
            and self.future_observed.shape == ahead
            and ahead[1] < width,
            f"future_values has shape {ahead}, future_observed {self.future_observed.shape}; "
            f"both must be ({n_rows}, H, {n_indicators}) with H < M={width}",
        )
        _require(
            self.known_ahead.shape == (n_rows, n_indicators),
            f"known_ahead has shape {self.known_ahead.shape}; ({n_rows}, {n_indicators}) is right",
        )
        leaks = self.future_observed & ~self.known_ahead[:, None]
        _require(
            not leaks.any(),
            f"future_observed is true in {int(leaks.sum())} steps of indicators that are not "
            "known_ahead; their future must stay unobserved",
        )
        is_known = np.take_along_axis(self.known_ahead, self.demand_index[:, None], axis=1)
        if is_known.any():
            raise UnknownDemand(
                f"known_ahead of {self.workloads[int(is_known.argmax())]!r} is true for its demand "
                f"(demand_index={int(self.demand_index[int(is_known.argmax())])}); it must be false"
            )

    def __len__(self) -> int:
        """Number of rows B."""
        return len(self.workloads)

    def rows(self, index: Sequence[int] | I64) -> Self:
        """The rows at `index`, in that order."""
        return replace(self, **_rows(self, index, ("step_s",)))

    def demand(self) -> tuple[F32, Bool]:
        """The demand's context and mask, each `(B, C)`."""
        at = self.demand_index[:, None, None]
        values = np.take_along_axis(self.values, at, axis=2)[..., 0]
        return values, np.take_along_axis(self.observed, at, axis=2)[..., 0]

    def season_demand(self) -> tuple[F32, Bool]:
        """The demand's seasonal blocks and mask, each `(B, N, M)`."""
        at = self.demand_index[:, None, None, None]
        values = np.take_along_axis(self.season_values, at, axis=3)[..., 0]
        return values, np.take_along_axis(self.season_observed, at, axis=3)[..., 0]

    def is_young(self) -> Bool:
        """`(B,)` whether nothing of the demand at the same time on an earlier day is known."""
        return np.asarray(~self.season_demand()[1].any(axis=(1, 2)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predictive distributions of the demand, in its raw unit.

    Args:
        workloads: B names.
        origin_s: `(B,)`; the forecast covers `origin_s + h * step_s`, h = 1..H.
        step_s: Step length, seconds.
        quantile_levels: `(Q,)` increasing.
        quantiles: `(B, Q, H)`, increasing along Q, >= 0.
        paths: `(B, S, H)` joint sample paths, >= 0.
        model: Name and version of the predictor.
        rung: B names of the ladder rung that answered.
        reasons: B reasons for that rung; empty where the first rung answered.
    """

    workloads: tuple[str, ...]
    origin_s: I64
    step_s: int
    quantile_levels: F64
    quantiles: F32
    paths: F32
    model: str
    rung: tuple[str, ...]
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check shapes, order and finiteness; a NaN never leaves the forecaster."""
        n_rows, n_levels = len(self.workloads), self.quantile_levels.size
        _require(
            self.quantiles.ndim == 3 and self.quantiles.shape[:2] == (n_rows, n_levels),
            f"quantiles has shape {self.quantiles.shape}; ({n_rows}, {n_levels}, H) is right",
        )
        _require(
            self.paths.ndim == 3
            and self.paths.shape[0] == n_rows
            and self.paths.shape[2] == self.quantiles.shape[2],
            f"paths has shape {self.paths.shape}; "
            f"({n_rows}, S, {self.quantiles.shape[2]}) is right",
        )
        _require(len(self.rung) == n_rows == len(self.reasons), "rung and reasons must have B rows")
        _require(
            bool(np.isfinite(self.quantiles).all() and np.isfinite(self.paths).all()),
            "quantiles and paths must be finite",
        )
        _require(
            bool((np.diff(self.quantiles, axis=1) >= 0).all()), "quantiles must increase along Q"
        )

    def __len__(self) -> int:
        """Number of rows B."""
        return len(self.workloads)

    def rows(self, index: Sequence[int] | I64) -> Self:
        """The rows at `index`, in that order."""
        return replace(self, **_rows(self, index, ("step_s", "quantile_levels", "model")))

    @property
    def horizon(self) -> int:
        """Steps ahead H."""
        return int(self.quantiles.shape[2])
