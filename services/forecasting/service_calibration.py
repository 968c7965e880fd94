"""A new model starts with the calibration that it would have learned on the held-out steps."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forecaster.calibration import CalibrationState, calibrate, empty_state, observe, to_dicts
from forecaster.config import ForecasterConfig
from forecaster.dataset import actuals, origins_between
from forecaster.features import gather_windows
from forecaster.ladder import Ladder
from forecaster.types import Forecast, Series

MAX_ORIGINS = 480
"""Newest origins per workload that calibration learns from; more changes little and takes time."""


@dataclass(frozen=True, slots=True)
class _Track:
    """What the ladder said about one workload at T origins, and what happened.

    Args:
        forecast: T rows in time order.
        actual: `(T, H)`.
        observed: `(T, H)`.
    """

    forecast: Forecast
    actual: npt.NDArray[np.float32]
    observed: npt.NDArray[np.bool_]


def warm_states(
    series: Sequence[Series],
    ladder: Ladder,
    config: ForecasterConfig,
    n_held: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """Calibration state per workload after living through the held-out steps.

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
            groups[track.forecast.origin_s.tobytes()].append(track)
    states: dict[str, dict[str, Any]] = {}
    for tracks in groups.values():
        names = [track.forecast.workloads[0] for track in tracks]
        states |= dict(zip(names, _live_through(tracks), strict=True))
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
    found = origins_between([one], config, [(max(one.n_steps - n_held, 0), one.n_steps)])
    origins = found.take(np.arange(found.which.size)[-MAX_ORIGINS:])
    if origins.which.size == 0:
        return None
    windows = gather_windows([one], origins.which, origins.position, window)
    result = ladder.predict(windows, window.horizon, 1, rng)
    if result.forecast is None:
        return None
    actual, observed = actuals([one], origins, windows.demand_index[:, None], window.horizon)
    return _Track(result.forecast, actual[result.answered, 0], observed[result.answered, 0])


def _live_through(tracks: Sequence[_Track]) -> list[dict[str, Any]]:
    """Learn in time order; all tracks have the same origins."""
    first = tracks[0].forecast
    lead_s = first.horizon * first.step_s
    state = empty_state([t.forecast.workloads[0] for t in tracks], first.quantile_levels)
    pending: deque[tuple[int, Forecast]] = deque()
    for at in range(len(first)):
        now_s = int(first.origin_s[at])
        while pending and int(first.origin_s[pending[0][0]]) + lead_s <= now_s:
            state = _learn(state, tracks, *pending.popleft())
        pending.append((at, calibrate(_at(tracks, at), state)))
    while pending:
        state = _learn(state, tracks, *pending.popleft())
    return to_dicts(state)


def _learn(
    state: CalibrationState, tracks: Sequence[_Track], at: int, issued: Forecast
) -> CalibrationState:
    actual = np.stack([track.actual[at] for track in tracks])
    observed = np.stack([track.observed[at] for track in tracks])
    return observe(state, issued, actual, observed)


def _at(tracks: Sequence[_Track], at: int) -> Forecast:
    """The forecasts of all tracks at one origin."""
    first = tracks[0].forecast
    return Forecast(
        tuple(track.forecast.workloads[0] for track in tracks),
        np.full(len(tracks), first.origin_s[at]),
        first.step_s,
        first.quantile_levels,
        np.stack([track.forecast.quantiles[at] for track in tracks]),
        np.stack([track.forecast.paths[at] for track in tracks]),
        first.model,
        tuple(track.forecast.rung[at] for track in tracks),
        tuple(track.forecast.reasons[at] for track in tracks),
    )
