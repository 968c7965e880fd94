"""Headroom from the decision about a service to the status of its GPUBudget."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from services.decision.headroom.advise import advise_headroom
from services.kernel.telemetry import REGISTRY
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain

pytestmark = pytest.mark.integration

BUDGETS = f"{GROUP_PATH}/gpubudgets"
LABELS = {"cluster": "default", "gpu_type": "H100"}


@pytest.fixture
def chain(bench: Bench) -> Iterator[Chain]:
    """A service of two replicas of one H100, on a cluster of two nodes of eight."""
    bench.lab.deploy("llama", replicas=2, gpus=1, median_s=20)
    bench.lab.autoscale("llama", maxReplicas=60)
    yield Chain(bench)
    bench.lab.http.delete(BUDGETS)


def allow(bench: Bench, **supply: Any) -> None:
    spec = {"gpuType": "H100", "gpus": 1000, "supply": supply}
    bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})


def status(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.lab.http.get(f"{BUDGETS}/hopper").json()["status"]
    return found


def headroom(bench: Bench) -> dict[str, Any]:
    found = {each["type"]: each for each in status(bench)["conditions"]}
    condition: dict[str, Any] = found["HeadroomReady"]
    return condition


def shown(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"harmony_gpu_headroom_{name}", LABELS)


def test_it_is_in_the_status_once_it_is_advised(bench: Bench, chain: Chain) -> None:
    allow(bench, mode="provisioned", ceiling=40, headroom={"risk": "0.05"})
    bench.reconcile()
    assert (headroom(bench)["status"], headroom(bench)["reason"]) == ("Unknown", "NotAdvised")
    assert shown("gpus") is None
    chain.step(15.0)
    (supply,) = bench.rows("gpu_supply")
    assert (supply["gpus_per_node"], supply["headroom_risk"]) == (8, 0.05)
    assert supply["headroom_mode"] == "advise"
    assert advise_headroom(chain.deps) == 1
    bench.reconcile()
    found, (advice,) = status(bench)["supply"]["headroom"], bench.rows("gpu_headroom")
    assert (found["risk"], found["gpus"]) == (0.05, advice["gpus"])
    assert found["freeGpus"] == advice["free_gpus"] > 8
    assert headroom(bench)["status"] == "True"
    assert shown("gpus") == advice["gpus"]
    assert shown("usd_per_hour") == advice["usd_per_hour"]
    assert shown("risk_averted_ratio") == pytest.approx(
        advice["risk_before"] - advice["risk_after"]
    )
    bench.clock.advance(timedelta(hours=1).total_seconds())
    bench.reconcile()
    assert headroom(bench)["reason"] == "NotAdvised"
    assert "headroom" not in status(bench)["supply"]
    assert shown("gpus") is None


def test_a_fixed_supply_has_none(bench: Bench, chain: Chain) -> None:
    allow(bench, mode="fixed")
    chain.step(15.0)
    assert advise_headroom(chain.deps) == 0
    bench.reconcile()
    assert "HeadroomReady" not in {each["type"] for each in status(bench)["conditions"]}
    assert bench.rows("gpu_needs") == []
