"""Tables of a simulated month, from its document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.lab.bench.month.document import RIVAL_BROKEN, SERVED_WORSE, TOTAL
from services.lab.bench.month.source import HARMONY

Part = Mapping[str, Any]
Row = dict[str, object]
SCALE_TOLERANCE = 1e-6


def parts(document: Mapping[str, Any]) -> list[Part]:
    """What gets a table: each source, and the total where there is more than one."""
    sources = list(document["sources"])
    return sources if len(sources) == 1 else [*sources, document["total"]]


def title(part: Part, days: int) -> str:
    """What the figures cover, and whether they were scaled."""
    size = f"{part['workloads']} workloads, {part['mean_demand_gpus']:,.0f} GPUs of mean demand"
    if part["data"] == TOTAL:
        return f"total of {days} days: {size}"
    measured = f"{part['days_measured']:.3g} days measured"
    is_scaled = abs(part["scale"] - 1.0) > SCALE_TOLERANCE
    return f"{part['data']}: {size}; {measured}" + (f", scaled to {days}" if is_scaled else "")


def rows(part: Part, promise: float) -> list[Row]:
    """Harmony first, then what it saved against each rival; every row says what was broken."""
    return [_row(name, one, part, promise) for name, one in part["policies"].items()]


def _row(name: str, one: Mapping[str, Any], part: Part, promise: float) -> Row:
    saved = part["savings"].get(name, {})
    return {
        "policy": name,
        "GPU-hours": f"{one['gpu_hours']:,.0f}",
        "USD": f"{one['cost_usd']:,.0f}",
        "out of SLA": _percent(one["violation_rate"]),
        "worst": _percent(one["worst_workload_rate"]),
        "over promise": f"{one['workloads_over_promise']} of {one['workloads_rated']}",
        "saved GPU-hours": _signed(saved.get("gpu_hours")),
        "saved USD": _signed(saved.get("cost_usd")),
        "saved": _percent(saved.get("cost_ratio"), "+.1f"),
        "GPU-hours / 1,000 GPUs": _signed(saved.get("gpu_hours_per_1000_gpus")),
        "USD / 1,000 GPUs": _signed(saved.get("cost_usd_per_1000_gpus")),
        "remark": remark(name, part, promise) or None,
    }


def remark(name: str, part: Part, promise: float) -> str:
    """The remarks on a row in words; empty where there is nothing to add."""
    own, rival = part["policies"][HARMONY], part["policies"][name]
    rate, other = own["violation_rate"], rival["violation_rate"]
    if rate is None or other is None:
        return "rate unknown"
    words = []
    codes = part["savings"][name]["remarks"] if name != HARMONY else []
    if own["is_promise_kept"] is False:
        words.append(f"PROMISE BROKEN by Harmony: {_exact(rate)} > {_exact(promise)}")
    if part["data"] == TOTAL and part["broken_on"]:
        words.append(f"broken by Harmony on {', '.join(part['broken_on'])}")
    if SERVED_WORSE in codes:
        words.append(f"Harmony out of SLA more: {_exact(rate)} > {_exact(other)}")
    if RIVAL_BROKEN in codes:
        words.append(f"{name} broke the promise: {_exact(other)}")
    return "; ".join(words)


def settings(part: Part) -> str:
    """How each policy was set; empty for the total."""
    found = []
    for name, one in part["policies"].items():
        if one.get("setting"):
            missed = " (missed the promise where chosen)" if _is_missed(one) else ""
            found.append(f"{name} {one['setting']}{missed}")
    return "Settings: " + "; ".join(found) + "." if found else ""


def assumptions(document: Mapping[str, Any]) -> list[str]:
    """Everything that the figures rest on, in sentences, each once."""
    found = ["Rates are shares of known time out of SLA, means over workloads; the promise is "]
    found[0] += f"{_exact(document['promise'])}, and holds for each workload."
    if any(abs(one["scale"] - 1.0) > SCALE_TOLERANCE for one in document["sources"]):
        found.append("Scaled figures assume that the days not measured are like those that were.")
    for one in document["sources"]:
        found += one["assumptions"]["in_words"]
        if "forecaster" in one["assumptions"]:
            found.append(f"Forecaster of the {one['data']}: {one['assumptions']['forecaster']}.")
    return list(dict.fromkeys(found))


def _is_missed(one: Mapping[str, Any]) -> bool:
    return one["kept_where_chosen"] is False and "missed" not in one["setting"]


def _percent(value: float | None, form: str = ".2f") -> str | None:
    return None if value is None else f"{100 * value:{form}} %"


def _exact(value: float) -> str:
    """Digits enough to tell a rate from the promise that it just missed."""
    return f"{100 * value:.5g} %"


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+,.0f}"
