"""Figures of the operator against their targets."""

from __future__ import annotations

from typing import Any

from services.lab.bench.operator.report import TARGETS, rows

DOCUMENT: dict[str, Any] = {
    "start": {
        "first_pass_complete_s": 12.0,
        "first_pass_s": 61.25,
        "all_statuses_written_s": 70.0,
    },
    "idle": {
        "pass_s": 0.123456,
        "rss_mib": 250.4,
        "cpu_share": 0.02,
        "writes": 0,
        "calls_per_minute": 30,
        "calls_per_object_per_minute": 1.0,
    },
    "busy": {"last_scale_patched_s": 20.0, "all_statuses_written_s": 25.0},
    "latency": {"p50_s": 0.1, "p99_s": 2.5, "max_s": 3.0},
    "rss_mib": {"peak": 300.0},
}


def test_figures_are_set_against_their_targets() -> None:
    found = {row["figure"]: row for row in rows(DOCUMENT) if row["target"]}
    assert set(found) == set(TARGETS)
    assert found["pass, everything new"] == {
        "figure": "pass, everything new",
        "value": "61.2 s",
        "target": "≤ 60 s",
        "met": "no",
    }
    assert found["API calls per object and minute while idle"]["met"] == "yes"
    assert found["decision to patched scale, 99 %"]["met"] == "no"
    assert found["API writes while idle"]["value"] == "0"


def test_figures_without_a_target_are_only_shown() -> None:
    found = {row["figure"]: row for row in rows(DOCUMENT) if not row["target"]}
    assert found["processor while idle"]["value"] == "2 % of a core"
    assert found["resident memory while idle"]["value"] == "250 MiB"
    assert {row["met"] for row in found.values()} == {""}
