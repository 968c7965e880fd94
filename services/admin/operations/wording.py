"""Findings of a back-test for its page: verdicts, figures, the useful part of frontiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.admin.decisions.reason_wording import plain
from services.admin.operations.schemas import FrontierCurve, FrontierPoint, FrontierView
from services.admin.rest.formats import clock_time

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""Statuses of an operation of which nothing more will come."""
LIMITS = (0.001, 0.005, 0.01, 0.02, 0.05)
"""Shares of time out of SLA at which policies are compared."""
MAX_RATE = 0.15
"""Nobody promises more, so frontiers are shown up to here."""
_POLICIES = {
    "harmony": "Harmony",
    "harmony_best_simple": "Harmony, best simple forecaster",
    "hpa": "HPA",
    "hpa_clipped": "HPA, clipped",
    "kpa": "KPA",
    "apa": "APA",
    "phpa_linear": "PHPA, linear",
    "phpa_holt_winters": "PHPA, Holt-Winters",
    "autopilot_mw": "Autopilot, moving window",
    "autopilot_h": "Autopilot, histogram",
    "autopilot_ml": "Autopilot, ML",
    "aws_predictive": "AWS predictive",
    "dynamo_constant": "Dynamo, constant",
    "dynamo_kalman": "Dynamo, Kalman",
    "dynamo_arima": "Dynamo, ARIMA",
}
_NAMED = re.compile(r"\b[a-z]+_[a-z_]+\b|\bhpa\b|\bkpa\b|\bapa\b")


def policy_name(name: str) -> str:
    """A policy as people call it."""
    return _POLICIES.get(name, plain(name))


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One policy on the replay at one promise; None: not kept."""

    name: str
    setting: str
    cost_usd: float | None
    gpu_hours: float | None
    violation_rate: float | None
    scale_ops: int | None
    is_kept: bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """All policies at one promise, with the verdicts in words: as deployed, at equal violation.

    Backtests of an earlier version have no second one.
    """

    epsilon: float
    verdict: str
    matched: str
    policies: tuple[PolicyFigures, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """Settings of a policy that no other setting of it beats in both rate and cost."""

    policy: str
    points: tuple[FrontierPoint, ...]


def runs(result: Mapping[str, Any]) -> list[Run]:
    """The runs of a backtest's result, cheapest policy first."""
    return [
        Run(
            epsilon=float(one["epsilon"]),
            verdict=in_words(str(one.get("verdict") or "No verdict.")),
            matched=in_words(str((one.get("at_equal_violation") or {}).get("verdict") or "")),
            policies=_policies(one.get("policies") or {}, float(one["epsilon"])),
        )
        for one in result.get("runs") or ()
    ]


def in_words(sentence: str) -> str:
    """A sentence with its policies as people call them."""

    def words(found: re.Match[str]) -> str:
        return _POLICIES.get(found.group(), found.group().replace("_", " "))

    return _NAMED.sub(words, sentence)


def _policies(found: Mapping[str, Mapping[str, Any]], epsilon: float) -> tuple[PolicyFigures, ...]:
    figures = [
        PolicyFigures(
            name=name,
            setting=str(one.get("setting") or ""),
            cost_usd=one.get("cost_usd"),
            gpu_hours=one.get("gpu_hours"),
            violation_rate=one.get("violation_rate"),
            scale_ops=one.get("scale_ops"),
            is_kept=_is_kept(one.get("violation_rate"), epsilon),
        )
        for name, one in found.items()
    ]
    return tuple(sorted(figures, key=lambda one: (one.cost_usd is None, one.cost_usd or 0.0)))


def _is_kept(rate: float | None, epsilon: float) -> bool | None:
    return None if rate is None else rate <= epsilon


def front(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """The lower left edge of some settings, by rate; unknown ones and absurd rates are left out."""
    known = [
        (point.violation_rate, point.cost_usd, point)
        for point in points
        if point.violation_rate is not None and point.cost_usd is not None
    ]
    kept: list[FrontierPoint] = []
    least = float("inf")
    for rate, cost, point in sorted(known, key=lambda one: one[:2]):
        if cost < least and rate <= MAX_RATE:
            kept.append(point)
            least = cost
    return tuple(kept)


def fronts(frontier: FrontierView) -> list[Front]:
    """The useful settings of each policy."""
    return [Front(curve.policy, front(curve.points)) for curve in frontier.curves]


def cheapest(frontier: FrontierView) -> list[tuple[str, list[float | None]]]:
    """Least cost of each policy within each of LIMITS; None: no setting keeps it."""
    return [(curve.policy, [_least(curve, limit) for limit in LIMITS]) for curve in frontier.curves]


def _least(curve: FrontierCurve, limit: float) -> float | None:
    costs = [
        point.cost_usd
        for point in curve.points
        if point.cost_usd is not None
        and point.violation_rate is not None
        and point.violation_rate <= limit
    ]
    return min(costs, default=None)


MOST_SERVICES = 100
"""Rows of a report that a page shows; the operation has all of them."""


@dataclass(frozen=True, slots=True)
class AdviceTable:
    """An advisory report for its page.

    Attributes:
        window: The time that it is about.
        verdict: All services together, in a sentence.
        rows: The dearest services, in words and figures.
        n_more: Services that are left out of them.
        notes: How the figures came about.
    """

    window: str
    verdict: str
    rows: list[Mapping[str, str]]
    n_more: int
    notes: list[str]


def advice_of(result: Mapping[str, Any]) -> AdviceTable:
    """The result of an operation of kind `advise` for its page, the dearest services first."""
    ends = (datetime.fromisoformat(result[name]) for name in ("from_at", "to_at"))
    costs = [one["today"]["cost_usd"] or 0.0 for one in result["services"]]
    order = sorted(range(len(costs)), key=lambda place: -costs[place])[:MOST_SERVICES]
    return AdviceTable(
        window=" to ".join(clock_time(at) for at in ends) + " UTC",
        verdict=result["verdict"],
        rows=[result["rows"][place] for place in order],
        n_more=len(costs) - len(order),
        notes=result["notes"],
    )
