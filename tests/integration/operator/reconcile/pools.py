"""A service with a pool for prefill and one for decode on the simulated cluster."""

from __future__ import annotations

from typing import Any

from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab
from tests.integration.operator.reconcile.test_apply_parts import reference

RATE, TOKENS = "request_rate_rps", "output_tokens_per_s"
PREFILL = {
    "name": "prefill", "scaleTargetRef": reference("llama-prefill"), "gpuType": "H100",
    "cost": {"perGpuHour": "4"}, "boundBy": [RATE],
}  # fmt: skip
DECODE = {
    "name": "decode", "scaleTargetRef": reference("llama-decode"), "gpuType": "H100",
    "cost": {"perGpuHour": "4"}, "boundBy": [TOKENS],
}  # fmt: skip


def autoscale(lab: Lab, **changes: Any) -> None:
    """`llama` with two pools: 10 requests/s of a prefill replica, 200 tokens/s of decode."""
    spec: dict[str, Any] = {
        "mode": "Auto", "maxReplicas": 12, "sla": {"risk": {"epsilon": "0.01"}}, "demand": RATE,
        "indicators": [{"name": name, "level": 1} for name in (RATE, TOKENS)],
        "capacity": {
            "perReplica": "10", "alsoBoundBy": [{"indicator": TOKENS, "perReplica": "200"}],
        },
        "pools": [PREFILL, DECODE],
    } | changes  # fmt: skip
    body = {
        "apiVersion": "scaling.harmony.dev/v1alpha1", "kind": "GPUAutoscaler",
        "metadata": {"name": "llama"}, "spec": spec,
    }  # fmt: skip
    lab.post(f"{GROUP_PATH}/namespaces/{lab.namespace}/gpuautoscalers", body)


def deploy(lab: Lab, prefill: int = 2, decode: int = 2) -> None:
    lab.deploy("llama-prefill", replicas=prefill)
    lab.deploy("llama-decode", replicas=decode)


def replicas(bench: Bench) -> tuple[int, int]:
    return bench.lab.replicas("llama-prefill"), bench.lab.replicas("llama-decode")
