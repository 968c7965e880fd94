"""Each variant or pool as a workload of its own."""

from __future__ import annotations

from services.kernel.domain import LeadTimeSpec, part_specs
from tests.unit.kernel.domain.test_pools import CACHE, DECODE, PREFILL, RATE, TOKENS, workload

NIGHT = {"name": "night", "start_time": "20:00", "end_time": "06:00", "min_replicas": 2}


def test_a_pool_has_its_own_loads_hardware_and_lead_time() -> None:
    slow = {"lead_time": {"median_s": 300.0}, "gpu_type": "A100", "min_replicas": 3}
    spec = workload(PREFILL | {"max_replicas": 4}, DECODE | slow, schedules=[NIGHT])
    prefill, decode = part_specs(spec)
    assert (prefill.demand, prefill.loads, prefill.capacity.per_replica) == (RATE, (RATE,), 10.0)
    assert (decode.demand, decode.loads) == (TOKENS, (TOKENS, CACHE)), "in the workload's order"
    assert [decode.capacity.per_replica, decode.capacity.also_bound_by[0].per_replica] == [
        200.0,
        9000.0,
    ]
    assert (prefill.target, decode.gpu_type) == ("Deployment/prefill", "A100")
    assert (prefill.min_replicas, prefill.max_replicas) == (1, 4)
    assert (decode.min_replicas, decode.max_replicas) == (3, 10)
    assert (prefill.lead_time, decode.lead_time.median_s) == (LeadTimeSpec(), 300.0)
    assert decode.schedules == spec.schedules, "bounds of schedules hold for each pool"
    assert (decode.pools, decode.sla) == ((), spec.sla)


def test_a_workload_of_one_target_has_no_parts() -> None:
    assert part_specs(workload()) == ()


def test_a_variant_keeps_the_loads_and_not_the_bounds_of_schedules() -> None:
    cheap = {
        "name": "l4", "target": "Deployment/l4", "gpu_type": "L4", "capacity_per_replica": 4.0,
    }  # fmt: skip
    (found,) = part_specs(workload(variants=[cheap], schedules=[NIGHT]))
    assert (found.demand, found.max_replicas) == (RATE, 25)
    assert found.schedules[0].min_replicas is None
