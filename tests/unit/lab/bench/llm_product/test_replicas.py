"""Counts of a service's pools."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import PoolCounts
from services.lab.bench.llm_product.pods import UNTOLD
from services.lab.bench.llm_product.replicas import ServiceReplicas
from services.lab.bench.llm_product.setup import (
    INPUT,
    OUTPUT,
    HarmonyPool,
    HarmonySetup,
    workload_spec,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
GOALS = RequestGoals(1000.0, 40.0)
STATED = {INPUT: 900.0, OUTPUT: 200.0}
POOLS = (HarmonyPool("prefill", (INPUT,), 3), HarmonyPool("decode", (OUTPUT,), 2))
SPLIT = HarmonySetup(GOALS, 0.99, 60.0, STATED, "H200", 5, 8, pools=POOLS)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_pools_are_one_workload_with_a_load_on_each() -> None:
    spec = workload_spec(SPLIT)
    assert [(pool.name, pool.loads) for pool in spec.pools] == [
        ("prefill", (INPUT,)),
        ("decode", (OUTPUT,)),
    ]
    assert spec.loads == (INPUT, OUTPUT)


def test_a_snapshot_has_the_sums_and_every_pool() -> None:
    replicas = ServiceReplicas(SPLIT, NOW)
    decision = {"variants": [{"name": "prefill", "desired": 4}, {"name": "decode", "desired": 2}]}
    replicas.take(cast("Any", decision), later(15))
    assert replicas.counts == {"prefill": 4, "decode": 2}
    replicas.see({"prefill": PoolCounts(3, 1), "decode": PoolCounts(2)}, later(30))
    row = replicas.state_row(1, later(30))
    ages, room, column = row[6:9]
    assert row[2:6] == (6, 5, 1, 0)
    assert row[9:] == UNTOLD
    assert (ages, room) == ([15.0], None)
    prefill, decode = json.loads(column)["prefill"], json.loads(column)["decode"]
    assert (prefill["spec"], prefill["ready"], prefill["starting"]) == (4, 3, 1)
    assert (decode["spec"], decode["ready"], decode["schedulable_gpus"]) == (2, 2, 6)


def test_pods_of_two_pools_have_names_of_their_own() -> None:
    replicas = ServiceReplicas(SPLIT, NOW)
    counts = {"prefill": PoolCounts(3, 1), "decode": PoolCounts(2, 1)}
    replicas.see(counts, later(15))
    uids = [row["pod_uid"] for row in replicas.take_starts(1, later(15))]
    assert uids == ["prefill-pod-4", "decode-pod-3"]


def test_one_pool_is_stored_as_a_plain_workload() -> None:
    setup = HarmonySetup(GOALS, 0.99, 60.0, STATED, "H200", 3, 8)
    replicas = ServiceReplicas(setup, NOW)
    replicas.take(cast("Any", {"variants": None, "desired_replicas": 5}), later(15))
    assert replicas.counts == {"serve": 5}
    assert replicas.state_row(1, later(15))[8] is None
