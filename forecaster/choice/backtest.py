"""Shadow back-test: which predictor would have served each workload best, and why.

Every predictor forecasts the same past origins. The gate keeps the model for a workload unless the
best simple forecaster is clearly better, and names the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forecaster.choice.baselines import POOLS, Baseline
from forecaster.config import ForecasterConfig, WindowConfig
from forecaster.dataset import Origins, actuals, origins_between
from forecaster.errors import HistoryTooShort
from forecaster.features import gather_windows
from forecaster.metrics import crps_of_quantiles, pinball
from forecaster.scaling import series_scale
from forecaster.types import F32, F64, Bool, Predictor, Series

MODEL = "model"
GATE_LEVELS = (0.9, 0.95, 0.99)
"""Levels whose pinball loss the gate adds to the CRPS: the decider lives on the upper tail."""
GATE_TOLERANCE = 0.01
"""How much worse than the best simple forecaster a model may be and still serve a workload."""
GATE_BLOCKS = 8
"""Consecutive parts of the judged steps whose scores are compared one by one."""
GATE_T = 2.5
"""t statistic over the blocks below which a simple forecaster's lead counts as luck."""
MAX_ORIGINS = 200
"""Origins scored per workload, evenly spread."""


@dataclass(frozen=True, slots=True)
class Score:
    """Mean scores of one predictor on one workload, in the series' mean absolute deviation.

    Args:
        crps: CRPS.
        tail: Sum of the pinball losses at `GATE_LEVELS`.
        coverage: Share of values at or below the quantile, per level asked.
        by_block: `gate` of consecutive parts of the judged steps, in time order.
    """

    crps: float
    tail: float
    coverage: dict[float, float]
    by_block: tuple[float, ...] = ()

    @property
    def gate(self) -> float:
        """Scores that the gate compares; lower is better."""
        return self.crps + self.tail


ScoreTable = dict[str, dict[str, Score]]
"""Workload to predictor name to score."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict of a back-test.

    Args:
        rungs: Workload to the predictor chosen.
        reasons: Workload to why, with figures.
        scores: All scores.
        crps_model: Model CRPS, mean over workloads (NaN without a model).
        crps_simple: CRPS of the best simple forecaster per workload, mean over workloads.
        skill: 1 minus the ratio of gate scores, model over best simple, pooled over workloads.
    """

    rungs: dict[str, str]
    reasons: dict[str, str]
    scores: ScoreTable
    crps_model: float
    crps_simple: float
    skill: float

    def best_simple(self, workload: str, otherwise: str) -> str:
        """The simple forecaster with the best score; `otherwise` for an unknown workload."""
        row = {n: s for n, s in self.scores.get(workload, {}).items() if n != MODEL}
        return min(row, key=lambda name: row[name].gate) if row else otherwise


def contenders(model: Predictor, window: WindowConfig) -> dict[str, Predictor]:
    """All that the quality gate compares: the model and the simple forecasters."""
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
        unit = float(series_scale(one.values, one.observed)[one.demand_index])
        row: dict[str, Score] = {}
        for name, predictor in predictors.items():
            forecast = predictor.predict(windows, horizon, 1, rng)
            row[name] = _score(
                forecast.quantiles, forecast.quantile_levels, actual[:, 0], observed[:, 0], unit
            )
        table[one.workload] = row
    return table


def _score(
    quantiles: F32, levels: np.ndarray, actual: F32, observed: np.ndarray, unit: float
) -> Score:
    at = [int(np.argmin(np.abs(levels - v))) for v in GATE_LEVELS]
    crps = crps_of_quantiles(quantiles, levels, actual)[observed].mean(dtype=np.float64)
    by_step = gate_losses(quantiles, actual, levels)
    tail = by_step[observed].mean(dtype=np.float64) - crps
    below = {
        v: float((actual <= quantiles[:, k])[observed].mean())
        for v, k in zip(GATE_LEVELS, at, strict=True)
    }
    blocks = block_means(by_step, observed) / unit
    return Score(float(crps) / unit, float(tail) / unit, below, tuple(blocks.tolist()))


def gate_losses(quantiles: F32, actual: F32, levels: F64) -> F32:
    """Loss that the gate compares, per step: CRPS plus the tail's pinball losses.

    Args:
        quantiles: `(B, Q, H)`.
        actual: `(B, H)`.
        levels: `(Q,)`.

    Returns:
        `(B, H)`, in the unit of the demand.
    """
    at = [int(np.argmin(np.abs(levels - v))) for v in GATE_LEVELS]
    tails = pinball(quantiles[:, at], levels[at], actual).sum(axis=1)
    return np.asarray(crps_of_quantiles(quantiles, levels, actual) + tails, dtype=np.float32)


def block_means(losses: F32, observed: Bool) -> F64:
    """Means of `(B, H)` losses over `GATE_BLOCKS` runs of rows, rows in time order.

    Blocks without an observed step are left out.
    """
    rows = np.array_split(np.arange(len(losses)), GATE_BLOCKS)
    means = [losses[r][observed[r]].mean(dtype=np.float64) for r in rows if observed[r].any()]
    return np.array(means, dtype=np.float64)


def is_clear(loss: Sequence[float] | F64, lower: Sequence[float] | F64) -> bool:
    """True when `lower` beats `loss` in the mean and steadily so, block by block.

    A held-out part of a day or two is one draw of what may follow: a lead made in one burst of it
    did not last on the public traces, and every change of forecaster throws calibration back.

    Args:
        loss: Mean loss per block, in time order.
        lower: The same of the challenger.
    """
    own, other = np.asarray(loss), np.asarray(lower)
    if own.mean() <= (1 + GATE_TOLERANCE) * other.mean():
        return False
    lead = own - other
    if lead.size < 2:
        return False
    error = lead.std(ddof=1) / np.sqrt(lead.size)
    return bool(lead.mean() > GATE_T * error)


def backtest(
    series: Sequence[Series],
    predictors: Mapping[str, Predictor],
    config: ForecasterConfig,
    rng: np.random.Generator,
    *,
    n_last: int,
) -> Gate:
    """Compare predictors on the last `n_last` steps of every series and choose per workload.

    Args:
        series: Histories, including the steps to test on; a model among the predictors must not
            have been trained on those.
        predictors: By name; the trained model, if any, under `MODEL`.
        config: Configuration.
        rng: For paths, which do not enter the scores.
        n_last: Steps to test on.

    Raises:
        HistoryTooShort: If no series has an origin to test.
    """
    bounds = [(max(s.n_steps - n_last, 0), s.n_steps) for s in series]
    origins = origins_between(series, config, bounds)
    if origins.which.size == 0:
        raise HistoryTooShort(f"no origin with an observed outcome in the last {n_last} steps")
    table = score_table(series, thin(origins, MAX_ORIGINS), predictors, config, rng)
    return judge(table, [s.workload for s in series])


def thin(origins: Origins, n_most: int) -> Origins:
    """At most `n_most` origins per series, evenly spread."""
    kept = []
    for i in np.unique(origins.which):
        rows = np.flatnonzero(origins.which == i)
        n_kept = min(n_most, rows.size)
        kept.append(rows[np.unique(np.linspace(0, rows.size - 1, n_kept).astype(np.int64))])
    return origins.take(np.concatenate(kept))


def judge(table: ScoreTable, workloads: Sequence[str]) -> Gate:
    """Choose a rung per workload from its scores."""
    rungs: dict[str, str] = {}
    reasons: dict[str, str] = {}
    model_sum, simple_sum, model_crps, simple_crps = 0.0, 0.0, [], []
    for workload in workloads:
        row = table.get(workload)
        if row is None:
            reasons[workload] = "no observed outcome to back-test on"
            continue
        simple = {name: score for name, score in row.items() if name != MODEL}
        best = min(simple, key=lambda name: simple[name].gate)
        simple_crps.append(simple[best].crps)
        rungs[workload] = best
        model = row.get(MODEL)
        if model is None:
            reasons[workload] = f"no model; {best} scored best ({simple[best].gate:.4f})"
            continue
        model_crps.append(model.crps)
        model_sum, simple_sum = model_sum + model.gate, simple_sum + simple[best].gate
        ratio = model.gate / max(simple[best].gate, 1e-12)
        if not is_clear(model.by_block, simple[best].by_block):
            rungs[workload] = MODEL
        reasons[workload] = f"model/{best} back-test score ratio {ratio:.3f}"
    return Gate(
        rungs,
        reasons,
        table,
        float(np.mean(model_crps)) if model_crps else float("nan"),
        float(np.mean(simple_crps)) if simple_crps else float("nan"),
        1 - model_sum / simple_sum if simple_sum > 0 else float("nan"),
    )
