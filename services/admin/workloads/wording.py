"""What is known of a promise, in words; pure. A believed figure is never called measured."""

from __future__ import annotations

from services.admin.rest.formats import DASH, percent
from services.admin.workloads.schemas import RiskView

UNKNOWN = "no step was looked at yet"
_MISSED = {"DemandFraction": "of requests missed"}
_BETWEEN = ": the threshold lies between two bucket edges"
_OUT = "of the time beyond capacity"
"""Of every kind of promise: the believed ledger counts each step alike, whatever its demand."""


def missed(risk: RiskView) -> str:
    """What the share in `violation_ratio` is a share of: `of requests missed`."""
    if risk.source == "measured":
        return _MISSED.get(risk.kind, "of minutes missed")
    return _OUT


def why_unmeasured(risk: RiskView) -> str:
    """Why nothing is measured, or not at present, with what to do; empty: it is measured."""
    why = risk.sli_message.strip().rstrip(".")
    if risk.source == "measured":
        return f"not measured at present: {why}" if why else ""
    return f"nothing measured: {why}" if why else "nothing measured"


def share(risk: RiskView) -> str:
    """The share out of SLA; of a range both ends: `0.8 % to 1.2 %`, `0.7 % (0.1 % to 40 %)`."""
    return _share(risk)


def remaining(risk: RiskView) -> str:
    """What is left of the error budget; of a range both ends."""
    figure, low, high = risk.budget_remaining, risk.budget_remaining_low, risk.budget_remaining_high
    if low is None:
        return _range(figure, high)
    return _around(figure, low, figure if high is None else high)


def _share(risk: RiskView, why: str = "") -> str:
    if risk.source != "measured":
        return _range(None, risk.violation_ratio)
    figure, low, high = risk.violation_ratio, risk.measured_low_ratio, risk.measured_high_ratio
    if high is None:
        return _range(low, figure)
    return _around(figure, figure if low is None else low, high, why)


def _range(low: float | None, high: float | None) -> str:
    """Both ends, or the one that is known; one figure too where they read alike."""
    ends = dict.fromkeys(percent(end) for end in (low, high) if end is not None)
    return " to ".join(ends) or DASH


def _around(figure: float | None, low: float | None, high: float | None, why: str = "") -> str:
    """An estimate with the range that contains the truth; alone where all read alike."""
    known, ends = percent(figure), _range(low, high)
    return known if ends == known else f"{known} ({ends}{why})"


def violation(risk: RiskView) -> str:
    """The share out of SLA, with its source: `measured 0.8 % to 1.2 % of requests missed`.

    An estimate says why it is one.
    """
    if risk.source is None:
        return UNKNOWN
    if risk.violation_ratio is None:
        return f"{risk.source}, no requests in the window"
    figure = f"{risk.source} {_share(risk, _BETWEEN)} {missed(risk)}"
    return figure if risk.source == "measured" else f"{figure} ({why_unmeasured(risk)})"


def budget_left(risk: RiskView) -> str:
    """What is left of the error budget, with its source: `20 % left, measured`."""
    if risk.source is None or risk.budget_remaining is None:
        return DASH
    return f"{remaining(risk)} left, {risk.source}"


def promise(risk: RiskView) -> str:
    """Both figures and the budget: `measured 1.2 % of requests missed; believed 0.4 % …`."""
    parts = [violation(risk)]
    if risk.source != "believed" and risk.sli_message:
        parts.append(why_unmeasured(risk))
    if risk.source == "measured" and risk.believed_ratio is not None:
        parts.append(f"believed {percent(risk.believed_ratio)}")
    if risk.budget_remaining is not None:
        parts.append(f"error budget {budget_left(risk)}")
    return "; ".join(parts)


def faults(risk: RiskView) -> tuple[str, ...]:
    """What replicas do not cure, each with what to do; nothing: nothing says so."""
    found = (risk.goal_unreachable_message, risk.not_capacity_message)
    return tuple(message for message in found if message)
