"""Tables of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.lab.bench.llm.cells import Cell, Part
from services.lab.bench.llm.families import HARMONY, HARMONY_TOLD, ORACLE

Row = dict[str, object]
NEVER = "never"
_FIGURES = {
    "vs_oracle": "Harmony / oracle",
    "vs_planner": "Harmony / Planner's best setting",
    "vs_simple_chosen": "Harmony's promise / best simple rival, chosen on earlier data",
    "vs_simple_hindsight": "Harmony / best simple rival, picked in hindsight",
    "gap_closed": "log gap its promise closes between that rival (earlier data) and the oracle",
    "worst_vs_simple": "the worst of these ratios (earlier data)",
}


def frontier_rows(cell: Cell, goodputs: Sequence[float]) -> list[Row]:
    """One row per policy: GPU-hours at each goodput, and over the oracle's."""
    least = {goodput: cell.hours(ORACLE, goodput, Part.WHOLE, cell.seeds) for goodput in goodputs}
    rows = []
    for policy in cell.policies:
        row: Row = {"policy": policy}
        for goodput in goodputs:
            hours = cell.hours(policy, goodput, Part.WHOLE, cell.seeds)
            row[f"{goodput:.1%}"] = _hours(hours, least[goodput])
        rows.append(row)
    return rows


def deployed_rows(cell: Cell) -> list[Row]:
    """One row per promise of Harmony's, with the minutes before, in which it learns."""
    rows = []
    for policy in (HARMONY, HARMONY_TOLD):
        before = cell.points(policy, Part.WARM_UP, cell.seeds)
        for setting, score in cell.points(policy, Part.WHOLE, cell.seeds).items():
            cpu = cell.cpu(policy, setting)
            row: Row = {
                "policy": policy,
                "promise": f"{setting:.1%}",
                "goodput": f"{score.goodput:.2%}",
                "GPU-hours": f"{score.gpu_hours:.2f}",
                "minutes out of SLA": f"{score.minutes_out_of_sla:.1f}",
                "scale events": f"{score.scale_events:.0f}",
                "goodput before": f"{before[setting].goodput:.2%}",
                "GPU-hours before": f"{before[setting].gpu_hours:.2f}",
                "CPU of an hour": "–" if cpu is None else f"{cpu['hour_s']:.0f} s",
                "of a decision": "–" if cpu is None else f"{cpu['decision_ms']:.0f} ms",
            }
            rows.append(row)
    return rows


def promise_rows(deployed: Mapping[str, Any]) -> list[Row]:
    """One row per trace and start-up: what Harmony's promise of 99 % came to over its seeds."""
    return [
        {
            "trace": row["trace"],
            "start-up": f"{row['startup_s']:g} s",
            "goodput of each seed": ", ".join(f"{one:.2%}" for one in row["seeds"].values()),
            "pooled": f"{row['goodput']:.2%}",
            "90 % interval": _percent_interval(row["interval"]),
            "GPU-hours": f"{row['gpu_hours']:.2f}",
            "minutes out of SLA": f"{row['minutes_out_of_sla']:.1f}",
            "scale events": f"{row['scale_events']:.0f}",
        }
        for row in deployed["cells"]
    ]


def setting_rows(cell: Cell) -> list[Row]:
    """One row per policy and setting."""
    return [
        {
            "policy": policy,
            "setting": f"{setting:g}",
            "goodput": f"{score.goodput:.2%}",
            "GPU-hours": f"{score.gpu_hours:.2f}",
            "minutes out of SLA": f"{score.minutes_out_of_sla:.1f}",
            "scale events": f"{score.scale_events:.0f}",
        }
        for policy in cell.policies
        for setting, score in cell.points(policy, Part.WHOLE, cell.seeds).items()
    ]


def chosen_rows(summary: Mapping[str, Any]) -> list[Row]:
    """One row per trace and start-up: the simple rival that earlier data chose."""
    return [
        {
            "trace": row["trace"],
            "start-up": f"{row['startup_s']:g} s",
            "rule and setting": ", ".join(row["simple_chosen"]),
            "goodput then": f"{row['simple_chosen_goodput']:.2%}",
            "kept": "yes" if row["simple_chosen_kept"] else "no",
            "judged by": row["judged_by"],
            "Harmony's promise kept": _promise_words(row),
            "Harmony's promise over it": _number(row["vs_simple_chosen"]),
        }
        for row in summary["cells"]
        if row["simple_chosen"]
    ]


def summary_rows(summary: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """One row per figure, one column per goodput; intervals where there are seeds enough."""
    rows = []
    for name, words in _FIGURES.items():
        row: Row = {"figure": words}
        for goodput, found in summary.items():
            row[f"{float(goodput):.1%}"] = _with_interval(found[name], found["interval"][name])
        rows.append(row)
    return rows


def title(cell: Cell) -> str:
    """A cell in words."""
    first = cell.runs[0]
    seeds = ", ".join(map(str, cell.seeds))
    return f"{cell.trace} on {first.gpu}, start-up {cell.startup_s:g} s, seeds {seeds}"


def _hours(hours: float | None, least: float | None) -> str:
    if hours is None:
        return NEVER
    return f"{hours:.2f}" if least is None else f"{hours:.2f} ({hours / least:.2f})"


def _promise_words(row: Mapping[str, Any]) -> str:
    goodput = row["harmony_promised_goodput"]
    if goodput is None:
        return "not run"
    return f"{goodput:.2%}, {'yes' if row['harmony_promised_kept'] else 'no'}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent_interval(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if interval is None:
        return _number(value)
    return f"{_number(value)} ({interval[0]:.2f} to {interval[1]:.2f})"
