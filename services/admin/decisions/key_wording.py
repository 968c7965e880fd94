"""The key sentence of a decision: what runs carries, what may come, what is wanted."""

from __future__ import annotations

from services.admin.decisions.reason_wording import expects_too_much
from services.admin.decisions.schemas import DecisionDetail
from services.admin.rest.formats import number

_BY_RISK = frozenset({"scale_up_risk", "scale_down_risk_allows", "hold_within_risk"})
_LEVELS = {"p99": 0.99, "p90": 0.9, "p50": 0.5}


def key_sentence(detail: DecisionDetail) -> str:
    """One sentence without its stop; empty where these figures alone do not tell why.

    `20 replicas carry 116 k tokens/s; by the time a change takes effect it may be 128 k: 22 keep
    the promise`, or `are wanted` where that count is not known to. What may come is the quantile
    that is nearest below the promise.
    """
    carried, coming = detail.capacity_per_replica, _coming(detail)
    if detail.reason not in _BY_RISK or not carried or coming is None:
        return ""
    current, wanted = detail.current_replicas, detail.raw_replicas
    if not _tells(current, wanted, coming / carried):
        return ""
    about = "" if detail.capacity_source == "stated" else "about "
    unit = f" {detail.demand_unit}" if detail.demand_unit else ""
    by = ", going by others like it" if detail.capacity_source == "group" else ""
    noun = "1 replica carries" if current == 1 else f"{current} replicas carry"
    text = (
        f"{noun} {about}{number(current * carried)}{unit}{by}; by the time a change takes effect "
        f"it may be {number(coming)}: {wanted} {_does(detail, wanted)}"
    )
    changed = wanted != detail.desired_replicas
    return f"{text}, and the guards made it {detail.desired_replicas}" if changed else text


def _does(detail: DecisionDetail, wanted: int) -> str:
    """That so many keep the promise, only where what is expected of those decided says so."""
    estimated, decided = detail.risk_estimated, detail.desired_replicas
    is_kept = estimated is not None and not expects_too_much(estimated, detail.risk_target)
    if is_kept and wanted >= decided:
        return "keeps the promise" if wanted == 1 else "keep the promise"
    return "is wanted" if wanted == 1 else "are wanted"


def _coming(detail: DecisionDetail) -> float | None:
    quantiles = detail.explanation.get("quantiles")
    known = quantiles if isinstance(quantiles, dict) else {}
    for name, level in _LEVELS.items():
        value = known.get(name)
        if level <= 1 - detail.risk_target + 1e-9 and isinstance(value, (int, float)):
            return float(value)
    return None


def _tells(current: int, wanted: int, needed: float) -> bool:
    """Check that the figures do not say the contrary: other things decided then."""
    if current < 1 or wanted < 1:
        return False
    if wanted > current:
        return needed > current
    return needed <= wanted if wanted < current else needed <= current
