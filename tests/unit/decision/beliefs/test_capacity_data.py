"""What capacities are learned from: when it suffices, what is kept, what it is learned for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.decision.beliefs.capacity_data import (
    MAX_SPREAD,
    MIN_STEPS,
    STEPS_PER_BIN,
    LatencySteps,
    fingerprint,
    flaw,
    lack,
    latency_steps,
    response_data,
    spread_flaw,
    thinned,
)
from services.decision.rows.inputs import N_DRAWS, ShardRows, capacity_of
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec


def member(key: int = 1, **capacity: Any) -> ShardMember:
    learning = {"latency_indicator": "latency_ms", "slo_latency_ms": 500.0}
    spec = {
        "target": "Deployment/w",
        "demand": "load_rps",
        "indicators": [{"name": "load_rps", "level": 1}, {"name": "latency_ms", "level": 1}],
        "capacity": {"per_replica": 10.0} | learning | capacity,
    }
    return ShardMember(key, "demo", f"w{key}", 300, WorkloadSpec.model_validate(spec))


def steps(load: Any) -> LatencySteps:
    load = np.asarray(load, dtype=float)
    return LatencySteps(300.0 * np.arange(load.size), load, 100.0 + load)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (None, "0 steps with a latency"),
        (np.linspace(1, 9, MIN_STEPS - 1), f"{MIN_STEPS - 1} steps with a latency"),
        (np.full(100, 7.0), "between 7 and 7; the high must be at least 1.5 times the low"),
        (np.linspace(1, 4, 100), "up to 3.85; it must reach 50% of the stated 10"),
        (np.linspace(1, 9, MIN_STEPS), ""),
    ],
)
def test_what_lacks_is_said(load: Any, words: str) -> None:
    found = lack(None if load is None else steps(load), 10.0)
    assert words in found
    assert bool(words) == bool(found)


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=400))
def test_thinning_keeps_the_range_and_the_order(load: list[float]) -> None:
    found = thinned(steps(load))
    assert found.load.max() == max(load)
    assert found.load.size <= min(len(load), 200)
    assert (np.diff(found.steps_s) > 0).all()
    np.testing.assert_array_equal(found.latency_ms, 100.0 + found.load)


def test_thinning_keeps_the_newest_of_each_load_and_the_few_at_the_knee() -> None:
    found = thinned(steps([*np.full(500, 1.0), 9.0, 8.0, *np.full(500, 1.0)]))
    assert found.load.tolist() == [9.0, 8.0] + [1.0] * STEPS_PER_BIN
    assert found.steps_s[-1] == 300.0 * 1001


def test_data_of_several_workloads_keep_their_owner() -> None:
    data = response_data(
        [member(3), member(7, per_replica=20.0)], {3: steps([1.0, 2.0]), 7: steps([5.0])}
    )
    assert data.workload.tolist() == [0, 0, 1]
    assert data.load.tolist() == [1.0, 2.0, 5.0]
    assert data.prior_load.tolist() == [10.0, 20.0]


def test_draws_that_say_too_little_are_refused() -> None:
    rng = np.random.default_rng(0)
    base = np.full(1000, 600.0)
    narrow, wide = (np.exp(s * rng.standard_normal(1000)) for s in (0.2, 0.4))
    assert spread_flaw(narrow) == flaw(narrow, base, 700.0) == ""
    assert f"{MAX_SPREAD:.0%} is needed" in flaw(wide, base, 700.0)
    zero = np.where(np.arange(1000) == 0, 0.0, narrow)
    assert "600 ms in the median, may exceed slo_latency_ms=500" in flaw(zero, base, 500.0)


def test_the_fingerprint_survives_its_storage_and_tells_specs_apart() -> None:
    first = fingerprint(member())
    assert json.loads(json.dumps(first)) == first
    assert fingerprint(member(2)) == first
    assert fingerprint(member(slo_latency_ms=400.0)) != first
    assert fingerprint(member(per_replica=11.0)) != first


def test_own_draws_come_first_then_the_types_then_what_is_stated() -> None:
    own, relative = np.full(256, 7.0), np.linspace(0.8, 1.2, 256)
    every = ShardRows(capacity={"workload:1": own, "gpu_type:H100": relative})
    assert capacity_of(member(1), every) == pytest.approx(np.full(N_DRAWS, 7.0))
    of_type = capacity_of(member(2), every)
    assert np.median(of_type) == pytest.approx(10.0)
    assert of_type.min() == pytest.approx(8.0, rel=0.01)
    plain = member(3, latency_indicator="", slo_latency_ms=None)
    np.testing.assert_array_equal(capacity_of(plain, every), np.full(N_DRAWS, 10.0))
    np.testing.assert_array_equal(capacity_of(member(2), ShardRows()), np.full(N_DRAWS, 10.0))


def test_latencies_of_several_loads_go_by_the_tightest_stated_capacity() -> None:
    known: Any = {
        "workload_id": 1,
        "steps_s": [0.0, 300.0, 600.0],
        "load": [5.0, 5.0, 5.0],
        "latency_ms": [100.0, 200.0, 300.0],
    }
    spec = member().spec.model_dump()
    spec["indicators"] = [*spec["indicators"], {"name": "tokens", "level": 1}]
    further = [{"indicator": "tokens", "per_replica": 200.0}]
    spec["capacity"] = spec["capacity"] | {"also_bound_by": further}
    bound = ShardMember(1, "demo", "w1", 300, WorkloadSpec.model_validate(spec))
    tokens = {1: {"tokens": (np.array([0.0, 600.0]), np.array([50.0, 180.0]))}}
    found = latency_steps([known], [bound], tokens)[1]
    np.testing.assert_allclose(found.load, [5.0, 9.0])
    assert found.latency_ms.tolist() == [100.0, 300.0]
    assert latency_steps([known], [member()], {})[1].load.tolist() == [5.0] * 3
    assert fingerprint(bound) != fingerprint(member())
    assert json.loads(json.dumps(fingerprint(bound))) == fingerprint(bound)
