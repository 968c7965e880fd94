"""The figures as a table with the targets that they are to meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TARGETS = {
    "start-up to first complete pass": 30.0,
    "pass, everything new": 60.0,
    "pass, nothing new": 60.0,
    "pass, every decision new": 60.0,
    "resident memory, peak": 500.0,
    "decision to patched scale, 99 %": 2.0,
    "API writes while idle": 0.0,
    "API calls per object and minute while idle": 1.0,
}


def rows(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per figure."""
    start, idle, busy = document["start"], document["idle"], document["busy"]
    latency, memory = document["latency"], document["rss_mib"]
    figures = (
        ("start-up to first complete pass", start["first_pass_complete_s"], "s"),
        ("pass, everything new", start["first_pass_s"], "s"),
        ("… until every status is written", start["all_statuses_written_s"], "s"),
        ("pass, nothing new", idle["pass_s"], "s"),
        ("pass, every decision new", busy["last_scale_patched_s"], "s"),
        ("… until every status is written", busy["all_statuses_written_s"], "s"),
        ("decision to patched scale, median", latency["p50_s"], "s"),
        ("decision to patched scale, 99 %", latency["p99_s"], "s"),
        ("decision to patched scale, slowest", latency["max_s"], "s"),
        ("resident memory while idle", idle["rss_mib"], "MiB"),
        ("resident memory, peak", memory["peak"], "MiB"),
        ("processor while idle", 100.0 * idle["cpu_share"], "% of a core"),
        ("API writes while idle", idle["writes"], ""),
        ("API calls per minute while idle", idle["calls_per_minute"], ""),
        ("API calls per object and minute while idle", idle["calls_per_object_per_minute"], ""),
    )
    return [_row(name, value, unit) for name, value, unit in figures]


def _row(name: str, value: float, unit: str) -> dict[str, str]:
    target = TARGETS.get(name)
    shown = f"{value:.0f}" if float(value).is_integer() or value >= 100 else f"{value:.3g}"
    return {
        "figure": name,
        "value": f"{shown} {unit}".strip(),
        "target": "" if target is None else f"≤ {target:g} {unit}".strip(),
        "met": "" if target is None else ("yes" if value <= target else "no"),
    }
