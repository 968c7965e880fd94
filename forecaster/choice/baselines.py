"""Simple forecasters behind the same signature as the trained model.

Each has a pool of joint paths read off the window (blocks of consecutive past residuals or values,
never independent steps); quantiles are the pool's, sample paths are drawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecaster.config import QUANTILE_LEVELS, WindowConfig
from forecaster.predict import check_request
from forecaster.quantiles import masked_quantiles
from forecaster.scaling import forward_fill
from forecaster.types import F32, Bool, Forecast, Windows

Pool = tuple[F32, Bool]
"""`(B, M, H)` candidate paths and `(B, M)` which of them are fully observed."""
PoolMaker = Callable[[Windows, int, WindowConfig], Pool]


def _last(windows: Windows) -> F32:
    values, observed = windows.demand()
    first = np.take_along_axis(values, observed.argmax(axis=1)[:, None], axis=1)
    return forward_fill(values[..., None], observed[..., None], first)[:, -1, 0]


def _blocks(values: F32, observed: Bool, length: int) -> Pool:
    """All blocks of consecutive steps along the last axis of `(B, T)`."""
    return (
        sliding_window_view(values, length, axis=1),
        np.asarray(sliding_window_view(observed, length, axis=1).all(axis=2)),
    )


def last_value_pool(windows: Windows, horizon: int, _: WindowConfig) -> Pool:
    """Last value plus the change over every past stretch of `horizon` steps."""
    values, observed = windows.demand()
    blocks, is_whole = _blocks(values, observed, horizon + 1)
    change = blocks[..., 1:] - blocks[..., :1]
    return _last(windows)[:, None, None] + change, is_whole


def trailing_pool(windows: Windows, horizon: int, _: WindowConfig) -> Pool:
    """Every past stretch of `horizon` steps as it was: the trailing percentile with joint paths."""
    values, observed = windows.demand()
    return _blocks(values, observed, horizon)


def recent_pool(windows: Windows, horizon: int, window: WindowConfig) -> Pool:
    """As `trailing_pool`, over the recent part of the context."""
    values, observed = windows.demand()
    n_recent = max(window.recent, horizon + 8)
    return _blocks(values[:, -n_recent:], observed[:, -n_recent:], horizon)


def blend_pool(windows: Windows, horizon: int, window: WindowConfig) -> Pool:
    """Half way from the last value to past stretches: mean reversion without parameters."""
    past, past_whole = trailing_pool(windows, horizon, window)
    moved, moved_whole = last_value_pool(windows, horizon, window)
    n_blocks = moved.shape[1]
    half = np.asarray((past[:, 1 : n_blocks + 1] + moved) / 2, dtype=np.float32)
    return half, past_whole[:, 1 : n_blocks + 1] & moved_whole


SMOOTHING = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
"""Weights of the newest value that `smoothed_pool` chooses from; at 1 it is the last value."""


def smoothed_pool(windows: Windows, horizon: int, _: WindowConfig) -> Pool:
    """A smoothed level plus what followed earlier levels, over every past stretch.

    Of the weights of the newest value each row takes the one whose levels were nearest to what
    followed, as far as it has been seen: small where steps are mostly noise, 1 for a walk, and soon
    after demand has moved to another level. What followed levels that lagged behind a ramp lies
    above them, so that a ramp goes on.
    """
    values, observed = windows.demand()
    levels = _levels(values, observed)
    blocks, is_whole = _blocks(values, observed, horizon + 1)
    after = blocks[..., 1:] - levels[..., : blocks.shape[1], None]
    best, row = _losses(values, observed, levels, horizon).argmin(axis=0), np.arange(len(windows))
    return levels[best, row, -1][:, None, None] + after[best, row], is_whole


def _losses(values: F32, observed: Bool, levels: F32, horizon: int) -> F32:
    """`(A, B)` mean distance of levels to what followed each within a horizon, as far as seen."""
    total = np.zeros((len(SMOOTHING), values.shape[0]), dtype=np.float32)
    count = np.zeros(values.shape[0], dtype=np.float32)
    for ahead in range(1, min(horizon, values.shape[1] - 1) + 1):
        seen = observed[:, ahead:] & observed[:, :-ahead]
        error = np.abs(values[:, ahead:] - levels[..., :-ahead])
        total += np.where(seen, error, np.float32(0)).sum(axis=2)
        count += seen.sum(axis=1)
    return np.asarray(total / np.maximum(count, np.float32(1)), dtype=np.float32)


def _levels(values: F32, observed: Bool) -> F32:
    """`(A, B, T)` levels after each step, by weight; a step that is not observed moves none."""
    weight = np.array(SMOOTHING, dtype=np.float32)[:, None]
    level = np.take_along_axis(values, observed.argmax(axis=1)[:, None], axis=1)[:, 0]
    level = np.broadcast_to(level, (len(SMOOTHING), level.size))
    found = np.empty((*level.shape, values.shape[1]), dtype=np.float32)
    for t in range(values.shape[1]):
        moved = level + weight * (values[:, t] - level)
        level = np.where(observed[:, t], moved, level)
        found[..., t] = level
    return found


def seasonal_pool(windows: Windows, horizon: int, window: WindowConfig) -> Pool:
    """Seasonal value plus blocks of past season-to-season residuals."""
    return _season(windows, horizon, window, is_shifted=False)


def seasonal_drift_pool(windows: Windows, horizon: int, window: WindowConfig) -> Pool:
    """Seasonal shape carried to the present level, with residuals of the same construction."""
    return _season(windows, horizon, window, is_shifted=True)


def _season(windows: Windows, horizon: int, window: WindowConfig, *, is_shifted: bool) -> Pool:
    """Pool around the first seasonal lag, residuals from how the lags differ among themselves."""
    values, observed = windows.season_demand()
    past = window.season_past
    width = past + horizon
    values, observed = values[:, :, :width], observed[:, :, :width]
    now, seen_now = windows.demand()
    residuals, masks = [], []
    for other in range(1, values.shape[1]):
        residuals.append(values[:, 0] - values[:, other])
        masks.append(observed[:, 0] & observed[:, other])
    residuals.append(now[:, -past:] - values[:, 0, :past])
    masks.append(seen_now[:, -past:] & observed[:, 0, :past])
    pools: list[F32] = []
    whole: list[Bool] = []
    for residual, mask in zip(residuals, masks, strict=True):
        length = horizon + 1 if is_shifted else horizon
        if residual.shape[1] < length:
            continue
        blocks, is_whole = _blocks(residual, mask, length)
        pools.append(blocks[..., 1:] - blocks[..., :1] if is_shifted else blocks)
        whole.append(is_whole)
    centre = values[:, 0, past:]
    if is_shifted:
        centre = centre + (_last(windows) - values[:, 0, past - 1])[:, None]
    has_centre = np.asarray(observed[:, 0, past - 1 :].all(axis=1))
    if not pools:
        shape = (len(windows), 1, horizon)
        return np.zeros(shape, dtype=np.float32), np.zeros(shape[:2], dtype=bool)
    pool = centre[:, None] + np.concatenate(pools, axis=1)
    return pool, np.concatenate(whole, axis=1) & has_centre[:, None]


POOLS: Mapping[str, PoolMaker] = {
    "last_value": last_value_pool,
    "trailing_percentile": trailing_pool,
    "recent_percentile": recent_pool,
    "blend": blend_pool,
    "smoothed": smoothed_pool,
    "seasonal_naive": seasonal_pool,
    "seasonal_drift": seasonal_drift_pool,
}
"""The simple forecasters by rung name."""
SHORT_HISTORY_RUNG = "short_history"
MIN_POOL = 8
"""Fewest whole blocks; a row with fewer is answered by a simpler pool."""


def pool_of(name: str, windows: Windows, horizon: int, window: WindowConfig) -> tuple[Pool, Bool]:
    """The pool `name`, and which rows had to fall back to the last value (or below)."""
    pool, is_whole = POOLS[name](windows, horizon, window)
    pool = np.maximum(pool, np.float32(0))
    is_poor = is_whole.sum(axis=1) < MIN_POOL
    if is_poor.any():
        spread = _short_pool(windows, horizon, pool.shape[1])
        pool = np.where(is_poor[:, None, None], spread, pool)
        is_whole = is_whole | is_poor[:, None]
    return (pool.astype(np.float32), is_whole), is_poor


def _short_pool(windows: Windows, horizon: int, n_blocks: int) -> F32:
    """Paths for a history of a few steps: the last value with any value ever seen mixed in.

    Half of the paths stay at the last value, half jump to an observed quantile of the context: wide
    where little is known, and never outside what was seen.
    """
    values, observed = windows.demand()
    levels = (np.arange(n_blocks) + 0.5) / n_blocks
    spread = masked_quantiles(values, observed, levels)
    stays = np.arange(n_blocks) % 2 == 0
    level = np.where(stays, _last(windows)[:, None], spread)
    return np.repeat(level[..., None], horizon, axis=2).astype(np.float32)


def forecast_from_pool(
    windows: Windows, pool: Pool, n_paths: int, rng: np.random.Generator, levels: tuple[float, ...]
) -> tuple[F32, F32]:
    """Quantiles `(B, Q, H)` and paths `(B, S, H)` of a pool."""
    paths, is_whole = pool
    mask = np.broadcast_to(is_whole[:, None, :], (len(windows), paths.shape[2], is_whole.shape[1]))
    quantiles = masked_quantiles(np.swapaxes(paths, 1, 2), mask, np.array(levels))
    # Equally spaced positions in a random order: every block is used before one is used again.
    n_whole = is_whole.sum(axis=1)
    order = np.argsort(~is_whole, axis=1, kind="stable")
    keys = rng.random((len(windows), n_paths)).argsort(axis=1)
    start = rng.random((len(windows), 1))
    slot = np.floor((keys + start) / n_paths * n_whole[:, None]).astype(np.int64)
    slot = np.minimum(slot, n_whole[:, None] - 1)
    chosen = np.take_along_axis(order, slot, axis=1)
    return np.swapaxes(quantiles, 1, 2), np.take_along_axis(paths, chosen[..., None], axis=1)


@dataclass(frozen=True, slots=True)
class Baseline:
    """One simple forecaster as a `Predictor`; `name` is a key of `POOLS`."""

    name: str
    window: WindowConfig = field(default_factory=WindowConfig)

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        """Quantiles and joint paths of the demand; see `Predictor`."""
        return BestSimple({}, self.window, self.name).predict(windows, horizon, n_paths, rng)


@dataclass(frozen=True, slots=True)
class BestSimple:
    """Per workload the simple forecaster that scored best.

    Args:
        picks: Workload to rung name.
        window: Window configuration.
        default: Rung of a workload without a pick.
    """

    picks: Mapping[str, str]
    window: WindowConfig = field(default_factory=WindowConfig)
    default: str = "smoothed"

    @property
    def name(self) -> str:
        """Rung name."""
        return "best_simple" if self.picks else self.default

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        """Quantiles and joint paths of the demand; see `Predictor`."""
        check_request(windows, horizon, self.window.horizon)
        levels = self.window.quantile_levels or QUANTILE_LEVELS
        n_rows = len(windows)
        quantiles = np.zeros((n_rows, len(levels), horizon), dtype=np.float32)
        paths = np.zeros((n_rows, n_paths, horizon), dtype=np.float32)
        is_poor = np.zeros(n_rows, dtype=bool)
        names = np.array([self.picks.get(w, self.default) for w in windows.workloads])
        rung, reasons = [str(name) for name in names], [""] * n_rows
        for name in sorted(set(rung)):
            at = np.flatnonzero(names == name)
            found = self._answer(windows.rows(at), name, (n_paths, horizon), rng)
            quantiles[at], paths[at], is_poor[at] = found
        for row in np.flatnonzero(is_poor):
            reasons[row] = f"fewer than {MIN_POOL} whole stretches for {names[row]}"
            rung[row] = self.default
        # a step that is missing on an earlier day spoils a season, and not what came since
        at = np.flatnonzero(is_poor & (names != self.default))
        if at.size:
            found = self._answer(windows.rows(at), self.default, (n_paths, horizon), rng)
            quantiles[at], paths[at], is_poor[at] = found
        for row in np.flatnonzero(is_poor):
            rung[row] = SHORT_HISTORY_RUNG
        return Forecast(
            windows.workloads,
            windows.origin_s,
            windows.step_s,
            np.array(levels),
            quantiles,
            paths,
            self.name,
            tuple(rung),
            tuple(reasons),
        )

    def _answer(
        self, rows: Windows, name: str, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[F32, F32, Bool]:
        """Quantiles and (S, H) paths of the pool `name`, and for whom it has too few blocks."""
        n_paths, horizon = shape
        levels = self.window.quantile_levels or QUANTILE_LEVELS
        pool, is_poor = pool_of(name, rows, horizon, self.window)
        return *forecast_from_pool(rows, pool, n_paths, rng, levels), is_poor


def pool_quantiles(
    name: str, windows: Windows, horizon: int, config: WindowConfig, levels: tuple[float, ...]
) -> F32:
    """Quantiles `(B, Q, H)` of a simple forecaster, without paths and without randomness."""
    pool, _ = pool_of(name, windows, horizon, config)
    # No path is drawn (S = 0): the generator is not read.
    unused = np.random.Generator(np.random.PCG64(0))
    return forecast_from_pool(windows, pool, 0, unused, levels)[0]
