"""Replicas short on spot nodes over a whole chain: with what is learned of them, and without."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.decision.decide.replay import replay
from services.kernel.db.session import unit_of_work
from services.lab.cluster.nodes.definitions import definitions
from services.operator.plan.interruptions import SpotCount
from services.operator.stored.interruptions_repository import store_counts
from tests.integration.operator.conftest import Bench, Lab, cluster_process, lab_in
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.test_supply_spot import NODE_POOLS, count

pytestmark = [pytest.mark.slow, pytest.mark.integration]

N_STEPS = 60
PER_HOUR = 3.0
"""Interruptions of a node: with one an hour the luck of two nodes tells both runs apart or not."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A cluster of its own: how long nodes live goes by how many there were before."""
    with cluster_process() as url, lab_in(url, "serving") as lab:
        yield lab


def add_spot_pool(bench: Bench, interruptions: str) -> None:
    for definition in definitions():
        bench.lab.define(definition)
    requirements = [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["A100"]},
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
    ]
    given = {
        "node-gpus": "4",
        "node-startup-median": "60s",
        "node-interruptions": interruptions,
    }
    metadata = {
        "name": "spot",
        "annotations": {f"lab.harmony.dev/{name}": value for name, value in given.items()},
    }
    spec = {
        "template": {"spec": {"requirements": requirements}},
        "limits": {"nvidia.com/gpu": "200"},
        "disruption": {"consolidateAfter": "120s"},
    }
    bench.lab.post(NODE_POOLS, {"metadata": metadata, "spec": spec})


def without_the_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node is known to be a spot node, and no notice is read."""
    monkeypatch.setattr("services.operator.cluster.placement.NOTICE_TAINTS", ())
    monkeypatch.setattr("services.operator.plan.spot.SPOT_LABELS", {})


def replays(chain: Chain) -> bool:
    """Whether the newest decision is made again to the same bytes."""
    newest = max(chain.bench.rows("decisions"), key=lambda row: row["id"])
    return replay(chain.deps, newest["id"]).is_identical


def short_steps(bench: Bench) -> tuple[int, float]:
    """Replicas short, and replicas asked for on the mean, where a node lives for 20 minutes."""
    bench.deps.settings.operator_supply = True
    bench.lab.deploy("llama", replicas=8, gpus=1, median_s=20, product="A100")
    bench.lab.autoscale("llama", gpuType="A100", gpusPerReplica=1, maxReplicas=60)
    add_spot_pool(bench, f"{PER_HOUR:g}")
    chain = Chain(bench)
    level, short, asked = 95.0, 0, 0
    for n in range(N_STEPS):
        chain.step(level)
        if n >= 10:
            short += max(0, math.ceil(0.97 * level / 10.0) - chain.served[-1])
            asked += bench.lab.replicas("llama")
    assert replays(chain)
    bench.lab.http.delete(NODE_POOLS)
    bench.lab.advance(bench.lab.now() + timedelta(seconds=20))
    return short, asked / (N_STEPS - 10)


def test_few_replicas_are_short_after_interruptions(bench: Bench) -> None:
    learned = SpotCount(60.0 * PER_HOUR, 60.0)  # what the days before have shown
    with unit_of_work(bench.engine) as work:
        store_counts(work.connection, {"A100": replace(learned, seen_at=bench.clock.now())})
    short, asked = short_steps(bench)
    assert count(bench)["interruptions"] > 60.0 * PER_HOUR + 2.0
    rows = bench.rows("decisions")
    assert any("run on spot nodes" in row["explanation"]["summary"] for row in rows)
    print(f"with: {short} replicas short over {N_STEPS - 10} steps, {asked:.1f} asked for")
    assert short <= 4


def test_more_are_short_where_nobody_knows_of_spot_nodes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_the_feature(monkeypatch)
    short, asked = short_steps(bench)
    assert bench.rows("gpu_interruptions") == []
    print(f"without: {short} replicas short over {N_STEPS - 10} steps, {asked:.1f} asked for")
    assert short >= 8
