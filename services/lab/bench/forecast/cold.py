"""The prior for workloads that have just begun, beside the simple forecasters and a fitted model.

Every forecaster is shown the newest steps of a test window and nothing older. The prior has been
trained on other data; the fitted model on the whole history before the test part, and it is shown
all of it: what a workload can hope for once it has been fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecaster.choice.baselines import POOLS, BestSimple, pool_quantiles
from forecaster.dataset import Origins
from forecaster.features import gather_windows
from forecaster.predict import TrainedModel
from forecaster.types import Windows
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.own_arms import FittedModel, ModelArm, crps_by_cell, young
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array, FloatArray

SHOWN = (6, 12, 24, 48, 144, None)
"""Steps of history that are shown; None: all that a window reads, earlier days too."""
CHUNK = 512


@dataclass(frozen=True, slots=True)
class ColdOptions:
    """What is compared.

    Attributes:
        prior: The prior.
        is_fitted: Whether a model is fitted to compare with, which takes minutes.
        seed: Of that fit.
    """

    prior: TrainedModel
    is_fitted: bool = True
    seed: int = 7


def bench_cold(task: BenchTask, options: ColdOptions, tell: Tell) -> dict[str, Any]:
    """CRPS of the demand on the test part by steps shown, mean over workloads."""
    origins = task.test_origins()
    warm: float | None = None  # unknown where nothing is fitted
    cold: dict[int | None, float] = {}
    if options.is_fitted:
        fitted = ModelArm().fit(task, options.seed, tell)
        answer = fitted.predict(task, origins, 1, make_rng(0, "bench")).quantiles
        warm = _mean(_crps(task, origins, answer))
        for n_shown in SHOWN:
            tell(f"fitted model, {n_shown or 'all'} steps")
            answer = _trained(fitted.model, task, origins, n_shown)
            cold[n_shown] = _mean(_crps(task, origins, answer))
    rows = []
    for n_shown in SHOWN:
        tell(f"prior and simple forecasters, {n_shown or 'all'} steps")
        prior = _crps(task, origins, _trained(options.prior, task, origins, n_shown))
        simple = {
            name: _crps(task, origins, _simple(name, task, origins, n_shown)) for name in POOLS
        }
        default = _mean(simple[BestSimple({}).default])
        rows.append(
            {
                "shown": n_shown,
                "prior": _mean(prior),
                "simple": default,
                "best_simple_in_hindsight": _mean(np.min(list(simple.values()), axis=0)),
                "model_unknown": cold.get(n_shown),
                "prior_over_simple": _mean(prior) / default,
                "workloads_worse": int((prior > simple[BestSimple({}).default]).sum()),
                "prior_over_warm": None if warm is None else _mean(prior) / warm,
            }
        )
    return {
        "data": task.data,
        "workloads": len(task.series),
        "windows": int(origins.which.size),
        "prior": options.prior.version,
        "warm": warm,
        "rows": rows,
    }


def table_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as they are printed."""
    return [
        {
            "steps shown": row["shown"] or "all",
            "prior": f"{row['prior']:.4f}",
            "simple": f"{row['simple']:.4f}",
            "best simple, hindsight": f"{row['best_simple_in_hindsight']:.4f}",
            "model, unknown workload": known(row["model_unknown"], 4),
            "prior / simple": f"{row['prior_over_simple']:.3f}",
            "workloads worse": f"{row['workloads_worse']} of {document['workloads']}",
            "prior / warm": known(row["prior_over_warm"], 3),
        }
        for row in document["rows"]
    ]


def known(value: float | None, n_digits: int) -> str:
    """A figure, or a dash where nothing was fitted."""
    return "–" if value is None else f"{value:.{n_digits}f}"


def _mean(cells: FloatArray) -> float:
    return float(np.mean(cells[np.isfinite(cells)]))


def _crps(task: BenchTask, origins: Origins, quantiles: F32Array) -> FloatArray:
    return crps_by_cell(task, origins, task.truth(origins), Prediction(quantiles))[:, 0]


def _trained(
    model: TrainedModel, task: BenchTask, origins: Origins, n_shown: int | None
) -> F32Array:
    """(B, 1, Q, H) of a trained model."""
    one = FittedModel(model, 0)
    rng = make_rng(0, "bench")
    return one.as_unknown(task, origins, rng, n_shown).quantiles


def _simple(name: str, task: BenchTask, origins: Origins, n_shown: int | None) -> F32Array:
    """(B, 1, Q, H) of a simple forecaster."""
    parts: list[F32Array] = []
    for windows in _windows(task, origins, n_shown):
        found = pool_quantiles(name, windows, task.window.horizon, task.window, tuple(LEVELS))
        parts.append(found[:, None])
    return np.concatenate(parts)


def _windows(task: BenchTask, origins: Origins, n_shown: int | None) -> Sequence[Windows]:
    found = []
    for start in range(0, origins.which.size, CHUNK):
        own = origins.take(np.arange(start, min(start + CHUNK, origins.which.size)))
        windows = gather_windows(task.series, own.which, own.position, task.window)
        found.append(windows if n_shown is None else young(windows, n_shown))
    return found
