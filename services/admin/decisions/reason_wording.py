"""The reason of a decision in plain words, as the figures that stand beside it have it.

The cheapest count by the price of risk wins, not the least one that keeps the promise: one decision
may expect more out of SLA than promised, another less than it need. Neither is called the other.
"""

from __future__ import annotations

from services.admin.decisions.schemas import DecisionDetail
from services.admin.rest.formats import percent
from services.kernel.domain.workload import RiskKind

_NONE_BETTER = "By the present price of risk no other count within the bounds is better."
_MOVED = " That price is moved until many decisions together keep the promise."
# reason -> (short, sentence)
REASONS: dict[str, tuple[str, str]] = {
    "scale_up_risk": (
        "Load may outgrow the replicas",
        "Staying at {current} would put more out of SLA than promised, so the count rises before "
        "the load does.",
    ),
    "scale_up_reactive_floor": (
        "Present load needs more",
        "The load observed last does not fit into {current}, whatever the forecast says.",
    ),
    "scale_up_fallback": (
        "More, by a fallback",
        "No usable forecast: a fallback rung asked for more replicas.",
    ),
    "scale_up_bounds": ("Below the minimum", "{current} lies below the lower bound."),
    "scale_down_risk_allows": (
        "Fewer keep the promise",
        "With {final} the promise is expected to be kept, at less cost.",
    ),
    "scale_down_nothing_keeps": (
        "No count keeps the promise",
        "No count that is allowed keeps the promise, and {current} would hardly miss less.",
    ),
    "scale_down_fallback": (
        "Fewer, by a fallback",
        "No usable forecast: a fallback rung is content with fewer replicas.",
    ),
    "scale_down_bounds": ("Above the maximum", "{current} lies above the upper bound."),
    "scale_down_gpu_budget": ("GPU budget", "The GPU budget does not allow {current}."),
    "hold_within_risk": (
        "Expected to keep the promise",
        "With {current} the promise is expected to be kept. " + _NONE_BETTER,
    ),
    "hold_fallback": ("Held: fallback", "No usable forecast: the count stays as it is."),
    "hold_stale_forecast": ("Held: stale forecast", "The forecast is too old to act upon."),
    "hold_paused": ("Held: paused", "Scaling is paused."),
    "hold_paused_until": ("Held: paused", "Scaling is paused until a set time."),
    "hold_scale_in_only": ("Held: only decreases", "Only decreases are allowed at present."),
    "hold_scale_out_only": ("Held: only increases", "Only increases are allowed at present."),
    "hold_freeze": ("Held: freeze", "A freeze is in force."),
    "hold_bounds": ("Held at a bound", "The bounds leave no other count."),
    "hold_max_replicas": (
        "Held at the maximum",
        "More would be needed to keep the promise, but {current} is the upper bound.",
    ),
    "hold_consolidation": (
        "Held: load would not fit",
        "Fewer replicas could not absorb the load observed last, or too little has been observed.",
    ),
    "hold_not_schedulable": ("Held: no free GPUs", "No more GPUs can be scheduled at present."),
    "hold_rate_limit": ("Held: rate limit", "The rate limit of `behavior` is used up."),
    "hold_tolerance": ("Held: within tolerance", "The change is too small to be worth a move."),
    "hold_stabilisation": (
        "Held: stabilisation",
        "An earlier recommendation within the stabilisation window differs.",
    ),
    "hold_gpu_budget": ("Held: GPU budget", "The GPU budget is used up."),
    "hold_unknown_replicas": (
        "Held: replicas unknown",
        "The cluster has not been seen, so the present count is not known.",
    ),
    "hold_budget_unreadable": (
        "Held: budget unreadable",
        "The GPU budget cannot be read, so nothing may be added.",
    ),
    "rebalance_variants": (
        "Another mix of GPU types",
        "The capacity stays; other variants serve it at less cost or within the GPU budgets.",
    ),
}
# The same where the rung below answers because the forecast's model does not pay.
_DISTRUSTED = {
    "scale_up_fallback": "The forecast's model costs more than it saves here: the trailing "
    "percentile answers, and asked for more replicas.",
    "scale_down_fallback": "The forecast's model costs more than it saves here: the trailing "
    "percentile answers, and is content with fewer replicas.",
    "hold_fallback": "The forecast's model costs more than it saves here: the trailing percentile "
    "answers, and the count stays as it is.",
}
# The same where the count that was decided is expected to miss more than is promised.
_OVER = {
    "scale_down_risk_allows": (
        "Fewer are worth the risk",
        "With {final} more is expected out of SLA than promised, yet by the present price of risk "
        "that is a better count than {current}." + _MOVED,
    ),
    "hold_within_risk": (
        "Held: more are not worth it",
        "With {current} more is expected out of SLA than promised. " + _NONE_BETTER + _MOVED,
    ),
}
# The same where the count that ran is expected to keep it.
_UNFORCED = {
    "scale_up_risk": "Staying at {current} would be expected to keep the promise, but by the "
    "present price of risk {final} is a better count." + _MOVED,
}


_ESTIMATED_OF: dict[RiskKind, str] = {
    "TimeFraction": "time",
    "DemandFraction": "requests",
    "AnyInWindow": "steps",
}


def plain(word: str) -> str:
    """`some_word` as `Some word`."""
    return word.replace("_", " ").capitalize()


def expects_too_much(estimated: float | None, target: float) -> bool:
    """Check that more is expected out of SLA than promised, as both are read."""
    is_more = estimated is not None and estimated > target
    return is_more and percent(estimated) != percent(target)


def short_reason(reason: str, estimated: float | None, target: float) -> str:
    """A reason for a table cell.

    Args:
        reason: The decision's.
        estimated: Share expected out of SLA with what was decided; None: unknown.
        target: Share promised at most.
    """
    if reason in _OVER and expects_too_much(estimated, target):
        return _OVER[reason][0]
    return REASONS.get(reason, (plain(reason), ""))[0]


def risk_sentence(detail: DecisionDetail) -> str:
    """`Estimated 0.9 % of time out of SLA with it, promised at most 1 %.`; empty: not estimated.

    Demand is estimated of a promise about requests until what load does to them has been learned.
    """
    if detail.risk_estimated is None:
        return ""
    of = "" if detail.risk_kind is None else f" of {_ESTIMATED_OF[detail.risk_kind]}"
    if detail.risk_kind == "DemandFraction" and detail.expected_misses is None:
        of = " of demand"
    return (
        f"Estimated {percent(detail.risk_estimated)}{of} out of SLA with it, promised at most "
        f"{percent(detail.risk_target)}."
    )


def reason_sentence(detail: DecisionDetail) -> str:
    """Why, in one or two sentences; nothing in them says other than the figures beside them."""
    text = _sentence(detail)
    return text.format(current=detail.current_replicas, final=detail.desired_replicas)


def _sentence(detail: DecisionDetail) -> str:
    reason, record = detail.reason, detail.explanation
    if "model_replicas" in record and reason in _DISTRUSTED:  # a forecast was there, not trusted
        return _DISTRUSTED[reason]
    if reason in _OVER and expects_too_much(detail.risk_estimated, detail.risk_target):
        return _OVER[reason][1]
    risk = record.get("risk")
    before = risk.get("before") if isinstance(risk, dict) else None
    is_kept = isinstance(before, (int, float)) and not before > detail.risk_target
    if reason in _UNFORCED and is_kept:
        return _UNFORCED[reason]
    return REASONS.get(reason, ("", plain(reason) + "."))[1]
