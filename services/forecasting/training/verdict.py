"""Verdict on a fitted model: is it better than what serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from forecaster import (
    MODEL,
    PRIOR_RUNG,
    BestSimple,
    Comparison,
    FitReport,
    FitResult,
    HistoryTooShort,
    Ladder,
    Series,
    TrainedModel,
    compare,
)
from services.kernel.clock import make_rng

TRAINED_UNTIL = "trained_until_s"
"""Where the metrics of a model have the newest step that it was trained on, epoch seconds."""
LEAST_HORIZONS = 2
"""Fewest horizons of steps that an incumbent is compared on, as many as are held out at least."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a comparison on steps that training never saw.

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


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The model that serves.

    Attributes:
        trained_until_s: The newest step that it was trained on, epoch seconds; None: not known.
    """

    model: TrainedModel
    trained_until_s: int | None = None

    def unknown_steps(self, series: Sequence[Series], n_held: int) -> int:
        """How many of the held-out steps it was not trained on; all where that is not known."""
        if self.trained_until_s is None:
            return n_held
        last_s, step_s = max(s.last_s for s in series), series[0].step_s
        return max(0, min(n_held, (last_s - self.trained_until_s) // step_s))


def judge_fit(
    series: Sequence[Series],
    result: FitResult,
    incumbent: Incumbent | None,
    n_held: int,
    seed: int,
    prior: TrainedModel | None = None,
) -> Verdict:
    """Compare a fitted model with the simple forecasters and what serves.

    Args:
        series: Histories, with the held-out steps at their end.
        result: The fit, which has not seen those.
        incumbent: The model that serves, if any; it is compared on steps that it does not know.
        n_held: Held-out steps.
        seed: For paths, which do not enter the scores.
        prior: What answers where no model does; without an incumbent it is the one to beat.

    Raises:
        HistoryTooShort: Nothing was observed in the held-out steps.
    """
    model, config = result.model, result.model.config
    rng = make_rng(seed, "backtest", model.version)
    if prior is not None and prior.config.window != config.window:
        prior = None
    others = {} if prior is None else {PRIOR_RUNG: prior}
    found = compare(series, model, config, rng, n_last=n_held, others=others)
    own = found.skill_of(MODEL)
    reason = f"back-test skill {own.value:+.3f} against the best simple forecaster per workload"
    is_better, least = own.value > 0, own.least_lead()
    if is_better and least <= 0:
        is_better = False
        reason += f", which may be luck ({least:+.3f} in nine of ten)"
    if is_better and incumbent is not None and incumbent.model.config.window == config.window:
        is_better, more = _beats(series, model, incumbent, n_held, rng, found)
        reason += more
    metrics = _metrics(result.report, found, len({s.workload for s in series}))
    ends_s = [s.head(s.n_steps - n_held).last_s for s in series if s.n_steps > n_held]
    metrics[TRAINED_UNTIL] = max(ends_s, default=None)
    if prior is not None:
        skill = found.skill_of(PRIOR_RUNG)
        reason += f", the prior has {skill.value:+.3f}"
        is_better = is_better and (incumbent is not None or own.least_lead(skill) > 0)
        metrics |= {"prior_skill": skill.value, "simple_only": found.simple_only(PRIOR_RUNG)}
    simple, simple_only = (
        BestSimple(metrics["picks"], config.window),
        metrics.get("simple_only", ()),
    )
    ladder = Ladder(model, simple, prior=prior, simple_only=frozenset(simple_only))
    return Verdict(is_better, reason, metrics, ladder)


def _beats(
    series: Sequence[Series],
    model: TrainedModel,
    incumbent: Incumbent,
    n_held: int,
    rng: np.random.Generator,
    found: Comparison,
) -> tuple[bool, str]:
    """Whether a model is better than the incumbent, and why, on steps that neither was trained on.

    After histories were filled in the held-out part may be longer than when the incumbent was
    fitted, and hold steps that it knows.
    """
    version, config = incumbent.model.version, model.config
    n_steps = incumbent.unknown_steps(series, n_held)
    n_least = LEAST_HORIZONS * config.window.horizon
    own = found
    try:
        if n_steps < min(n_least, n_held):
            raise HistoryTooShort(f"{n_least} are right")
        old = compare(series, incumbent.model, config, rng, n_last=n_steps)
        if n_steps < n_held:
            own = compare(series, model, config, rng, n_last=n_steps)
    except HistoryTooShort as error:
        if n_steps == n_held:
            raise
        return False, (
            f"; incumbent {version} stays: it was trained on all but the last {n_steps} of the "
            f"{n_held} steps that are judged on ({error})"
        )
    reason = f", incumbent {version} has {old.skill:+.3f}"
    if n_steps < n_held:
        reason += f" on the last {n_steps} steps, which it was not trained on; there the new one "
        reason += f"has {own.skill:+.3f}"
    lead = own.skill_of(MODEL).least_lead(old.skill_of(MODEL))
    if own.skill > old.skill and lead <= 0:
        reason += f"; that may be luck ({lead:+.3f} in nine of ten), so it stays"
    return lead > 0, reason


def _metrics(report: FitReport, found: Comparison, n_workloads: int) -> dict[str, Any]:
    joint = {} if report.joint is None else {"joint_flow": asdict(report.joint)}
    return {
        **joint,
        "n_workloads": n_workloads,
        "n_windows": report.n_windows,
        "n_parameters": report.n_parameters,
        "epochs": report.epochs,
        "validation_crps": report.crps,
        "validation_crps_best_simple": report.crps_best_simple,
        "flow_gain_nats": report.flow_gain,
        "tree_share": None if report.trees is None else asdict(report.trees.share),
        "backtest_crps": found.crps_model,
        "backtest_crps_best_simple": found.crps_simple,
        "backtest_skill": found.skill,
        "backtest_coverage": _coverage(found),
        "skipped": report.skipped,
        # of all that were scored: one that was too young to be fitted may be in `simple_only`
        "picks": report.picks | found.picks,
        "ratios": found.ratios,
    }


def _coverage(found: Comparison) -> dict[str, float]:
    """Share of held-out outcomes below each level of the upper tail, mean over workloads."""
    rows = [row[MODEL].coverage for row in found.scores.values()]
    return {f"{level:.4g}": float(np.mean([row[level] for row in rows])) for level in rows[0]}
