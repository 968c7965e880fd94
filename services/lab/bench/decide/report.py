"""Tables of a benchmark of deciders, for the terminal and the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.lab.bench.decide.figures import geometric_mean
from services.lab.bench.decide.summary import MIN_DAYS
from services.lab.bench.decide.truth_report import (
    believed_columns,
    is_stated,
    promise_words,
    truth_columns,
)
from services.simulator.policies.rivals import HARMONY
from services.simulator.scoreboard import mean_known

Document = Mapping[str, Any]
Row = dict[str, object]
NOT_REACHED = "not reached"
BEST = " *"
"""Marks the best rival."""


def promises(document: Document) -> list[str]:
    """The promises of a document as its keys, smallest first."""
    return list(document["summary"])


def percent(key: str) -> str:
    """A promise in words."""
    return f"{100 * float(key):g} %"


def matched_rows(dataset: Document) -> list[Row]:
    """Cost over the oracle's at each promised rate, cheapest first; the best rival is marked."""
    keys = sorted(dataset["matched"], key=float)
    names = list(dataset["matched"][keys[0]])
    rows: list[Row] = []
    for name in sorted(names, key=lambda n: _sort_key(dataset["matched"], keys, n)):
        row: Row = {"policy": name, "kind": _kind(dataset, name)}
        for key in keys:
            mark = BEST if dataset["best_baseline"][key] == name else ""
            cost = _figure(dataset["matched"][key][name], ".3f")
            row[f"cost at {percent(key)}"] = NOT_REACHED if cost is None else cost + mark
        row["settings"] = dataset["n_settings"].get(name)
        rows.append(row)
    return rows


def deployed_rows(dataset: Document, key: str) -> list[Row]:
    """What each policy did that was set on the past alone, cheapest first."""
    arms = dataset["deployed"][key]
    return [
        {
            "policy": name,
            "kind": _kind(dataset, name),
            "out of SLA": _figure(one["rate"], ".2%"),
            **believed_columns([one], is_stated(dataset)),
            "of demand": _figure(one["demand_weighted_rate"], ".2%"),
            "unserved": _figure(one["unserved"], ".3%"),
            "cost": _figure(one["cost_ratio"], ".3f"),
            "churn/day": _figure(one["churn_per_day"], ".1f"),
            "setting": one["setting"],
            "kept when chosen": {None: None, True: "yes", False: "no"}[one["kept_where_chosen"]],
        }
        for name, one in sorted(arms.items(), key=lambda item: item[1]["cost_ratio"] or np.inf)
    ]


def ablation_rows(document: Document, key: str) -> list[Row]:
    """Harmony with one thing left out or changed, over all data sets that ran it.

    Rates and gaps are means over data sets, costs geometric means over the same sets as Harmony's.
    """
    names = dict.fromkeys(
        name
        for one in document["datasets"]
        for name in (HARMONY, *one["ablations"], *one["forecast_policies"])
    )
    rows = (_ablation_row(document, key, name) for name in names)
    return [row for row in rows if row is not None]


def _ablation_row(document: Document, key: str, name: str) -> Row | None:
    sets = [d for d in document["datasets"] if key in d["deployed"] and name in d["deployed"][key]]
    if not sets:
        return None
    pairs = [(d["deployed"][key][name], d["deployed"][key][HARMONY]) for d in sets]
    rates = np.array([arm["rate"] for arm, _ in pairs], dtype=float)
    costs = [
        arm["cost_ratio"] / own["cost_ratio"]
        for arm, own in pairs
        if arm["cost_ratio"] and own["cost_ratio"]
    ]
    matched = _over_harmony([d["matched"][key] for d in sets], name)
    return {
        "arm": name,
        "sets": len(sets),
        "out of SLA": f"{mean_known(rates):.2%}",
        **believed_columns([arm for arm, _ in pairs], is_stated(*document["datasets"])),
        "gap, points": f"{100 * mean_known(np.abs(rates - float(key))):.2f}",
        "cost / harmony": _figure(geometric_mean(costs), ".3f"),
        "matched cost / harmony": _figure(geometric_mean(matched), ".3f"),
        "in sets": len(matched) or None,
    }


def _over_harmony(matched: Sequence[Document], name: str) -> list[float]:
    """A policy's matched cost over Harmony's, on the sets where both reach the rate."""
    return [
        costs[name] / costs[HARMONY] for costs in matched if costs.get(name) and costs.get(HARMONY)
    ]


def overall_rows(document: Document) -> list[Row]:
    """Each policy's matched cost over the oracle's: geometric mean over the sets it reaches."""
    keys, sets = promises(document), document["datasets"]
    names = dict.fromkeys(n for d in sets for row in d["matched"].values() for n in row)
    rows: list[Row] = []
    for name in names:
        row: Row = {"policy": name, "kind": _kind(sets[0], name)}
        for key in keys:
            ran = [d["matched"][key] for d in sets if key in d["matched"]]
            reached = [cost for costs in ran if (cost := costs.get(name)) is not None]
            both = _over_harmony(ran, name)
            row[f"cost at {percent(key)}"] = _figure(geometric_mean(reached), ".3f")
            row[f"/ harmony at {percent(key)}"] = _figure(geometric_mean(both), ".3f")
            row[f"sets at {percent(key)}"] = f"{len(reached)} of {len(ran)}"
        rows.append(row)
    return rows


def summary_rows(document: Document, key: str) -> list[Row]:
    """One row per data set at one promise, and the figures over all of them."""
    whole = document["summary"][key]
    sizes = {d["data"]: d for d in document["datasets"]}
    rows: list[Row] = [
        {
            "data": name,
            "workloads": sizes[name]["workloads"],
            "steps": sizes[name]["test_steps"],
            "harmony": _figure(row["vs_oracle"], ".3f") or NOT_REACHED,
            "best rival": row["best_baseline"] or f"{NOT_REACHED} by any",
            "/ best rival": _figure(row["vs_best_baseline"], ".3f"),
            "/ HPA": _figure(row["vs_hpa"], ".3f"),
            "deployed: out of SLA": _figure(row["deployed_rate"], ".2%"),
            **truth_columns(row, sizes.values()),
            "gap, points": _figure(row["calibration_gap_pp"], ".2f"),
            "cost": _figure(row["deployed_vs_oracle"], ".3f"),
            "churn / HPA": _figure(row["churn_ratio_vs_hpa"], ".2f"),
        }
        for name, row in whole["by_dataset"].items()
    ]
    mean = {
        "data": f"mean of {whole['n_datasets']}",
        "harmony": _figure(whole["vs_oracle"], ".3f"),
        "/ best rival": _figure(whole["vs_best_baseline"], ".3f"),
        "/ HPA": _figure(whole["vs_hpa"], ".3f"),
        "gap, points": _figure(whole["calibration_gap_pp"], ".2f"),
        "churn / HPA": _figure(whole["churn_ratio_vs_hpa"], ".2f"),
    }
    return [*rows, {name: mean.get(name) for name in rows[0]}]


def verdict(document: Document, key: str) -> str:
    """The summary at one promise in words."""
    whole = document["summary"][key]
    low, high = whole["ci"]
    spread = "" if low is None else f" (95 % interval {low:.3f} to {high:.3f})"
    words = [f"At {percent(key)} matched, Harmony's cost is"]
    if whole["vs_best_baseline"] is None:
        words.append("not comparable with any rival's.")
    else:
        words.append(f"{whole['vs_best_baseline']:.3f} of the best rival's{spread},")
        words.append(f"at worst {_figure(whole['worst_vs_best_baseline'], '.3f') or 'unbounded'}")
        words.append(f"({whole['n_vs_best_baseline']} of {whole['n_datasets']} data sets);")
    if whole["vs_hpa"] is not None:
        sets = f"{whole['n_vs_hpa']} of {whole['n_datasets']}"
        words.append(f"{whole['vs_hpa']:.3f} of HPA's where HPA reaches the rate ({sets}).")
    else:
        words.append("HPA reaches the rate on no data set.")
    if low is not None and whole["ci_few_days"]:
        few = ", ".join(whole["ci_few_days"])
        words.append(f"The interval is too narrow: fewer than {MIN_DAYS} days counted on {few}.")
    left_out = whole.get("ci_replicates", 0) - whole["ci_replicates_used"]
    if left_out > 0:
        words.append(
            f"The interval leaves out {left_out} of {whole['ci_replicates']} resamples, in which "
            "Harmony, or every rival, misses the rate on a data set: it is narrower than the truth."
        )
    if whole["harmony_not_reached"]:
        words.append(f"Harmony misses the rate on {', '.join(whole['harmony_not_reached'])}.")
    if whole["calibration_gap_pp"] is not None:
        words.append(
            f"As deployed it is off its promise by {whole['calibration_gap_pp']:.2f} points on "
            f"average, {whole['largest_calibration_gap_pp']:.2f} at most."
        )
    words += promise_words(document, key)
    return " ".join(words)


def _kind(dataset: Document, name: str) -> str:
    for kind, field in (("rival", "rivals"), ("ablation", "ablations")):
        if name in dataset[field]:
            return kind
    return "reads forecasts" if name in dataset["forecast_policies"] else ""


def _sort_key(matched: Mapping[str, Document], keys: Sequence[str], name: str) -> list[float]:
    costs = (matched[key][name] for key in keys)
    return [np.inf if cost is None else cost for cost in costs]


def _figure(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)
