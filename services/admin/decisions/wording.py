"""Reasons, guards and counterfactuals in plain words, for people on call.

A word that is not listed here is shown as it is, so a new reason never breaks the console.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.admin.decisions.budget_wording import BudgetWords, explain_budget
from services.admin.decisions.key_wording import key_sentence
from services.admin.decisions.loads_wording import explain_loads
from services.admin.decisions.misses_wording import explain_misses
from services.admin.decisions.mix_wording import PartWords, explain_parts
from services.admin.decisions.outcome_wording import cut_off_words
from services.admin.decisions.reason_wording import plain, reason_sentence, risk_sentence
from services.admin.decisions.schemas import DecisionDetail
from services.admin.rest.formats import DASH, number, percent

GUARDS = {
    "stale_input": "Is the input fresh?",
    "replicas_known": "Are the replicas known?",
    "paused": "Paused?",
    "one_way": "Only one direction allowed?",
    "schedule": "Schedule or freeze in force?",
    "bounds": "Minimum and maximum",
    "consolidation": "Does the present load fit?",
    "schedulable": "Free GPUs",
    "rate_limit": "Rate limit",
    "tolerance": "Worth a move?",
    "stabilisation": "Stabilisation window",
    "fleet": "GPU budget of the fleet",
    "mix": "mix of variants",
}
BEST_RUNGS = {"model", "forecast"}
_COUNTERFACTUALS = {
    "median_forecast": "if only the median forecast counted",
    "zero_lead_time": "if replicas started at once",
    "nothing_waiting": "if no request were waiting",
    "model_trusted": "if the forecast's model were trusted",
}


@dataclass(frozen=True, slots=True)
class GuardRow:
    """One guard of the trace: its name in words, the counts, what it saw."""

    label: str
    before: int
    after: int
    detail: str

    @property
    def is_active(self) -> bool:
        """True where the guard changed the count."""
        return self.before != self.after


_ONE_TARGET = PartWords()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision's why, ready for the page."""

    sentence: str
    estimate: str
    guards: tuple[GuardRow, ...]
    counterfactuals: tuple[tuple[str, int, int], ...]
    quantiles: tuple[tuple[str, str], ...]
    risk: tuple[tuple[str, str], ...]
    plan: tuple[int, ...]
    is_budget_exhausted: bool
    gpu_budget: BudgetWords
    parts: PartWords = _ONE_TARGET
    misses: str = ""
    loads: str = ""
    cut_off: str = ""
    key: str = ""

    @property
    def quiet(self) -> tuple[GuardRow, ...]:
        """Guards that changed nothing."""
        return tuple(guard for guard in self.guards if not guard.is_active)


def explain(detail: DecisionDetail) -> Explanation:
    """The stored explanation in words; parts that are absent are left out."""
    record = detail.explanation
    risk = _mapping(record.get("risk"))
    return Explanation(
        sentence=reason_sentence(detail),
        estimate=risk_sentence(detail),
        guards=tuple(_guard(item) for item in record.get("guard_trace") or () if _is_guard(item)),
        counterfactuals=tuple(
            (counterfactual(name), int(count), int(count) - detail.raw_replicas)
            for name, count in sorted(_what_if(record).items(), key=lambda item: _rank(item[0]))
            if isinstance(count, (int, float))
        ),
        quantiles=tuple(
            (name, number(value) if isinstance(value, (int, float)) else DASH)
            for name, value in _mapping(record.get("quantiles")).items()
        ),
        risk=_risk_rows(risk, detail),
        plan=tuple(int(n) for n in record.get("plan") or () if isinstance(n, (int, float))),
        is_budget_exhausted=risk.get("is_budget_exhausted") is True,
        gpu_budget=explain_budget(record),
        parts=explain_parts(record),
        misses=explain_misses(detail),
        cut_off=cut_off_words(detail.killed_pods),
        loads=explain_loads(record),
        key=key_sentence(detail),
    )


def _what_if(record: Mapping[str, Any]) -> dict[str, Any]:
    """Counterfactuals, and what a forecast that is not trusted asked for."""
    shadow = record.get("model_replicas")
    return _mapping(record.get("counterfactuals")) | (
        {} if shadow is None else {"model_trusted": shadow}
    )


def counterfactual(name: str) -> str:
    """`epsilon_0.001` as `at a promise of 0.1 %`."""
    level = _epsilon(name)
    if level is not None:
        return f"at a promise of {percent(level)}"
    return _COUNTERFACTUALS.get(name, plain(name))


def _epsilon(name: str) -> float | None:
    if not name.startswith("epsilon_"):
        return None
    try:
        return float(name.removeprefix("epsilon_"))
    except ValueError:
        return None


def _rank(name: str) -> tuple[float, str]:
    """Risk levels in rising order, then the others by name: JSONB keeps no order of its own."""
    level = _epsilon(name)
    return (math.inf if level is None else level), name


def _risk_rows(risk: Mapping[str, Any], detail: DecisionDetail) -> tuple[tuple[str, str], ...]:
    after = risk.get("after", detail.risk_estimated)
    rows = [
        ("Promised", risk.get("target", detail.risk_target)),
        ("In use after pacing and feedback", risk.get("level")),
        (f"Estimated if kept at {detail.current_replicas}", risk.get("before")),
        (f"Estimated with {detail.desired_replicas}", after),
    ]
    return tuple((label, percent(v)) for label, v in rows if isinstance(v, (int, float)))


def _is_guard(item: object) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(name), int) for name in ("before", "after")
    )


def _guard(item: Mapping[str, Any]) -> GuardRow:
    name = str(item.get("guard", ""))
    label = GUARDS.get(name, plain(name))
    return GuardRow(label, item["before"], item["after"], str(item.get("detail") or ""))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
