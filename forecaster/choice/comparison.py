"""The model beside the simple forecasters: scores at the same past origins, per workload."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from forecaster.choice.baselines import POOLS, Baseline
from forecaster.config import ForecasterConfig, WindowConfig
from forecaster.dataset import Origins, actuals, origins_between
from forecaster.errors import HistoryTooShort
from forecaster.features import gather_windows
from forecaster.metrics import below_shares, crps_of_quantiles, pinball
from forecaster.scaling import ABSOLUTE_FLOOR, series_scale
from forecaster.types import F32, F64, Bool, Forecast, Series, Windows

MODEL = "model"
TAIL_LEVELS = (0.9, 0.95, 0.99)
"""Levels whose pinball losses are added to the CRPS: the decider lives on the upper tail."""
MOST_OF_USUAL = 4.0
"""Most that the best simple forecaster's loss of a workload counts, in those of the middle one."""
LEAST_USUAL = 1e-3
"""Smaller losses are no usual ones: of a demand that stands still, which is forecast exactly."""
MAX_ORIGINS = 200
"""Origins scored per workload, evenly spread."""
N_BLOCKS = 10
"""Stretches of time that the scored origins of a workload are cut into, to tell luck from skill."""
SURE = 1.383
"""Standard errors below a skill that it lies above in nine of ten, of as many blocks (Student)."""


class Predictor(Protocol):
    """Anything that turns windows into a forecast: the trained model and every baseline."""

    @property
    def name(self) -> str:
        """Rung name."""
        ...

    def predict(
        self, windows: Windows, horizon: int, n_paths: int, rng: np.random.Generator
    ) -> Forecast:
        """Forecast `horizon` steps of the demand for every row.

        Raises:
            HorizonError: If `horizon` is further than the predictor reaches.
            NoObservations: If a row has no observed demand.
        """
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """Mean scores of one predictor on one workload, in the series' mean absolute deviation.

    Args:
        crps: CRPS.
        tail: Sum of the pinball losses at `TAIL_LEVELS`.
        coverage: Share of values below the quantile, per level of those; see `below_shares`.
        without: (`N_BLOCKS`,) loss with one block of time left out; of fewer origins than blocks
            the loss itself.
    """

    crps: float
    tail: float
    coverage: dict[float, float]
    without: F64

    @property
    def loss(self) -> float:
        """What is compared; lower is better."""
        return self.crps + self.tail


@dataclass(frozen=True, slots=True)
class Skill:
    """How much less a predictor loses than the best simple forecasters.

    Args:
        value: 1 minus the ratio of losses, pooled over workloads; see `MOST_OF_USUAL`.
        without: (`N_BLOCKS`,) the same with one block of time left out.
    """

    value: float
    without: F64

    def least_lead(self, other: Skill | None = None) -> float:
        """By how much it is better at least, in nine of ten; negative: it may be luck.

        The jackknife over blocks of time: whole blocks are left out, since errors of neighbouring
        origins go together, and of both predictors the same, since what is hard is so for both.

        Args:
            other: Skill of another predictor at the same origins; None: of the simple forecasters.
        """
        lead, left = self.value, self.without
        if other is not None:
            lead, left = lead - other.value, left - other.without
        variance = (N_BLOCKS - 1) / N_BLOCKS * float(((left - left.mean()) ** 2).sum())
        return lead - SURE * math.sqrt(variance)


ScoreTable = dict[str, dict[str, Score]]
"""Workload to predictor name to score."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model beside the simple forecasters.

    Args:
        scores: All scores; a workload without an observed outcome has none.
        ratios: Workload to the model's loss over that of its best simple forecaster.
        crps_model: Model CRPS, mean over workloads.
        crps_simple: CRPS of the best simple forecaster per workload, mean over workloads.
        skill: 1 minus the ratio of losses, model over best simple, pooled over workloads; see
            `MOST_OF_USUAL`.
    """

    scores: ScoreTable
    ratios: dict[str, float]
    crps_model: float
    crps_simple: float
    skill: float

    @property
    def picks(self) -> dict[str, str]:
        """Every workload that was scored to its best simple forecaster."""
        return {workload: best_simple(row) for workload, row in self.scores.items()}

    def skill_of(self, name: str) -> Skill:
        """Skill of a predictor that was compared."""
        return _skill(self.scores, name)

    def simple_only(self, name: str) -> list[str]:
        """Workloads whose best simple forecaster has a lower loss than another predictor."""
        return [w for w, row in self.scores.items() if row[best_simple(row)].loss < row[name].loss]

    def best_simple(self, workload: str, otherwise: str) -> str:
        """The simple forecaster with the least loss; `otherwise` for an unknown workload."""
        row = self.scores.get(workload)
        return otherwise if row is None else best_simple(row)


def contenders(model: Predictor, window: WindowConfig) -> dict[str, Predictor]:
    """All that are compared: the model and the simple forecasters."""
    return {MODEL: model, **{name: Baseline(name, window) for name in POOLS}}


def score_table(
    series: Sequence[Series],
    origins: Origins,
    predictors: Mapping[str, Predictor],
    config: ForecasterConfig,
    rng: np.random.Generator,
) -> ScoreTable:
    """Score every predictor at the same origins, per workload."""
    horizon = config.window.horizon
    table: ScoreTable = {}
    for i in np.unique(origins.which):
        own = origins.take(np.flatnonzero(origins.which == i))
        windows = gather_windows(series, own.which, own.position, config.window)
        actual, observed = actuals(series, own, windows.demand_index[:, None], horizon)
        one = series[i]
        unit = _unit(one)
        row: dict[str, Score] = {}
        for name, predictor in predictors.items():
            forecast = predictor.predict(windows, horizon, 1, rng)
            row[name] = _score(
                forecast.quantiles, forecast.quantile_levels, actual[:, 0], observed[:, 0], unit
            )
        table[one.workload] = row
    return table


def _unit(one: Series) -> float:
    """What errors of a series' demand are counted in: its mean absolute deviation.

    A demand of nothing but zeros has none. Errors of it count in its own unit: what a model is off
    by there is no more than rounding, and must not outweigh the workloads that do have a demand.
    """
    scale = float(series_scale(one.values, one.observed)[one.demand_index])
    return scale if scale > ABSOLUTE_FLOOR else 1.0


def _score(quantiles: F32, levels: F64, actual: F32, observed: Bool, unit: float) -> Score:
    """Score quantiles `(B, Q, H)` at levels `(Q,)` against outcomes `(B, H)`."""
    at = [int(np.argmin(np.abs(levels - v))) for v in TAIL_LEVELS]
    cells = crps_of_quantiles(quantiles, levels, actual)
    crps = cells[observed].mean(dtype=np.float64)
    tails = pinball(quantiles[:, at], levels[at], actual).sum(axis=1)
    tail = tails[observed].mean(dtype=np.float64)
    below = below_shares(quantiles[:, at], levels[at], actual)
    shares = {v: float(below[:, k][observed].mean()) for k, v in enumerate(TAIL_LEVELS)}
    without = _without(cells + tails, observed) / unit
    return Score(float(crps) / unit, float(tail) / unit, shares, without)


def _without(loss: F32, observed: Bool) -> F64:
    """(`N_BLOCKS`,) mean loss (B, H) of what was observed, with one block of origins left out."""
    total = np.where(observed, loss, 0.0).sum(axis=1, dtype=np.float64)
    n = observed.sum(axis=1).astype(np.float64)
    mean = total.sum() / n.sum()
    if n.size < N_BLOCKS:
        return np.full(N_BLOCKS, mean)
    blocks = np.array_split(np.arange(n.size), N_BLOCKS)
    left = [(total.sum() - total[at].sum(), n.sum() - n[at].sum()) for at in blocks]
    return np.array([rest / count if count > 0 else mean for rest, count in left])


def compare(
    series: Sequence[Series],
    model: Predictor,
    config: ForecasterConfig,
    rng: np.random.Generator,
    *,
    n_last: int,
    others: Mapping[str, Predictor] | None = None,
) -> Comparison:
    """Compare a model with the simple forecasters on the last `n_last` steps of every series.

    Args:
        series: Histories, including the steps to compare on; the model must not have been trained
            on those.
        model: The trained model.
        config: Configuration.
        rng: For paths, which do not enter the scores.
        n_last: Steps to compare on.
        others: Further predictors that are scored; they enter no figure of the model.

    Raises:
        HistoryTooShort: If no series has an origin with an outcome.
    """
    starts = [max(s.n_steps - n_last, 0) for s in series]
    origins = origins_between(series, config, starts, [s.n_steps for s in series])
    if origins.which.size == 0:
        raise HistoryTooShort(f"no origin with an observed outcome in the last {n_last} steps")
    predictors = {**contenders(model, config.window), **(others or {})}
    return compared(score_table(series, thin(origins, MAX_ORIGINS), predictors, config, rng))


def thin(origins: Origins, n_most: int) -> Origins:
    """At most `n_most` origins per series, evenly spread."""
    kept = []
    for i in np.unique(origins.which):
        rows = np.flatnonzero(origins.which == i)
        n_kept = min(n_most, rows.size)
        kept.append(rows[np.unique(np.linspace(0, rows.size - 1, n_kept).astype(np.int64))])
    return origins.take(np.concatenate(kept))


def compared(table: ScoreTable) -> Comparison:
    """The figures of a table that holds the model and at least one simple forecaster per row."""
    model = {workload: row[MODEL] for workload, row in table.items()}
    simple = {workload: row[best_simple(row)] for workload, row in table.items()}
    return Comparison(
        table,
        {w: model[w].loss / max(simple[w].loss, 1e-12) for w in table},
        float(np.mean([score.crps for score in model.values()])),
        float(np.mean([score.crps for score in simple.values()])),
        _skill(table, MODEL).value,
    )


def _skill(table: ScoreTable, name: str) -> Skill:
    """One minus the ratio of pooled losses.

    A service of a few bursts, or with one wrong sample, loses tens of times as much as the others,
    and its forecasts alone would say which model is better for all.
    """
    simple = {workload: row[best_simple(row)].loss for workload, row in table.items()}
    usual = sorted(loss for loss in simple.values() if loss >= LEAST_USUAL)
    most = MOST_OF_USUAL * usual[len(usual) // 2] if usual else math.inf
    weight = {
        workload: min(1.0, most / max(loss, LEAST_USUAL)) for workload, loss in simple.items()
    }
    own = sum(weight[workload] * row[name].loss for workload, row in table.items())
    pooled = sum(weight[workload] * loss for workload, loss in simple.items())
    if not pooled > 0:
        return Skill(float("nan"), np.full(N_BLOCKS, np.nan))
    left, left_pooled = np.zeros(N_BLOCKS), np.zeros(N_BLOCKS)
    for workload, row in table.items():
        left += weight[workload] * row[name].without
        left_pooled += weight[workload] * row[best_simple(row)].without
    return Skill(1 - own / pooled, 1 - left / np.maximum(left_pooled, 1e-12))


def best_simple(row: Mapping[str, Score]) -> str:
    """The simple forecaster with the least loss."""
    return min((name for name in row if name in POOLS), key=lambda name: row[name].loss)
