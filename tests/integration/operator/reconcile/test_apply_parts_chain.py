"""From the custom resource to the cluster and back: decision service and operator in turn."""

from __future__ import annotations

import pytest

from services.decision.decide.replay import replay
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.test_apply_parts import (
    H100,
    L4,
    autoscale,
    deploy,
    replicas,
)

pytestmark = pytest.mark.integration

BUDGET = f"{GROUP_PATH}/gpubudgets"


@pytest.fixture
def chain(bench: Bench) -> Chain:
    return Chain(bench)


def test_the_cheaper_variant_takes_over_without_a_dip(bench: Bench, chain: Chain) -> None:
    """L4 at 2 USD/h per reference replica against 4 takes over what its four GPUs can serve."""
    deploy(bench.lab, h100=3)
    autoscale(bench.lab)
    rows = [chain.step(26.0) for _ in range(10)]
    h100, l4 = replicas(bench)
    assert l4 == 4  # all the L4 that there are
    assert h100 == 1
    assert min(chain.served[1:]) >= 3
    assert rows[-1]["desired_replicas"] == rows[-1]["current_replicas"] == 3
    assert all(v["current"] == v["desired"] for v in rows[-1]["variants"])
    assert all(replay(chain.deps, row["id"]).is_identical for row in rows)


def test_a_budget_moves_the_workload_to_the_dearer_type(bench: Bench, chain: Chain) -> None:
    """With one H100 allowed the workload goes over to L4, which cost more here, and says why."""
    deploy(bench.lab, h100=3)
    autoscale(bench.lab, variants=[H100, {**L4, "cost": {"perGpuHour": "2.5"}}])
    for _ in range(3):
        chain.step(22.0)
    assert replicas(bench) == (3, 0)
    body = {"metadata": {"name": "scarce"}, "spec": {"gpuType": "H100", "gpus": 1}}
    bench.lab.post(BUDGET, body)
    try:
        rows = [chain.step(22.0) for _ in range(8)]
    finally:
        bench.lab.http.delete(f"{BUDGET}/scarce")
    assert replicas(bench) == (1, 4)
    assert min(chain.served[3:]) >= 3
    assert rows[0]["explanation"]["mix"]["binding"] == "gpu_budget"
    assert rows[-1]["explanation"]["gpu_budget"]["gpu_type"] == "H100"
    status = bench.lab.autoscaler("llama")["status"]
    assert [v["currentReplicas"] for v in status["variants"]] == [1, 4]
    assert bench.lab.condition("llama", "Ready")["status"] == "True"
