"""Calibration of further loads, learned from outcomes as the demand's is.

The state of a workload keeps a calibration per further load under `further`. What is calibrated are
the quantiles of the stored paths, which are what decisions are made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from forecaster import Calibration, Forecast, JointPaths, Outcome, Windows, largest_seen
from services.forecasting.online.learn import States
from services.forecasting.rows.further import unpack_further
from services.forecasting.rows.repository import DueForecast
from services.forecasting.rows.translate import IndicatorKey, WorkloadRow

FURTHER = "further"


def corrected_further(
    stored: Mapping[str, Mapping[str, Any]],
    forecast: Forecast,
    names: Sequence[Sequence[str]],
    found: Sequence[JointPaths | None],
    windows: Windows | None = None,
) -> list[JointPaths | None]:
    """Joint paths with the further loads calibrated by what came of earlier ones.

    Args:
        stored: State of each workload, by its name in the forecast.
        forecast: Of the demand, B rows.
        names: Further loads of each row.
        found: Joint paths of each row.
        windows: B windows that they were made from; None: nothing holds a calibration back.
    """
    rows = [i for i, one in enumerate(found) if one is not None]
    parts = [one.further for one in found if one is not None]
    if not parts:
        return list(found)
    loads = [(forecast.workloads[i], name) for i in rows for name in names[i]]
    paths = np.concatenate(parts)
    at = np.repeat(rows, [len(part) for part in parts])
    issued = replace(
        forecast.rows(at),
        workloads=tuple(f"{workload} {name}" for workload, name in loads),
        quantiles=_quantiles(paths, forecast),
        paths=paths,
    )
    own = {
        row: stored[workload][FURTHER][name]
        for row, (workload, name) in zip(issued.workloads, loads, strict=True)
        if name in stored.get(workload, {}).get(FURTHER, {})
    }
    calibration = Calibration(forecast.quantile_levels)
    state = calibration.from_dicts(issued.workloads, own)
    most = None
    if windows is not None:
        columns = [windows.indicators[i].index(name) for i in rows for name in names[i]]
        seen = windows.values[at, :, columns], windows.observed[at, :, columns]
        is_young = np.asarray(~windows.season_observed[at, :, :, columns].any(axis=(1, 2)))
        most = largest_seen(*seen, issued.rung, is_young)
    moved = calibration.apply(state, issued, most).paths
    pieces = iter(np.split(moved, np.cumsum([len(part) for part in parts])[:-1]))
    return [None if one is None else replace(one, further=next(pieces)) for one in found]


def further_keys(rows: Sequence[DueForecast]) -> list[IndicatorKey]:
    """The further loads that some stored forecasts are of, row by row."""
    return [IndicatorKey(row.workload_id, name) for row in rows for name in row.further_names or ()]


def learned_further(
    before: States, rows: Sequence[DueForecast], forecast: Forecast, outcome: Outcome
) -> dict[int, dict[str, Any]]:
    """Calibration per workload id and further load after the outcomes of one origin.

    Args:
        before: States before.
        rows: B forecasts of one origin as they are stored.
        forecast: The same of the demand, as values.
        outcome: What came of `further_keys(rows)`.
    """
    keys = further_keys(rows)
    if not keys:
        return {}
    at = np.repeat(np.arange(len(rows)), [len(row.further_names or ()) for row in rows])
    quantiles = np.concatenate([_stored_quantiles(row, forecast) for row in rows])
    issued = replace(
        forecast.rows(at),
        workloads=tuple(f"{key.workload_id} {key.indicator}" for key in keys),
        quantiles=quantiles,
    )
    own = {
        row: before[key.workload_id][FURTHER][key.indicator]
        for row, key in zip(issued.workloads, keys, strict=True)
        if key.indicator in before.get(key.workload_id, {}).get(FURTHER, {})
    }
    calibration = Calibration(forecast.quantile_levels)
    state = calibration.from_dicts(issued.workloads, own)
    found: dict[int, dict[str, Any]] = {}
    after = calibration.observe(state, issued, outcome).to_dicts()
    for key, one in zip(keys, after, strict=True):
        found.setdefault(key.workload_id, {})[key.indicator] = one
    return found


def with_further(
    states: States,
    before: States,
    learned: Mapping[int, Mapping[str, Any]],
    workloads: Mapping[int, WorkloadRow],
) -> dict[int, dict[str, Any]]:
    """States with the calibrations of further loads; one that learned nothing stays as it was."""
    found: dict[int, dict[str, Any]] = {}
    for i, state in states.items():
        known = {**before.get(i, {}).get(FURTHER, {}), **learned.get(i, {})}
        own = {name: known[name] for name in workloads[i].spec.further_loads if name in known}
        found[i] = {**state, FURTHER: own} if own else dict(state)
    return found


def _stored_quantiles(row: DueForecast, forecast: Forecast) -> np.ndarray[Any, Any]:
    """Quantiles `(F, Q, H)` of the further loads of a stored forecast."""
    if row.further_paths is None or row.further_scales is None:
        return np.zeros((0, *forecast.quantiles.shape[1:]), dtype=np.float32)
    paths = unpack_further(row.further_paths, row.further_scales, row.n_paths, forecast.horizon)
    return _quantiles(paths, forecast)


def _quantiles(paths: np.ndarray[Any, Any], forecast: Forecast) -> np.ndarray[Any, Any]:
    """Quantiles `(F, Q, H)` of paths `(F, S, H)` at the levels of a forecast.

    Path s of S in order of size stands for the level (s + 1/2) / S, as it was drawn.
    """
    found = np.quantile(paths, forecast.quantile_levels, axis=1, method="hazen")
    return np.maximum.accumulate(found.swapaxes(0, 1), axis=1).astype(np.float32)
