"""The measurement of `harmony bench operator` on thirty autoscalers, with its calls counted."""

from __future__ import annotations

import pytest

from services.kernel.settings import Settings
from services.lab.bench.operator.report import TARGETS, rows
from services.lab.bench.operator.run import OperatorOptions, run_operator

# `slow`: it starts a cluster and an operator, and watches them idle.
pytestmark = [pytest.mark.integration, pytest.mark.slow]

N = 30


def test_what_thirty_autoscalers_cost(settings: Settings) -> None:
    options = OperatorOptions(N, idle_s=2.0, n_decisions=10, gap_s=0.1, interval_s=1.0)
    found = run_operator(options, settings, lambda _: None)
    start, idle, busy = (found[name]["calls"] for name in ("start", "idle", "busy"))
    kinds = {
        "deployments", "gpuautoscalers", "gpubudgets", "horizontalpodautoscalers", "nodes",
        "pods", "replicasets", "resourcequotas",
    }  # fmt: skip
    for kind in kinds:
        # kopf lists the custom resource too, to be woken by it
        wanted = 2 if kind == "gpuautoscalers" else 1
        assert (start[f"list {kind}"], start[f"watch {kind}"]) == (wanted, wanted), kind
    assert start["patch gpuautoscalers/status"] == N
    assert found["start"]["calls"].keys() & {"create events", "patch deployments/scale"} == set()
    assert set(idle) == {"update leases"}
    assert found["idle"]["writes"] == 0
    assert found["idle"]["passes"] >= 1
    assert busy["patch deployments/scale"] == N
    assert busy["create events"] == N
    assert not any(call.startswith(("list", "get")) for call in busy)
    assert found["busy"]["results"] == {"applied": N}
    assert found["latency"]["n"] == options.n_decisions
    table = rows(found)
    assert {row["figure"] for row in table if row["target"]} == set(TARGETS)
    assert [row for row in table if row["met"] == "no"] == []
