"""Effect of a GPU budget on a decision, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.admin.rest.formats import percent, usd


@dataclass(frozen=True, slots=True)
class BudgetWords:
    """A budget in words.

    Attributes:
        sentences: What it allows and what it is worth.
        gave_up: Who was decided on with it and got less than wanted, one line each.
    """

    sentences: tuple[str, ...] = ()
    gave_up: tuple[str, ...] = ()


def explain_budget(explanation: Mapping[str, Any]) -> BudgetWords:
    """The budget that a decision was made under, and the headroom of its GPU type.

    Nothing where there was none.

    Args:
        explanation: The decision's stored explanation; parts that are absent are left out.
    """
    record, headroom = explanation.get("gpu_budget"), _headroom(explanation.get("headroom"))
    if not isinstance(record, dict):
        return BudgetWords(headroom)
    gpu_type = str(record.get("gpu_type") or "its GPU type")
    gpus = _count(record.get("gpus"))
    if gpus is None:
        unreadable = f"The GPU budget of {gpu_type} could not be read, so nothing may be added."
        return BudgetWords((unreadable, *_cut(record), *headroom), _gave_up(record))
    elsewhere = _count(record.get("held_elsewhere_gpus"))
    held = f"; {_gpus(elsewhere)} held by workloads decided on elsewhere" if elsewhere else ""
    allowed = f"All workloads on {gpu_type} together may use {_gpus(gpus)}{held}."
    return BudgetWords((allowed, *_worth(record), *_cut(record), *headroom), _gave_up(record))


def _headroom(record: object) -> tuple[str, ...]:
    """What is to be held ready while nodes start, what it costs and what it averts."""
    if not isinstance(record, dict):
        return ()
    gpus, free = _count(record.get("gpus")), _count(record.get("free_gpus"))
    ratios = [record.get(name) for name in ("risk_before", "risk_after")]
    if gpus is None or not all(isinstance(each, int | float) for each in ratios):
        return ()
    before, after = (percent(each) for each in ratios)
    if gpus == 0:
        return (f"A need while a node starts that nothing is free for has a chance of {before}.",)
    cost = record.get("usd_per_hour")
    price = f" for {usd(cost)} per hour" if isinstance(cost, int | float) else ""
    now = "" if free is None else f", {free} are free now"
    return (
        f"{_gpus(gpus)} of {record.get('gpu_type') or 'its type'} should be ready{price}{now}: a "
        f"need while a node starts that nothing is free for has a chance of {before}, and of "
        f"{after} with them.",
    )


def _worth(record: Mapping[str, Any]) -> tuple[str, ...]:
    price = record.get("price_usd_per_gpu_hour")
    if record.get("is_feasible") is False:
        return ("What must not be taken away alone exceeds it, so everyone has the least.",)
    if not isinstance(price, (int, float)) or price <= 0:
        return ()
    return (f"It is scarce: one GPU more would avert losses of about {usd(price)} per hour.",)


def _cut(record: Mapping[str, Any]) -> tuple[str, ...]:
    n_cut = _count(record.get("n_cut"))
    if n_cut is None:
        return ()
    if n_cut == 0:
        return ("Nobody who was decided on together with it got less than wanted.",)
    who = "1 workload" if n_cut == 1 else f"{n_cut} workloads"
    n_named = len(_items(record))
    named = "" if n_named >= n_cut else f"; those {n_named} gave up most"
    if _count(record.get("n_unseen")):
        named = f"; {n_named} of them in namespaces that you may see" if n_named else ""
    return (f"{who} decided on together got less than wanted{named}.",)


def _gave_up(record: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_line(item) for item in _items(record))


def _items(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = record.get("gave_up")
    found = items if isinstance(items, list) else []
    return [i for i in found if isinstance(i, dict) and isinstance(i.get("workload"), str)]


def _line(item: Mapping[str, Any]) -> str:
    """`demo/a (silver, priority 100): 13 of 17 replicas, 4 GPUs given up`."""
    about = [str(item["class"])] if item.get("class") else []
    priority, gpus = _count(item.get("priority")), _count(item.get("gpus"))
    about += [] if priority is None else [f"priority {priority}"]
    who = f"{item['workload']} ({', '.join(about)})" if about else str(item["workload"])
    lost = "" if gpus is None else f", {_gpus(gpus)} given up"
    return f"{who}: {item.get('granted', '?')} of {item.get('wanted', '?')} replicas{lost}"


def _gpus(n: int) -> str:
    return "1 GPU" if n == 1 else f"{n} GPUs"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
