"""A new model starts with the hedge and calibration that held-out steps would have taught it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forecaster.choice.ladder import Ladder
from forecaster.config import ForecasterConfig
from forecaster.dataset import actuals, origins_between
from forecaster.features import gather_windows
from forecaster.online import hedge
from forecaster.online.calibration import (
    CalibrationState,
    calibrate,
    empty_state,
    observe,
    to_dicts,
)
from forecaster.types import Forecast, Series
from services.forecasting.online.learn import with_hedges

MAX_ORIGINS = 480
"""Newest origins per workload that calibration learns from; more changes little and takes time."""


@dataclass(frozen=True, slots=True)
class _Track:
    """What the ladder said about one workload at T origins, and what happened.

    Args:
        forecast: T rows in time order.
        last_value: `(T, Q, H)` what the last value says, the hedge's other expert.
        actual: `(T, H)`.
        observed: `(T, H)`.
    """

    forecast: Forecast
    last_value: npt.NDArray[np.float32]
    actual: npt.NDArray[np.float32]
    observed: npt.NDArray[np.bool_]


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
    at = result.answered
    last_value = hedge.last_value_quantiles(windows.rows(at), result.forecast, window)
    return _Track(result.forecast, last_value, actual[at, 0], observed[at, 0])


def _live_through(tracks: Sequence[_Track]) -> list[dict[str, Any]]:
    """Learn in time order; all tracks have the same origins."""
    first = tracks[0].forecast
    lead_s = first.horizon * first.step_s
    names = [t.forecast.workloads[0] for t in tracks]
    both = _Learned(hedge.no_hedge_yet(names), empty_state(names, first.quantile_levels))
    pending: deque[tuple[int, Forecast]] = deque()
    for at in range(len(first)):
        now_s = int(first.origin_s[at])
        while pending and int(first.origin_s[pending[0][0]]) + lead_s <= now_s:
            both = both.after(tracks, *pending.popleft())
        last_value = np.stack([track.last_value[at] for track in tracks])
        hedged = hedge.hedge(_at(tracks, at), last_value, both.weights)
        pending.append((at, calibrate(hedged, both.offsets)))
    while pending:
        both = both.after(tracks, *pending.popleft())
    weights = dict(enumerate(hedge.to_dicts(both.weights)))
    return list(with_hedges(dict(enumerate(to_dicts(both.offsets))), {}, weights).values())


@dataclass(frozen=True, slots=True)
class _Learned:
    """What outcomes have taught so far."""

    weights: hedge.HedgeState
    offsets: CalibrationState

    def after(self, tracks: Sequence[_Track], at: int, issued: Forecast) -> _Learned:
        """Both after the outcomes of the origin `at`."""
        actual = np.stack([track.actual[at] for track in tracks])
        observed = np.stack([track.observed[at] for track in tracks])
        experts = (
            np.stack([track.forecast.quantiles[at] for track in tracks]),
            np.stack([track.last_value[at] for track in tracks]),
        )
        step = int(issued.origin_s[0]) // issued.step_s
        levels = issued.quantile_levels
        weights = hedge.learned(self.weights, experts, actual, observed, step, levels)
        return _Learned(weights, observe(self.offsets, issued, actual, observed))


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
