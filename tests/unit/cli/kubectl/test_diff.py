"""Diffs of replicas on a terminal of 80 columns: nothing important is cut."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.kubectl.diff import render_diff, to_diff_row
from services.cli.kubectl.holds import ApiHold
from tests.unit.cli.kubectl.views import LONG, NOW, pools, shown, workload


def test_diff_keeps_every_figure_at_80_columns() -> None:
    rows = [to_diff_row(workload(LONG), NOW), to_diff_row(workload("small"), NOW)]
    lines = shown(render_diff(rows, True, NOW))
    assert lines[0].split() == ["WORKLOAD", "NOW", "WANTS", "GPUS", "USD/H", "RISK", "MODE", "AGE"]
    (first,) = [line for line in lines if " +8 " in line and not line.startswith("serving/small")]
    assert first.split()[1:] == ["8", "10", "+8", "+20.00", "0.42", "%", "Approval", "3", "min"]
    assert lines[-1] == "2 of 2 differ: +16 GPUs, +$40.00 per hour"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"last_decision": None}, "no decision yet"),
        ({"current": None}, "has not been seen"),
        ({"current": None, "managed_by": "api"}, "POST /v1/workloads/serving/llama/replicas"),
    ],
)
def test_diff_says_why_nothing_can_be_said(changes: dict[str, Any], problem: str) -> None:
    row = to_diff_row(workload(**changes), NOW)
    assert problem in row.problem
    assert (row.delta_gpus, row.delta_usd_per_h, row.is_different) == (None, None, False)
    assert row.to_json()["is_different"] is None
    assert shown(render_diff([row], False, NOW))[-1] == ("0 of 1 run as Harmony recommends")


def test_each_pool_is_counted_at_its_own_size_and_price() -> None:
    row = to_diff_row(workload(current=12, parts=pools(decode=16)), NOW)
    assert (row.delta_gpus, row.delta_usd_per_h, row.is_different) == (6, 3.0, True)


def test_pools_that_trade_replicas_differ_where_their_sum_stays() -> None:
    """One of eight H100 more and one of one L4 less: as many replicas, and not the same."""
    row = to_diff_row(workload(current=12, parts=pools(prefill=3, decode=9)), NOW)
    assert (row.delta_gpus, row.delta_usd_per_h, row.is_different) == (7, 31.5, True)
    same = to_diff_row(workload(current=12, parts=pools()), NOW)
    assert (same.delta_gpus, same.delta_usd_per_h, same.is_different) == (0, 0.0, False)
    dear = [part | {"gpus_per_replica": 8} for part in pools(prefill=3, decode=9)]
    moved = to_diff_row(workload(current=12, parts=dear), NOW)
    assert (moved.delta_gpus, moved.is_different) == (0, True)
    assert "+28.00" in "\n".join(shown(render_diff([moved], False, NOW)))


def test_a_pool_that_the_decision_did_not_know_makes_the_difference_unknown() -> None:
    row = to_diff_row(workload(current=12, parts=pools(decode=None)), NOW)
    assert (row.delta_gpus, row.is_different) == (None, False)
    assert "no count is known of decode yet" in row.problem


def test_a_pause_is_told_of_whoever_can_end_it() -> None:
    whole, half = ApiHold("Both", "held by freeze 7"), ApiHold("ScaleIn", "scaling in paused")
    held = workload(is_paused=True)
    beside = shown(render_diff([to_diff_row(held, NOW, [whole, half])], True, NOW))
    assert "serving/llama: held by freeze 7" in beside
    assert not any("resume" in line or "scaling in" in line for line in beside)
    own = shown(render_diff([to_diff_row(held, NOW, [half])], True, NOW))
    assert "serving/llama: paused; `kubectl harmony resume llama -n serving`" in own
