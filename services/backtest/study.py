"""Harmony against its rivals on one trace, at one or more promises, with a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decider import DecideConfig
from services.backtest.controller import ControllerOptions
from services.backtest.equal_violation import EqualViolation, at_equal_violation
from services.backtest.frontier import DEFAULT_RIVALS, PolicyFrontier, check_policies, frontiers
from services.backtest.predictors import Trained, train, without_model
from services.backtest.recommend import Recommendation, check_price, recommend, why_none
from services.backtest.run import run_harmony
from services.kernel.clock import make_rng
from services.kernel.domain.figures import percentage
from services.simulator import HistoryRun, PolicyScore, run_rivals, score, simulate_history
from services.simulator.fleet import Fleet

Trainer = Callable[[Fleet, HistoryRun], Trained]

SIMPLE = "harmony_best_simple"
MODEL = "harmony"
_DECIDE = DecideConfig(epsilons=())
"""Counts at other promises are for explanations, which nobody reads here."""
_TOLD_UNSERVED = 0.005
"""More of the demand that a cheaper rival leaves unserved is told: time out of SLA has no depth."""
_BASELINES = ("hpa", "trailing_percentile", "static_peak")


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """Scores at one promise.

    Attributes:
        epsilon: Promised largest share of time out of SLA.
        scores: Harmony as it serves, where a model does also with the best simple forecasters,
            and the rivals.
    """

    epsilon: float
    scores: tuple[PolicyScore, ...]

    def score(self, name: str) -> PolicyScore:
        """One policy's score."""
        return next(s for s in self.scores if s.name == name)

    def verdict(self) -> str:
        """Say in a sentence if forecasting paid.

        A rival that kept the promise at a lower cost beats Harmony; one that broke it by more
        than Harmony did is no rival at this promise. Where Harmony broke it, a lower cost is no
        gain: the sentence says what it was bought with. Costs that a tenth of a percent does not
        tell apart are the same.
        """
        own = self.score(MODEL)
        kept = max(self.epsilon, own.violation_rate)
        rivals = [s for s in self.scores if s.name in _BASELINES and s.violation_rate <= kept]
        is_broken = own.violation_rate > self.epsilon
        rate = percentage(own.violation_rate)
        broken = f"Harmony broke its promise of {percentage(self.epsilon)}: {rate}"
        if not rivals:
            words = "No rival kept as low a violation rate as Harmony."
            return f"{words} {broken}." if is_broken else words
        best = min(rivals, key=lambda s: s.cost_usd)
        change = _change(own.cost_usd, best.cost_usd)
        if change >= 0:
            words = f"Forecasting did not pay here: {_no_less(own, best, change)}."
            if best.unserved_ratio - own.unserved_ratio >= _TOLD_UNSERVED:
                left = f"leaves {best.unserved_words} of the demand unserved"
                words += f" But {best.name} {left}, Harmony {own.unserved_words}."
            return f"{words} {broken}." if is_broken else words
        if is_broken:
            return (
                f"No gain at this promise: {broken}, {-change:.1%} cheaper than {best.name} at "
                f"{percentage(best.violation_rate)}. The frontier tells what its rate costs."
            )
        return f"Forecasting paid: {-change:.1%} cheaper than {best.name}."


def _change(own_usd: float, rival_usd: float) -> float:
    """Harmony's cost over a rival's, less one; beside a rival without cost 0, or no end."""
    if rival_usd > 0.0:
        return round(own_usd / rival_usd - 1.0, 3)
    return math.inf if own_usd > 0.0 else 0.0


def _no_less(own: PolicyScore, rival: PolicyScore, change: float) -> str:
    """That Harmony costs no less than a rival; of one without cost no share is claimed."""
    if change == 0:
        return f"it costs the same as {rival.name}"
    if math.isfinite(change):
        return f"{change:.1%} dearer than {rival.name}"
    return f"it costs {own.cost_usd:,.2f} USD and {rival.name} nothing"


@dataclass(frozen=True, slots=True)
class Study:
    """A whole backtest.

    Attributes:
        fleet: What was replayed.
        trained: The predictors.
        results: One per promise.
        frontiers: What each violation rate costs, Harmony first.
        matched: Harmony and its best rival at each promise, read off the frontiers.
        recommended: The promise to ask for; None where the frontier has too few useful points.
    """

    fleet: Fleet
    trained: Trained
    results: tuple[PromiseResult, ...]
    frontiers: tuple[PolicyFrontier, ...]
    matched: tuple[EqualViolation, ...]
    recommended: Recommendation | None

    def advice(self) -> str:
        """The recommended promise in a sentence, with how much it rests on."""
        n_known = _n_known(self.fleet)
        found = self.recommended
        if found is None:
            return f"No promise is recommended: {why_none(self.frontiers[0])}."
        return (
            f"Recommended promise: {percentage(found.epsilon)} of time out of SLA ({found.rule}): "
            f"{found.cost_usd:,.0f} USD and {found.hours_out:,.1f} workload-hours out of SLA in "
            f"{self.fleet.replay_hours:g} h. Read off {n_known:,} workload-steps of this replay."
        )

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` writes."""
        return {
            "data": self.fleet.label,
            "seed": self.fleet.seed,
            "step_s": self.fleet.step_s,
            "simulated_hours": self.fleet.replay_hours,
            "workloads": self.fleet.n_workloads,
            "forecaster": self.trained.reason,
            "runs": [
                {
                    "epsilon": result.epsilon,
                    "policies": {s.name: _policy_json(s) for s in result.scores},
                    "verdict": result.verdict(),
                    "at_equal_violation": matched.to_json() | {"verdict": matched.sentence()},
                }
                for result, matched in zip(self.results, self.matched, strict=True)
            ],
            "frontiers": {one.name: one.to_json() for one in self.frontiers},
            "recommended": self.recommended and self.recommended.to_json(),
        }


def _policy_json(one: PolicyScore) -> dict[str, Any]:
    return {**one.to_json(), "unserved": round(one.unserved_ratio, 6), "setting": one.setting}


def run_study(
    fleet: Fleet,
    epsilons: Sequence[float],
    tell: Callable[[str], None] = lambda _: None,
    *,
    policies: Sequence[str] = DEFAULT_RIVALS,
    shortage_usd: float | None = None,
    trainer: Trainer | None = None,
) -> Study:
    """Train on the history, then replay the rest under every policy.

    Args:
        fleet: History to train and tune on, and the part to replay, scored once.
        epsilons: Promises.
        tell: Called with what is being done.
        policies: Rivals whose frontiers are drawn.
        shortage_usd: Price of a workload's hour out of SLA, for the recommended promise.
        trainer: Makes the predictors; None: trains a model, beginning with the shipped prior.

    Raises:
        InvalidInput: A policy is unknown, or the price is not positive.
    """
    check_policies(policies)
    check_price(shortage_usd)
    tell("simulating the history")
    history = simulate_history(fleet)
    tell("training the forecaster on the history")
    trained = trainer(fleet, history) if trainer else train(fleet, history, seed=fleet.seed)
    results = []
    for epsilon in epsilons:
        tell(f"promise {percentage(epsilon)}: tuning and running the rivals")
        rivals = run_rivals(fleet, epsilon=epsilon, seed=fleet.seed)
        found = []
        for name, predictors in arms(trained):
            tell(f"promise {percentage(epsilon)}: running {name}")
            options = ControllerOptions(epsilon, decide=_DECIDE)
            found.append((name, run_harmony(fleet, history, predictors, options)))
        own = [_named(score(run, fleet, promised=epsilon), name) for name, run in found]
        results.append(PromiseResult(epsilon, (*own, *rivals.scores)))
    found_frontiers = frontiers(fleet, history, trained, policies, tell)
    recommended = recommend(found_frontiers[0], _n_known(fleet), shortage_usd)
    rng = make_rng(fleet.seed, "backtest", "equal violation")
    matched = tuple(at_equal_violation(found_frontiers, one, rng) for one in epsilons)
    return Study(fleet, trained, tuple(results), found_frontiers, matched, recommended)


def arms(trained: Trained) -> list[tuple[str, Trained]]:
    """What is run as Harmony: what serves and, where that is a model, what it adds to."""
    found = [(MODEL, trained)]
    if trained.ladder.model is not None:
        found.append((SIMPLE, without_model(trained)))
    return found


def _n_known(fleet: Fleet) -> int:
    """Workload-steps of the replay whose demand is known."""
    return int(np.isfinite(fleet.demand[:, fleet.n_history :]).sum())


def _named(one: PolicyScore, name: str) -> PolicyScore:
    return replace(one, name=name, setting="not tuned")
