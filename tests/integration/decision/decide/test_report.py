"""What is measured of a run: how fresh decisions are, GPU-hours by GPU type."""

from __future__ import annotations

import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel import telemetry
from tests.integration.decision.pool_rows import DECODE, PREFILL, add_loads, add_service
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    STEP_S,
    add_demand,
    add_workload,
    one_workload,
)
from tests.integration.decision.variant_rows import H100, L4, observe, seen

pytestmark = pytest.mark.integration


def test_how_fresh_decisions_are_is_measured_once_for_each(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    name = "harmony_decision_freshness_seconds"

    def measured() -> tuple[float, float]:
        found = [telemetry.REGISTRY.get_sample_value(f"{name}_{end}") for end in ("count", "sum")]
        return found[0] or 0.0, found[1] or 0.0

    before = measured()
    service.decide_shard(deps, 0, ORIGIN)
    service.decide_shard(deps, 0, ORIGIN)
    count, total = measured()
    late_s = (NOW - ORIGIN - STEP).total_seconds()
    assert (count - before[0], total - before[1]) == (1, pytest.approx(late_s))


def gpu_hours() -> dict[str, float]:
    """GPU-hours that the process has counted of each type."""
    return {
        gpu_type: telemetry.REGISTRY.get_sample_value(
            "harmony_gpu_hours_total", {"gpu_type": gpu_type}
        )
        or 0.0
        for gpu_type in ("H100", "A100", "L4")
    }


def counted(deps: DecisionDeps) -> dict[str, float]:
    """GPU-hours that deciding on the newest origin counts."""
    before = gpu_hours()
    assert service.decide_shard(deps, 0, ORIGIN).n_outcomes == 1
    return {name: hours - before[name] for name, hours in gpu_hours().items()}


def test_gpu_hours_of_pools_are_of_each_pools_type(deps: DecisionDeps) -> None:
    """Two prefill replicas of two H100 and ten decode replicas of one A100, for one step."""
    workload = add_service(deps.engine, pools=[PREFILL, DECODE], gpu_type="H100")
    observe(deps.engine, workload, ORIGIN, prefill=seen(2), decode=seen(10))
    add_loads(deps.engine, workload, 10.0, 900.0)
    hours = STEP_S / 3600
    expected = {"H100": 4 * hours, "A100": 10 * hours, "L4": 0.0}
    assert counted(deps) == pytest.approx(expected)


def test_gpu_hours_of_variants_are_of_each_variants_type(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "llama", variants=[H100 | {"gpus_per_replica": 2}, L4])
    observe(deps.engine, workload, ORIGIN, h100=seen(3), l4=seen(4))
    add_demand(deps.engine, workload, [30.0] * 20)
    hours = STEP_S / 3600
    expected = {"H100": 6 * hours, "A100": 0.0, "L4": 4 * hours}
    assert counted(deps) == pytest.approx(expected)
