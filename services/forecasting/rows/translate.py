"""Rows to the forecaster's values and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row

from forecaster import (
    ForecasterConfig,
    LadderForecast,
    Series,
    WindowConfig,
    Windows,
    is_readable,
    window_offsets,
    windows_from_offsets,
)
from services.kernel.db.clusters import FIRST, cluster_of
from services.kernel.db.steps.blocks import SECOND_US, to_us
from services.kernel.db.steps.reading import SeenSteps
from services.kernel.domain.measured_by import measured_by
from services.kernel.domain.path_bytes import HALF, pack_halves, to_halves
from services.kernel.domain.stored_spec import read_spec
from services.kernel.domain.workload import WorkloadSpec
from services.kernel.settings import Settings

SAMPLE = np.dtype([("offset", ">i4"), ("value", ">f4")])
"""One observed step: steps from the origin, and the value."""
NO_FORECAST_RUNG = "none"


@dataclass(frozen=True, slots=True)
class WorkloadRow:
    """A workload as the forecaster sees it."""

    id: int
    namespace: str
    name: str
    step_s: int
    spec: WorkloadSpec
    cluster_id: int = FIRST

    @property
    def key(self) -> str:
        """Name of the workload in models and forecasts, unlike any other's.

        Several clusters may have a namespace and a name; those of the first are called as they were
        when it was the only one.
        """
        own = f"{self.namespace}/{self.name}"
        return own if self.cluster_id == FIRST else f"{self.cluster_id}:{own}"


@dataclass(frozen=True, slots=True)
class ForecastRow:
    """A forecast; see docs/data-model.md.

    Attributes:
        paths: Half-precision numbers, not packed yet.
        measured_by: Of its loads (`services.kernel.domain.measured_by`).
    """

    workload_id: int
    origin_at: datetime
    model_version: str
    rung: str
    reason: str
    step_s: int
    n_horizon: int
    quantile_levels: list[float]
    quantiles: list[list[float]]
    n_paths: int
    paths: bytes | None
    path_scale: float | None
    further_names: list[str] | None = None
    further_paths: bytes | None = None
    further_scales: list[float] | None = None
    measured_by: str | None = None

    @property
    def packed_paths(self) -> bytes | None:
        """The paths as they are stored."""
        if self.paths is None:
            return None
        halves = np.frombuffer(self.paths, dtype=HALF)
        return pack_halves(halves.reshape(self.n_paths, self.n_horizon))


class IndicatorKey(NamedTuple):
    """An indicator of a workload."""

    workload_id: int
    indicator: str


Samples = Mapping[IndicatorKey, bytes]
"""Packed `SAMPLE` records of each indicator, in time order."""


def forecaster_config(settings: Settings) -> ForecasterConfig:
    """The forecaster's configuration under these settings."""
    context = max(settings.context_steps, settings.horizon_steps + 1, 24)
    window = WindowConfig(
        context=context,
        horizon=settings.horizon_steps,
        recent=max(12, min(WindowConfig().recent, context)),
    )
    return ForecasterConfig(window=window)


def to_workload(row: Row[Any]) -> WorkloadRow:
    """A workload from its row.

    Raises:
        ValidationError: Its stored spec cannot be read.
    """
    spec = read_spec(row.spec)
    return WorkloadRow(row.id, row.namespace, row.name, row.step_s, spec, cluster_of(row.shard))


def empty_series(workload: WorkloadRow) -> Series:
    """A series of no steps that carries the workload's names, levels and loads."""
    names = tuple(indicator.name for indicator in workload.spec.indicators)
    empty = np.zeros((0, len(names)), dtype=np.float32)
    return Series(
        workload.key,
        empty,
        np.zeros(empty.shape, dtype=bool),
        names,
        tuple(indicator.level for indicator in workload.spec.indicators),
        names.index(workload.spec.demand),
        0,
        workload.step_s,
        tuple(indicator.is_known_ahead for indicator in workload.spec.indicators),
        tuple(names.index(load) for load in workload.spec.further_loads),
    )


def pack_samples(steps: SeenSteps, origin_at: datetime, step_s: int) -> bytes:
    """Observed steps as records; one off the grid counts as the step nearest to it."""
    step_us = step_s * SECOND_US
    since_us = steps.at_us - to_us(origin_at)
    records = np.empty(since_us.size, dtype=SAMPLE)
    nearest = (2 * np.abs(since_us) + step_us) // (2 * step_us)
    records["offset"] = np.sign(since_us) * nearest
    records["value"] = steps.values
    return records.tobytes()


def to_windows(
    workloads: Sequence[WorkloadRow],
    values: npt.NDArray[np.float32],
    origin_s: int,
    window: WindowConfig,
) -> Windows:
    """Windows of workloads on one step length; what is NaN is unobserved.

    Of steps after the origin only those of indicators known ahead are read.

    Args:
        workloads: B workloads.
        values: Values at the `window_offsets`, in the columns of each spec, `(B, T, D)`.
        origin_s: The origin, epoch seconds.
        window: Window configuration.
    """
    rows = [empty_series(workload) for workload in workloads]
    offsets = window_offsets(window, workloads[0].step_s)
    readable: dict[tuple[bool, ...], npt.NDArray[np.bool_]] = {}
    observed = np.isfinite(values)
    for i, series in enumerate(rows):
        known_ahead, width = series.known_ahead, len(series.indicators)
        if known_ahead not in readable:
            readable[known_ahead] = is_readable(offsets, known_ahead, window)
        observed[i, :, :width] &= readable[known_ahead]
        for load in (series.demand_index, *series.further):
            observed[i, :, load] &= values[i, :, load] >= 0
    origins = np.full(len(rows), origin_s, dtype=np.int64)
    return windows_from_offsets(rows, values, observed, origins, window)


def to_series(workload: WorkloadRow, samples: Samples, origin_s: int, n_steps: int) -> Series:
    """The last `n_steps` steps of a workload, leading steps without any value cut off."""
    shape = empty_series(workload)
    values = np.zeros((n_steps, len(shape.indicators)), dtype=np.float32)
    observed = np.zeros(values.shape, dtype=bool)
    for d, name in enumerate(shape.indicators):
        packed = samples.get(IndicatorKey(workload.id, name))
        if not packed:
            continue
        records = np.frombuffer(packed, dtype=SAMPLE)
        at = records["offset"].astype(np.int64) + n_steps - 1
        inside = (at >= 0) & (at < n_steps)
        values[at[inside], d] = records["value"][inside]
        observed[at[inside], d] = True
    seen = np.flatnonzero(observed.any(axis=1))
    first = int(seen[0]) if seen.size else n_steps
    start_s = origin_s - (n_steps - 1 - first) * workload.step_s
    return replace(shape, values=values[first:], observed=observed[first:], start_s=start_s)


def pack_paths(paths: npt.NDArray[np.float32]) -> tuple[bytes, float]:
    """Float16 little-endian `(S, H)` in C order, and the scale to multiply by."""
    halves, scale = to_halves(paths)
    return halves.tobytes(), scale


def to_rows(
    workloads: Sequence[WorkloadRow],
    result: LadderForecast,
    origin_at: datetime,
    model_version: str,
    horizon: int,
) -> list[ForecastRow]:
    """One row per workload: answered ones with numbers, refused ones with their reason."""
    rows = []
    forecast = result.forecast
    for i, at in enumerate(result.answered):
        assert forecast is not None
        workload = workloads[int(at)]
        packed, scale = pack_paths(forecast.paths[i]) if workload.spec.needs_paths else (None, None)
        rows.append(
            ForecastRow(
                workload.id,
                origin_at,
                model_version,
                forecast.rung[i],
                forecast.reasons[i],
                workload.step_s,
                horizon,
                [round(float(v), 6) for v in forecast.quantile_levels],
                forecast.quantiles[i].tolist(),
                int(forecast.paths.shape[1]),
                packed,
                scale,
                measured_by=measured_by(workload.spec, workload.spec.loads),
            )
        )
    for at, reason in result.refused.items():
        refused = Refused(workloads[at].id, workloads[at].step_s, reason)
        rows.append(to_refused_row(refused, origin_at, model_version, horizon))
    return rows


class Refused(NamedTuple):
    """A workload that there is no forecast for, and why."""

    workload_id: int
    step_s: int
    reason: str


def to_refused_row(
    refused: Refused, origin_at: datetime, model_version: str, horizon: int
) -> ForecastRow:
    """The row of a workload without a forecast: no numbers, the reason."""
    return ForecastRow(
        refused.workload_id,
        origin_at,
        model_version,
        NO_FORECAST_RUNG,
        refused.reason,
        refused.step_s,
        horizon,
        [],
        [],
        0,
        None,
        None,
    )


def level_key(level: float) -> str:
    """A quantile level as the key of JSON columns and metric labels: `0.95`."""
    return f"{level:.4g}"


def json_safe(value: Any) -> Any:
    """`value` with NaN and infinities as None, which JSON has no word for."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v) for v in value]
    return value
