"""Tables of a benchmark of several loads."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.lab.bench.decide.task import MEAN_GPUS
from services.lab.bench.loads.arms import FULL, TOLD
from services.lab.bench.loads.effects import (
    BAR_PERCENT,
    Document,
    Extra,
    cost_of_not_knowing,
    deployed,
    extras,
)
from services.simulator.fleet.profiles import PRICE_USD_PER_GPU_HOUR

Row = dict[str, object]
USD_PER_GPU_HOUR = PRICE_USD_PER_GPU_HOUR["A100"]
USD_PER_HOUR = MEAN_GPUS * USD_PER_GPU_HOUR
"""Of a workload at its need: 20 replicas of one GPU each."""
AWAY = (FULL, TOLD)
"""Arms in which nothing is left out."""


def cost_rows(document: Document, rate: float) -> list[Row]:
    """One row per arm at a true rate: dollars of a workload's hour, and per cent over Harmony."""
    return [
        {
            "arm": name,
            "left out": document["about"][name],
            "$ / h": _figure(extra.cost * USD_PER_HOUR, ".2f"),
            "over harmony, %": "" if name == FULL else _figure(extra.value, "+.2f"),
            "95 % interval": "" if name == FULL else _interval(extra),
        }
        for name, extra in extras(document, rate).items()
    ]


def deployed_rows(document: Document, epsilon: float) -> list[Row]:
    """One row per arm at one promise."""
    n = len(document["known"])
    return [
        {
            "arm": name,
            "true = measured": f"{one.true:.2%}",
            "believed": f"{one.believed:.2%}",
            "cost / need": f"{one.cost:.3f}",
            "$ / h": f"{one.cost * USD_PER_HOUR:.2f}",
            "truly over twice the promise": f"{one.n_twice} of {n}",
        }
        for name, one in deployed(document, epsilon).items()
    ]


def bound_rows(document: Document) -> list[Row]:
    """One row per draw and workload: each load's own use over their sum."""
    return [
        {
            "draw": draw,
            "workload": name,
            **{load: _figure(share, ".2f") for load, share in shares.items()},
        }
        for draw, one in enumerate(document["bound_by"], start=1)
        for name, shares in one.items()
    ]


def verdict(document: Document, rates: Sequence[float]) -> list[str]:
    """Lines: what costs, what costs nothing, and what not knowing costs."""
    lines = []
    for rate in rates:
        found = {n: e for n, e in extras(document, rate).items() if n not in AWAY}
        dear = [f"{n} {e.value:+.1f} %" for n, e in found.items() if e.is_cost]
        unreached = [n for n, e in found.items() if math.isnan(e.value)]
        free = [n for n, e in found.items() if not e.is_cost and n not in unreached]
        lines.append(
            f"at {rate:.2%} true: worth {BAR_PERCENT:g} % or more: {', '.join(dear) or 'none'}; "
            f"not shown to be: {', '.join(free) or 'none'}"
            + (f"; never at that rate: {', '.join(unreached)}" if unreached else "")
        )
        cost = cost_of_not_knowing(document, rate)
        if not math.isnan(cost):
            lines.append(f"at {rate:.2%} true: not knowing the response costs {cost:+.2f} %")
    return lines


def title(document: Document) -> str:
    """The run in words."""
    return (
        f"{document['data']}: {len(document['workloads'])} workloads, "
        f"{document['test_steps']} steps, loads {', '.join(document['loads'])}, "
        f"truth: {document['truth']}, drawn {document['draws']} time(s)"
        + (", open loop" if document["is_open_loop"] else "")
        + (f", steps since it changed: {document['ages']}" if document["ages"] else "")
    )


def _figure(value: float | None, form: str) -> str:
    if value is None or math.isnan(value):
        return "not reached"
    return format(value, form)


def _interval(extra: Extra) -> str:
    low, high = extra.interval()
    return "" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"
