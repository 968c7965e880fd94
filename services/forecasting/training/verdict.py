"""Verdict on a fitted model: is it better than what serves, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from forecaster import (
    MODEL,
    BestSimple,
    FitReport,
    FitResult,
    Gate,
    Ladder,
    Series,
    TrainedModel,
    backtest,
    contenders,
)
from services.kernel.clock import make_rng


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a back-test on steps that training never saw.

    Attributes:
        is_better: Than the simple forecasters and the incumbent.
        reason: Why, with figures.
        metrics: What the registry keeps; may hold NaN.
        ladder: What serves if this model is promoted.
    """

    is_better: bool
    reason: str
    metrics: dict[str, Any]
    ladder: Ladder


def judge_fit(
    series: Sequence[Series],
    result: FitResult,
    incumbent: TrainedModel | None,
    n_held: int,
    seed: int,
) -> Verdict:
    """Back-test a fitted model against the simple forecasters and the incumbent.

    Args:
        series: Histories, with the held-out steps at their end.
        result: The fit, which has not seen those.
        incumbent: The model that serves, if any.
        n_held: Held-out steps.
        seed: For paths, which do not enter the scores.

    Raises:
        HistoryTooShort: Nothing was observed in the held-out steps.
    """
    model, config = result.model, result.model.config
    rng = make_rng(seed, "backtest", model.version)
    gate = backtest(series, contenders(model, config.window), config, rng, n_last=n_held)
    reason = f"back-test skill {gate.skill:+.3f} against the best simple forecaster per workload"
    is_better = gate.skill > 0
    if is_better and incumbent is not None and incumbent.config.window == config.window:
        old = backtest(series, contenders(incumbent, config.window), config, rng, n_last=n_held)
        is_better = gate.skill > old.skill
        reason += f", incumbent {incumbent.version} has {old.skill:+.3f}"
    metrics = _metrics(result.report, gate, len({s.workload for s in series}))
    simple_picks = BestSimple(metrics["picks"], config.window)
    ladder = Ladder(model, simple_picks, rungs=gate.rungs, reasons=gate.reasons)
    return Verdict(is_better, reason, metrics, ladder)


def _metrics(report: FitReport, gate: Gate, n_workloads: int) -> dict[str, Any]:
    return {
        "n_workloads": n_workloads,
        "n_windows": report.n_windows,
        "n_parameters": report.n_parameters,
        "epochs": report.epochs,
        "validation_crps": report.crps,
        "validation_crps_best_simple": report.crps_best_simple,
        "flow_gain_nats": report.flow_gain,
        "tree_share": None if report.trees is None else asdict(report.trees.share),
        "backtest_crps": gate.crps_model,
        "backtest_crps_best_simple": gate.crps_simple,
        "backtest_skill": gate.skill,
        "backtest_coverage": _coverage(gate),
        "skipped": report.skipped,
        "picks": {w: gate.best_simple(w, pick) for w, pick in report.picks.items()},
        "rungs": gate.rungs,
        "reasons": gate.reasons,
    }


def _coverage(gate: Gate) -> dict[str, float]:
    """Share of held-out outcomes below each level that the gate looks at, mean over workloads."""
    rows = [row[MODEL].coverage for row in gate.scores.values() if MODEL in row]
    levels = rows[0] if rows else {}
    return {f"{level:.4g}": float(np.mean([row[level] for row in rows])) for level in levels}
