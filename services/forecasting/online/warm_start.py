"""A new model starts with the hedge and calibration that held-out steps would have taught it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecaster import (
    Calibration,
    Experts,
    Forecast,
    ForecasterConfig,
    Hedge,
    Ladder,
    Outcome,
    Series,
    Windows,
    actuals,
    further_quantiles,
    gather_windows,
    origins_between,
    replay,
)
from services.forecasting.online.further import FURTHER
from services.forecasting.online.learn import with_hedges

MAX_ORIGINS = 480
"""Newest origins per workload that calibration learns from; more changes little and takes time."""


@dataclass(frozen=True, slots=True)
class _LoadTrack:
    """Forecasts of one further load at T origins or fewer, with their outcomes."""

    name: str
    forecast: Forecast
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Track:
    """Forecasts of one workload at T origins, in time order, with their outcomes."""

    experts: Experts
    outcome: Outcome
    loads: Sequence[_LoadTrack]


def warm_states(
    series: Sequence[Series],
    ladder: Ladder,
    config: ForecasterConfig,
    n_held: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """Hedge and calibration per workload, as they are stored, after the held-out steps.

    As in service, a forecast is corrected by what was known at its origin, and teaches once its
    horizon has passed.

    Args:
        series: Histories, with the held-out steps at their end.
        ladder: What will serve; it has not been trained on the held-out steps.
        config: Its configuration.
        n_held: Held-out steps.
        rng: For paths, which teach nothing.
    """
    groups: dict[bytes, list[_Track]] = defaultdict(list)
    for one in series:
        track = _track(one, ladder, config, n_held, rng)
        if track is not None:
            groups[track.experts.forecast.origin_s.tobytes()].append(track)
    states: dict[str, dict[str, Any]] = {}
    for tracks in groups.values():
        states |= _learn(tracks)
    return states


def _track(
    one: Series,
    ladder: Ladder,
    config: ForecasterConfig,
    n_held: int,
    rng: np.random.Generator,
) -> _Track | None:
    """Forecasts of one workload; None where it has no outcome to learn from."""
    window = config.window
    found = origins_between([one], config, [max(one.n_steps - n_held, 0)], [one.n_steps])
    origins = found.take(np.arange(found.which.size)[-MAX_ORIGINS:])
    if origins.which.size == 0:
        return None
    windows = gather_windows([one], origins.which, origins.position, window)
    result = ladder.predict(windows, window.horizon, 1, rng)
    if result.forecast is None:
        return None
    targets = np.tile([one.demand_index, *one.further], (len(windows), 1))
    actual, observed = actuals([one], origins, targets, window.horizon)
    at = result.answered
    actual, observed, windows = actual[at], observed[at], windows.rows(at)
    experts = Experts.of(result.forecast, windows, window)
    outcomes = [Outcome(actual[:, g], observed[:, g]) for g in range(targets.shape[1])]
    loads = _load_tracks(one, ladder, windows, result.forecast, outcomes[1:])
    return _Track(experts, outcomes[0], loads)


def _load_tracks(
    one: Series,
    ladder: Ladder,
    windows: Windows,
    forecast: Forecast,
    outcomes: Sequence[Outcome],
) -> list[_LoadTrack]:
    """Forecasts of the further loads of one workload, at the origins where there are any."""
    names = tuple(one.indicators[k] for k in one.further)
    found = further_quantiles(ladder, windows, [names] * len(windows), forecast)
    at = np.array([i for i, quantiles in enumerate(found) if quantiles is not None], dtype=np.int64)
    if at.size == 0:
        return []
    own = np.stack([quantiles for quantiles in found if quantiles is not None])
    rows = forecast.rows(at)
    return [
        _LoadTrack(
            name,
            replace(rows, workloads=(f"{one.workload} {name}",) * at.size, quantiles=own[:, f]),
            outcomes[f].rows(at),
        )
        for f, name in enumerate(names)
    ]


def _learn(tracks: Sequence[_Track]) -> dict[str, dict[str, Any]]:
    """Stored states of workloads whose tracks have the same origins."""
    experts = Experts(
        _joined([track.experts.forecast for track in tracks]),
        np.concatenate([track.experts.last_value for track in tracks]),
    )
    outcome = Outcome(
        np.concatenate([track.outcome.actual for track in tracks]),
        np.concatenate([track.outcome.observed for track in tracks]),
    )
    names = [track.experts.forecast.workloads[0] for track in tracks]
    hedge, calibration = Hedge(), Calibration(experts.forecast.quantile_levels)
    hedged, weights = replay(hedge, hedge.empty_state(names), experts, outcome)
    _, offsets = replay(calibration, calibration.empty_state(names), hedged, outcome)
    stored = with_hedges(
        dict(enumerate(offsets.to_dicts())), {}, dict(enumerate(weights.to_dicts()))
    )
    further = _learn_loads(tracks)
    return {
        name: {**state, FURTHER: further[name]} if name in further else state
        for name, state in zip(names, stored.values(), strict=True)
    }


def _learn_loads(tracks: Sequence[_Track]) -> dict[str, dict[str, Any]]:
    """Calibration per workload and further load."""
    loads = [load for track in tracks for load in track.loads]
    if not loads:
        return {}
    forecast = _joined([load.forecast for load in loads])
    outcome = Outcome(
        np.concatenate([load.outcome.actual for load in loads]),
        np.concatenate([load.outcome.observed for load in loads]),
    )
    calibration = Calibration(forecast.quantile_levels)
    state = calibration.empty_state([load.forecast.workloads[0] for load in loads])
    _, after = replay(calibration, state, forecast, outcome)
    stored = iter(after.to_dicts())
    return {
        track.experts.forecast.workloads[0]: {load.name: next(stored) for load in track.loads}
        for track in tracks
        if track.loads
    }


def _joined(parts: Sequence[Forecast]) -> Forecast:
    """Forecasts one after the other; their paths, which teach nothing, are left out."""
    first = parts[0]
    quantiles = np.concatenate([part.quantiles for part in parts])
    return Forecast(
        tuple(name for part in parts for name in part.workloads),
        np.concatenate([part.origin_s for part in parts]),
        first.step_s,
        first.quantile_levels,
        quantiles,
        np.zeros((len(quantiles), 0, first.horizon), dtype=np.float32),
        first.model,
        tuple(rung for part in parts for rung in part.rung),
        tuple(reason for part in parts for reason in part.reasons),
    )
