"""The figures of a benchmark of the supply as a document, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import number
from services.lab.bench.supply.options import POLICIES, PROMISED
from services.lab.bench.supply.run import SupplyCell
from services.lab.bench.supply.run_figures import SettingFigures
from services.lab.bench.supply.score import RIVALS, score_cell, summary
from services.simulator.policies.history import duration_text
from services.simulator.policies.rivals import HARMONY

Json = dict[str, Any]
Row = dict[str, object]


def supply_document(cells: Sequence[SupplyCell]) -> Json:
    """All runs, one for each setting, and their summary."""
    runs = [_run(cell, setting) for cell in cells for setting in cell.settings]
    return {"runs": runs, "summary": summary(cells)}


def _run(cell: SupplyCell, setting: SettingFigures) -> Json:
    figures = setting.figures
    own: Json = {}
    if setting.promise is not None:
        own = {
            "promised": setting.promise,
            "held_scale_ups": setting.n_held,
            "lead_time_coverage_90": _coverage(setting),
            "n_lead_times": setting.n_expected,
        }
    return {
        "source": cell.source,
        "seed": cell.seed,
        "startup_s": cell.startup_s,
        "policy": setting.policy,
        "setting": setting.setting,
        "true_rate": number(figures.rate),
        "worst_rate": number(setting.worst_rate),
        "node_hours": number(figures.node_hours),
        "replica_hours": number(figures.replica_hours),
        "pending_replica_hours": number(figures.pending_replica_hours),
        "refused_nodes": setting.n_refused,
        **own,
    }


def _coverage(setting: SettingFigures) -> float | None:
    return number(setting.n_inside / setting.n_expected) if setting.n_expected else None


def matched_rows(cells: Sequence[SupplyCell], of: str = "mean_rate") -> list[Row]:
    """Node-hours of every policy at the promise, and Harmony's over them.

    Args:
        cells: All runs.
        of: What is at the promise: the `mean_rate` over services, or the `worst_rate` of one.
    """
    rows: list[Row] = []
    for cell in cells:
        score = score_cell(cell, attrgetter(of))
        row = _which(cell)
        for policy in POLICIES:
            if policy in score.node_hours:
                row[policy] = _hours(score.node_hours[policy])
        for policy in RIVALS:
            if policy in score.node_hours and HARMONY in score.node_hours:
                row[f"/ {policy}"] = _ratio(score.over(policy))
        if HARMONY in score.node_hours and len(score.node_hours) > 1:
            row["/ best rival"] = _ratio(score.over_best())
        rows.append(row)
    return rows


def told_rows(cells: Sequence[SupplyCell]) -> list[Row]:
    """Harmony as it was told the promise, not tuned."""
    return [
        {
            **_which(cell),
            "promised": _share(setting.promise),
            "out of SLA": _share(setting.figures.rate),
            "worst service": _share(setting.worst_rate),
            "node-hours": _hours(setting.figures.node_hours),
            "replica-hours waiting": f"{setting.figures.pending_replica_hours:.1f}",
            "held": setting.n_held,
            "refused nodes": setting.n_refused,
            "in the 90 % interval": _share(_coverage(setting), 0),
            "of starts": setting.n_expected,
        }
        for cell in cells
        for setting in cell.of(HARMONY)
    ]


def best_rows(cells: Sequence[SupplyCell]) -> list[Row]:
    """The setting of each rival that keeps the promise on the fewest nodes; else the safest."""
    rows: list[Row] = []
    for cell in cells:
        for policy in RIVALS:
            settings = [one for one in cell.of(policy) if np.isfinite(one.figures.rate)]
            if settings:
                rows.append({**_which(cell), **_best(settings)})
    return rows


def _best(settings: Sequence[SettingFigures]) -> Row:
    keeping = [one for one in settings if one.figures.rate <= PROMISED]
    if keeping:
        best = min(keeping, key=lambda one: one.figures.node_hours)
    else:
        best = min(settings, key=lambda one: (one.figures.rate, one.figures.node_hours))
    return {
        "policy": best.policy,
        "setting": best.setting,
        "out of SLA": _share(best.figures.rate),
        "worst service": _share(best.worst_rate),
        "node-hours": _hours(best.figures.node_hours),
        "replica-hours waiting": f"{best.figures.pending_replica_hours:.1f}",
    }


def summary_rows(document: Mapping[str, Any]) -> list[Row]:
    """The summary, a figure a row."""
    return [{"figure": name, "value": value} for name, value in document["summary"].items()]


def _which(cell: SupplyCell) -> Row:
    return {
        "demand": cell.source,
        "seed": cell.seed,
        "start-up": duration_text(cell.startup_s),
    }


def _hours(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{100.0 * value:.{digits}f} %"
