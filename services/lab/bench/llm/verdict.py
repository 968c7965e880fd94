"""The verdict over traces: Harmony against the oracle, the Planner and the best simple rival.

Ratios are of GPU-hours at an equal goodput. Means are geometric, each trace weighing once. Fronts,
read in hindsight, are compared with fronts. The rival that earlier data chose is compared with
Harmony's promise of that goodput: neither side then knows what is to come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from services.lab.bench.llm.cells import Cell, Part
from services.lab.bench.llm.entrants import PLANNERS
from services.lab.bench.llm.families import HARMONY, ORACLE
from services.lab.bench.llm.score import PartScore

Figures = dict[str, Any]
RATIOS = ("vs_oracle", "vs_planner", "vs_simple_chosen", "vs_simple_hindsight")
PLANNER = "planner"
PROMISED = 0.99
MIN_SEEDS = 3
"""Fewer seeds say nothing of the spread between them: no interval."""


def summarise(cells: Sequence[Cell], goodputs: Sequence[float]) -> Figures:
    """The summary of the document, per goodput."""
    return {f"{goodput:g}": summary_at(cells, goodput) for goodput in goodputs}


def summary_at(cells: Sequence[Cell], goodput: float) -> Figures:
    """Figures over cells, their 90 % intervals over seeds, and every cell's own."""
    rows = [cell_figures(cell, goodput, cell.seeds) for cell in cells]
    found = over_traces(rows)
    found["interval"] = intervals(cells, goodput)
    found["never"] = {
        name: [_label(cell) for cell, row in zip(cells, rows, strict=True) if row["never"][name]]
        for name in (HARMONY, PLANNER, "simple")
    }
    found["cells"] = rows
    return found


def cell_figures(cell: Cell, goodput: float, seeds: Sequence[int]) -> Figures:
    """Figures of one trace at one start-up; a ratio is None where a side does not exist."""
    own = cell.hours(HARMONY, goodput, Part.WHOLE, seeds)
    oracle_judged = cell.hours(ORACLE, goodput, cell.judged, seeds)
    planners = [name for name in cell.policies if name in PLANNERS]
    planner = cell.least(planners, goodput, Part.WHOLE, seeds)
    simple = cell.best_simple(goodput, Part.WHOLE, seeds)
    chosen, promised = cell.chosen(goodput, seeds), cell.promised(goodput, seeds)
    chosen_hours = chosen.gpu_hours if chosen else None
    own_judged = promised.gpu_hours if promised else None
    return {
        "trace": cell.trace,
        "startup_s": cell.startup_s,
        "vs_oracle": _ratio(own, cell.hours(ORACLE, goodput, Part.WHOLE, seeds)),
        "vs_planner": _ratio(own, planner),
        "vs_simple_chosen": _ratio(own_judged, chosen_hours),
        "vs_simple_hindsight": _ratio(own, simple),
        "log_gap": _log(_ratio(chosen_hours, oracle_judged)),
        "log_won": _log(_ratio(chosen_hours, own_judged)),
        "simple_chosen": sorted(set(chosen.settings)) if chosen else [],
        "simple_chosen_goodput": chosen.goodput if chosen else None,
        "simple_chosen_kept": chosen.kept if chosen else None,
        "harmony_promised_goodput": promised.goodput if promised else None,
        "harmony_promised_kept": promised.kept if promised else None,
        "judged_by": cell.judged.value,
        "never": {
            HARMONY: HARMONY in cell.policies and own is None,
            PLANNER: bool(planners) and planner is None,
            "simple": bool(cell.simple) and simple is None,
        },
    }


def over_traces(rows: Sequence[Figures]) -> Figures:
    """Means over cells, each trace weighing once whatever its number of start-ups."""
    found: Figures = {}
    for name in RATIOS:
        logs = {_key(row): math.log(row[name]) for row in rows if row[name] is not None}
        mean = _trace_mean(logs)
        found[name] = None if mean is None else math.exp(mean)
    both = [row for row in rows if None not in (row["log_gap"], row["log_won"])]
    gap = _trace_mean({_key(row): row["log_gap"] for row in both})
    won = _trace_mean({_key(row): row["log_won"] for row in both})
    found["gap_closed"] = won / gap if gap and won is not None and gap > 0 else None
    ratios = [row["vs_simple_chosen"] for row in rows if row["vs_simple_chosen"] is not None]
    found["worst_vs_simple"] = max(ratios, default=None)
    return found


def intervals(cells: Sequence[Cell], goodput: float) -> dict[str, list[float] | None]:
    """90 % intervals of figures over seeds: of the mean of seeds, by leaving out one at a time.

    The spread of figures without one seed tells that of the figure itself (jackknife); Student's t
    makes up for there being few. Ratios are taken in logarithms. None where there are under
    `MIN_SEEDS` seeds, or a figure does not exist without one of them.
    """
    names = (*RATIOS, "gap_closed", "worst_vs_simple")
    seeds = sorted({seed for cell in cells for seed in cell.seeds})
    if not cells or min(len(cell.seeds) for cell in cells) < MIN_SEEDS:
        return dict.fromkeys(names)

    def without(left_out: int | None) -> Figures:
        kept = [[seed for seed in cell.seeds if seed != left_out] for cell in cells]
        return over_traces(
            [cell_figures(cell, goodput, own) for cell, own in zip(cells, kept, strict=True)]
        )

    whole, parts = without(None), [without(seed) for seed in seeds]
    found: dict[str, list[float] | None] = {}
    for name in names:
        values = [part[name] for part in parts]
        if whole[name] is None or None in values:
            found[name] = None
        elif name == "gap_closed":
            found[name] = jackknife(whole[name], values)
        else:
            logs = jackknife(math.log(whole[name]), [math.log(value) for value in values])
            found[name] = [math.exp(end) for end in logs]
    return found


def jackknife(whole: float, parts: Sequence[float]) -> list[float]:
    """Ends of a 90 % interval of a figure, from what it is without each of the seeds."""
    n, values = len(parts), np.array(parts)
    spread = math.sqrt((n - 1) / n * float(((values - values.mean()) ** 2).sum()))
    half = float(student.ppf(0.95, n - 1)) * spread
    return [whole - half, whole + half]


def deployed(cells: Sequence[Cell], policy: str = HARMONY) -> Figures:
    """What Harmony's promise of 99 % came to, pooled over seeds: of every cell, least and most."""
    rows = [row for cell in cells if (row := _deployed(cell, policy)) is not None]
    ends = [row["interval"][0] for row in rows if row["interval"] is not None]
    return {
        "promised": PROMISED,
        "goodput_min": min((row["goodput"] for row in rows), default=None),
        "goodput_max": max((row["goodput"] for row in rows), default=None),
        "interval_min": min(ends) if rows and len(ends) == len(rows) else None,
        "cells": rows,
    }


def _deployed(cell: Cell, policy: str) -> Figures | None:
    def pooled(seeds: Sequence[int]) -> PartScore | None:
        return cell.points(policy, Part.WHOLE, seeds).get(PROMISED)

    whole = pooled(cell.seeds)
    if whole is None:
        return None
    interval = None
    if len(cell.seeds) >= MIN_SEEDS:
        others = [pooled([seed for seed in cell.seeds if seed != one]) for one in cell.seeds]
        ends = jackknife(whole.goodput, [one.goodput for one in others if one is not None])
        interval = np.clip(ends, 0.0, 1.0).tolist()
    return {
        "trace": cell.trace,
        "startup_s": cell.startup_s,
        "goodput": whole.goodput,
        "gpu_hours": whole.gpu_hours,
        "interval": interval,
        "seeds": {
            str(seed): cell.points(policy, Part.WHOLE, [seed])[PROMISED].goodput
            for seed in cell.seeds
        },
        "minutes_out_of_sla": whole.minutes_out_of_sla,
        "scale_events": whole.scale_events,
        "cpu": cell.cpu(policy, PROMISED),
    }


def _trace_mean(values: Mapping[tuple[str, float], float]) -> float | None:
    by_trace: dict[str, list[float]] = {}
    for (trace, _), value in values.items():
        by_trace.setdefault(trace, []).append(value)
    means = [sum(one) / len(one) for one in by_trace.values()]
    return sum(means) / len(means) if means else None


def _key(row: Figures) -> tuple[str, float]:
    return row["trace"], row["startup_s"]


def _label(cell: Cell) -> str:
    return f"{cell.trace}, {cell.startup_s:g} s"


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or whole is None else part / whole


def _log(value: float | None) -> float | None:
    return None if value is None else math.log(value)
