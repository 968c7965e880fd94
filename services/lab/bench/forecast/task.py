"""One forecasting benchmark: which series, which split, which targets, in which unit.

Every forecaster of a benchmark gets the same `BenchTask`: histories cut in time order into train,
validation and test, the same test origins, the same targets. A task is a fact about the data; it
holds no forecaster's settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from forecaster.choice.comparison import thin
from forecaster.config import ForecasterConfig, WindowConfig
from forecaster.dataset import Origins, actuals, origins_between
from forecaster.scaling import series_scale
from forecaster.types import Series, series_from_rows
from services.kernel.clock import make_rng
from services.simulator.fleet import TraceError
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray, IntArray
from services.simulator.fleet.resample import aligned, panel
from services.simulator.fleet.trace_file import TraceFile
from services.simulator.measurements import ColumnChoice, read_file

TRAIN_RATIO = 0.7
VALIDATION_RATIO = 0.1
MIN_STEPS = 600
"""Fewest steps of a workload: below it the test part is an anecdote."""
MIN_DEMAND_SEEN = 0.5


class Protocol(StrEnum):
    """Targets of the forecasts, and the unit that errors are counted in.

    `fisher-h1` and `fisher-h12` follow the HARMONY paper (arXiv 2408.01000, section V): every
    original indicator is a target, 144 steps of context, errors in units of the range of the first
    70 % (MinMax scaling), every test window. `panel` forecasts the demand 12 steps ahead, in units
    of its mean absolute deviation over the training part.
    """

    FISHER_H1 = "fisher-h1"
    FISHER_H12 = "fisher-h12"
    PANEL = "panel"

    @property
    def horizon(self) -> int:
        """Steps ahead H."""
        return 1 if self is Protocol.FISHER_H1 else 12

    @property
    def has_all_targets(self) -> bool:
        """Check whether every indicator is forecast, not the demand alone."""
        return self is not Protocol.PANEL


@dataclass(frozen=True, slots=True)
class Truth:
    """Measurements after a set of origins, G targets each.

    Attributes:
        actual: (B, G, H) raw values, zero where unobserved.
        observed: (B, G, H).
    """

    actual: F32Array
    observed: BoolArray


@dataclass(frozen=True, slots=True)
class BenchTask:
    """A benchmark's data.

    Attributes:
        data: Name of the file, without folder and ending.
        protocol: See `Protocol`.
        series: W whole histories.
        train_ends: First validation step per series.
        validation_ends: First test step per series.
        targets: (W, G) indicator index per target; -1 where a workload lacks it.
        target_names: G names.
        units: (W, G) what errors are divided by, from the training part alone.
        max_origins: Most origins scored per workload, evenly spread.
        skipped: Workload left out -> why.
    """

    data: str
    protocol: Protocol
    series: tuple[Series, ...]
    train_ends: tuple[int, ...]
    validation_ends: tuple[int, ...]
    targets: IntArray
    target_names: tuple[str, ...]
    units: FloatArray
    max_origins: int
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def window(self) -> WindowConfig:
        """The window every forecaster is given."""
        return WindowConfig(context=144, horizon=self.protocol.horizon)

    def development(self) -> BenchTask:
        """The same split within what fitting may read, for choosing: the test part is cut off."""
        series = self.histories()
        ends = tuple(round(TRAIN_RATIO * s.n_steps) for s in series)
        stops = tuple(round((TRAIN_RATIO + VALIDATION_RATIO) * s.n_steps) for s in series)
        return replace(
            self,
            data=f"{self.data} (development)",
            series=tuple(series),
            train_ends=ends,
            validation_ends=stops,
            units=_units(series, list(ends), self.targets, self.protocol),
        )

    def with_level_changes(self, seed: int) -> BenchTask:
        """The same with a change of level made up in every workload's test part.

        From a step in the first half of it on, all indicators are 0.1, 0.3, 3 or 10 times what
        they were, for good; or a hundredth, as in an outage that ends again. A sixth of the
        workloads have none.
        """
        rng = make_rng(seed, "bench", "level changes")
        changed = tuple(
            replace(s, values=_with_level_change(s.values, stop, rng))
            for s, stop in zip(self.series, self.validation_ends, strict=True)
        )
        return replace(self, data=f"{self.data}, levels changed", series=changed)

    def histories(self) -> list[Series]:
        """Train and validation parts: all that fitting may read."""
        return [s.head(n) for s, n in zip(self.series, self.validation_ends, strict=True)]

    def validation_origins(self) -> Origins:
        """Origins whose whole horizon lies in validation."""
        return self._origins(self.train_ends, self.validation_ends)

    def test_origins(self) -> Origins:
        """Origins whose whole horizon lies in the test part."""
        return self._origins(self.validation_ends, tuple(s.n_steps for s in self.series))

    def _origins(self, starts: tuple[int, ...], stops: tuple[int, ...]) -> Origins:
        config = ForecasterConfig(window=self.window)
        found = origins_between(self.series, config, starts, stops)
        return thin(found, self.max_origins)

    def truth(self, origins: Origins) -> Truth:
        """Measurements after each origin, per target."""
        targets = self.targets[origins.which]
        at = np.maximum(targets, 0)
        actual, observed = actuals(self.series, origins, at, self.protocol.horizon)
        return Truth(actual, observed & (targets >= 0)[..., None])

    def demand_target(self) -> IntArray:
        """Position of the demand among the targets, per workload (W,)."""
        demand = np.array([s.demand_index for s in self.series])
        return np.asarray(np.argmax(self.targets == demand[:, None], axis=1), dtype=np.int64)


LEVEL_CHANGES = (0.1, 0.3, 3.0, 10.0)
OUTAGE = 0.01


def _with_level_change(values: F32Array, first: int, rng: np.random.Generator) -> F32Array:
    """A copy of (T, D) `values`; nothing before step `first` is changed."""
    changed = values.copy()
    n = len(values) - first
    start = first + int(rng.uniform(0.05, 0.5) * n)
    kind, length = int(rng.integers(0, len(LEVEL_CHANGES) + 2)), int(rng.uniform(0.1, 0.5) * n)
    if kind < len(LEVEL_CHANGES):
        changed[start:] *= np.float32(LEVEL_CHANGES[kind])
    elif kind == len(LEVEL_CHANGES):
        changed[start : start + length] *= np.float32(OUTAGE)
    return changed


def load_task(
    path: Path, protocol: Protocol, *, demand: str | None = None, max_origins: int = 1000
) -> BenchTask:
    """Read a file of the shared format as a benchmark.

    Args:
        path: Parquet file, see docs/traces.md.
        protocol: What is forecast.
        demand: Demand column; default: the metadata's.
        max_origins: Most origins per workload; the Fisher protocols use all.

    Raises:
        TraceError: Unreadable file, or no workload long enough.
    """
    trace = read_file(path, ColumnChoice(demand=demand)).trace
    found: list[Series] = []
    skipped: dict[str, str] = {}
    for one in _series(trace, protocol):
        if isinstance(one, Series):
            found.append(one)
        else:
            skipped[one[0]] = one[1]
    if not found:
        reasons = "; ".join(f"{k}: {v}" for k, v in list(skipped.items())[:3])
        raise TraceError(f"{path.name}: no workload can be benchmarked ({reasons})")
    ends = [round(TRAIN_RATIO * s.n_steps) for s in found]
    stops = [round((TRAIN_RATIO + VALIDATION_RATIO) * s.n_steps) for s in found]
    targets, names = _targets(found, protocol)
    return BenchTask(
        path.stem,
        protocol,
        tuple(found),
        tuple(ends),
        tuple(stops),
        targets,
        names,
        _units(found, ends, targets, protocol),
        max_origins if protocol is Protocol.PANEL else 10**9,
        skipped,
    )


def _series(trace: TraceFile, protocol: Protocol) -> list[Series | tuple[str, str]]:
    """Each workload on the epoch grid, or its name and why it is left out."""
    step_s = trace.interval_s
    on_grid, _ = aligned(trace, step_s)
    is_paper = protocol.has_all_targets
    kept = [i for i, c in enumerate(trace.columns) if not (is_paper and c.is_derived)]
    found: list[Series | tuple[str, str]] = []
    for one in on_grid:
        n_steps = int((one.time_s[-1] - one.time_s[0]) // step_s) + 1
        values = panel(one, int(one.time_s[0]), n_steps, step_s)
        if n_steps < MIN_STEPS:
            found.append((one.workload, f"{n_steps} steps, at least {MIN_STEPS} are right"))
            continue
        columns = [i for i in kept if _is_used(values[:, i], n_steps, keep_constant=is_paper)]
        names = tuple(trace.columns[i].name for i in columns)
        demand = trace.own_demand.get(one.workload, trace.demand)
        if demand not in names:
            found.append((one.workload, f"{demand} is constant or mostly unobserved"))
            continue
        times = one.time_s[0] + step_s * np.arange(n_steps)
        levels = tuple(trace.columns[i].level for i in columns)
        found.append(
            series_from_rows(one.workload, times, values[:, columns], names, levels, demand)
        )
    return found


def _is_used(column: FloatArray, n_steps: int, *, keep_constant: bool) -> bool:
    """Check whether the training part holds enough of an indicator to speak of it."""
    train = column[: round(TRAIN_RATIO * n_steps)]
    seen = train[np.isfinite(train)]
    if seen.size < MIN_DEMAND_SEEN * train.size:
        return False
    return keep_constant or bool(seen.std() > 0)


def _targets(series: list[Series], protocol: Protocol) -> tuple[IntArray, tuple[str, ...]]:
    if not protocol.has_all_targets:
        at = np.array([[s.demand_index] for s in series], dtype=np.int64)
        return at, ("demand",)
    names = tuple(dict.fromkeys(name for s in series for name in s.indicators))
    rows = [[s.indicators.index(n) if n in s.indicators else -1 for n in names] for s in series]
    return np.array(rows, dtype=np.int64), names


def _units(
    series: list[Series],
    train_ends: list[int],
    targets: IntArray,
    protocol: Protocol,
) -> FloatArray:
    """Range (Fisher) or mean absolute deviation (panel) of each target in the training part."""
    units = np.ones(targets.shape)
    for i, (one, end) in enumerate(zip(series, train_ends, strict=True)):
        values, observed = one.values[:end], one.observed[:end]
        if protocol is Protocol.PANEL:
            spread = series_scale(values, observed)
        else:
            low = np.where(observed, values, np.inf).min(axis=0)
            spread = np.where(observed, values, -np.inf).max(axis=0) - low
        for g, d in enumerate(targets[i]):
            if d < 0:
                continue
            # A constant has range zero: its errors count as shares of its value.
            size = float(np.abs(values[observed[:, d], d]).max(initial=0.0))
            units[i, g] = spread[d] if spread[d] > 0 else max(size, 1.0)
    return units
