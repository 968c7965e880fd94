"""Tables of a simulated month, from its document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.lab.bench.month.document import RIVAL_BROKEN, SERVED_WORSE, TOTAL
from services.simulator.policies.rivals import HARMONY, ORACLE

Part = Mapping[str, Any]
Row = dict[str, object]
SCALE_TOLERANCE = 1e-6


def parts(document: Mapping[str, Any]) -> list[Part]:
    """Parts that get a table: each source, and the total where there is more than one."""
    sources = list(document["sources"])
    return sources if len(sources) == 1 else [*sources, document["total"]]


def title(part: Part, days: int) -> str:
    """Title of a part: what its figures cover, and whether they were scaled."""
    size = f"{part['workloads']} workloads, {part['mean_demand_gpus']:,.0f} GPUs of mean demand"
    if part["data"] == TOTAL:
        least = f"each source measured for {part['days_measured']:.3g} days or more"
        return f"total of {days} days: {size}; {least}"
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


def verdict(part: Part, promise: float) -> str:
    """Harmony against the cheapest rival that served as well as was asked, in a sentence.

    A rival that kept the promise, or was out of SLA no more than Harmony, is one to beat; the
    oracle is not.
    """
    own = part["policies"][HARMONY]
    rate = own["violation_rate"]
    if rate is None:
        return "Nothing can be said: no demand was known."
    found = {
        name: one
        for name, one in part["policies"].items()
        if name in part["savings"]
        and name != ORACLE
        and one["violation_rate"] is not None
        and one["violation_rate"] <= max(promise, rate)
    }
    broken = "" if rate <= promise else f" Harmony broke the promise: {_exact(rate)}."
    if not found:
        return f"No rival served as well as was asked.{broken}"
    best = min(found, key=lambda name: found[name]["cost_usd"])
    saved = part["savings"][best]
    ratio = saved["cost_ratio"]
    share = "" if ratio is None else f" ({-ratio:+.1%})"
    return (
        f"Against {best}, the cheapest rival that served as well as was asked, Harmony took "
        f"{-saved['gpu_hours']:+,.0f} GPU-hours and {-saved['cost_usd']:+,.0f} USD{share}.{broken}"
    )


def settings(part: Part) -> str:
    """Settings of each policy; empty for the total."""
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
