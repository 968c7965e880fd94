"""The fleet under load: two namespaces, three classes, a tight GPU budget, one victim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

GROUP_PATH = "/apis/scaling.harmony.dev/v1alpha1"
DEMAND = "output_tokens_per_s"
CAPACITY = 100.0
"""Demand that one replica carries."""
BUDGETED, FREE = "H100", "L4"
NODES = "H100=8x8,L4=10x4"
CLASSES = {"gold": (0.01, 200), "silver": (0.02, 100), "bronze": (0.1, 50)}
"""Promise and priority of each class."""
_NAMESPACES = ("batch", "shop")
_SHARE_OF_PEAK = 0.6
_MAX_REPLICAS = 6
_PERIODS_S = (90.0, 150.0, 240.0)
_JUMP_EVERY_S = 200.0
_JUMP_LASTS_S = 40.0
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RiseLimit:
    """At most so many pods more within a period."""

    pods: int
    period_s: int


@dataclass(frozen=True, slots=True)
class FleetMember:
    """A workload of the fleet.

    Attributes:
        sla_class: Name of its class.
        gpu_type: What its replicas need.
        rate: Limit of its rises; None: there is none.
        number: Its place in the fleet, which gives its demand a shape of its own.
    """

    namespace: str
    name: str
    sla_class: str
    gpu_type: str
    rate: RiseLimit | None
    number: int
    min_replicas: int = 1
    max_replicas: int = _MAX_REPLICAS

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def demand_at(self, at_s: float) -> float:
        """Demand at a time in seconds: a wave, and a jump now and then."""
        period_s = _PERIODS_S[self.number % len(_PERIODS_S)]
        phase = 2.399963 * self.number  # the golden angle: no two rise together
        wave = 1.5 * (1.0 + math.sin(2.0 * math.pi * at_s / period_s + phase))
        jumps = (at_s + 37.0 * self.number) % _JUMP_EVERY_S < _JUMP_LASTS_S
        return CAPACITY * (0.6 + wave + (1.5 if jumps and self.number % 4 == 0 else 0.0))


@dataclass(frozen=True, slots=True)
class FaultFleet:
    """Workloads and what bounds them together.

    Attributes:
        members: All workloads; the last is the victim of what poisons one.
        budget_gpus: GPUs that those of the budgeted type may hold together.
    """

    members: tuple[FleetMember, ...]
    budget_gpus: int

    @property
    def victim(self) -> FleetMember:
        """The workload that is poisoned."""
        return self.members[-1]

    @property
    def healthy(self) -> tuple[FleetMember, ...]:
        """All but the victim."""
        return self.members[:-1]

    def budgeted(self) -> tuple[FleetMember, ...]:
        """Those that share the budget."""
        return tuple(one for one in self.members if one.gpu_type == BUDGETED)


def make_fleet(n_workloads: int) -> FaultFleet:
    """A fleet of `n_workloads`; two of three share a budget of about half of what they may want."""
    members = tuple(_member(number, n_workloads) for number in range(n_workloads))
    most = sum(one.max_replicas for one in members if one.gpu_type == BUDGETED)
    return FaultFleet(members, max(1, round(_SHARE_OF_PEAK * most)))


def _member(number: int, n_workloads: int) -> FleetMember:
    is_victim = number == n_workloads - 1
    return FleetMember(
        namespace=_NAMESPACES[number % 2],
        name=f"llm-{number:02d}",
        sla_class="bronze" if is_victim else list(CLASSES)[number % len(CLASSES)],
        gpu_type=FREE if number % 3 == 1 and not is_victim else BUDGETED,
        rate=RiseLimit(1, 30) if number % 4 == 1 else RiseLimit(2, 60) if number % 4 == 2 else None,
        number=number,
    )


def manifests(fleet: FaultFleet) -> list[tuple[str, Manifest]]:
    """Paths and bodies of everything to create, in order."""
    names = sorted({one.namespace for one in fleet.members})
    found: list[tuple[str, Manifest]] = [
        ("/api/v1/namespaces", {"metadata": {"name": name}}) for name in names
    ]
    for name, (epsilon, priority) in CLASSES.items():
        risk = {"epsilon": f"{epsilon:g}", "kind": "TimeFraction", "window": "1d"}
        body = _object("SLAClass", {"name": name}, {"risk": risk, "priority": priority})
        found.append((f"{GROUP_PATH}/slaclasses", body))
    budget = {"gpuType": BUDGETED, "gpus": fleet.budget_gpus}
    found.append((f"{GROUP_PATH}/gpubudgets", _object("GPUBudget", {"name": "h100"}, budget)))
    for one in fleet.members:
        place = f"namespaces/{one.namespace}"
        found.append((f"/apis/apps/v1/{place}/deployments", deployment(one)))
        found.append((f"{GROUP_PATH}/{place}/gpuautoscalers", autoscaler(one)))
    return found


def deployment(one: FleetMember) -> Manifest:
    """A Deployment whose pods are ready a few seconds after their start."""
    labels = {"app": one.name}
    annotations = {
        "lab.harmony.dev/startup-median": "4s",
        "lab.harmony.dev/start-warm": "true",
    }
    container = {
        "name": "server",
        "image": "example.test/llm:1",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": one.name, "namespace": one.namespace},
        "spec": {
            "replicas": one.min_replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.product": one.gpu_type},
                    "containers": [container],
                },
            },
        },
    }


def autoscaler(one: FleetMember) -> Manifest:
    """The GPUAutoscaler of a workload, in mode `Auto`."""
    spec: Manifest = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": one.name},
        "mode": "Auto",
        "minReplicas": one.min_replicas,
        "maxReplicas": one.max_replicas,
        "gpuType": one.gpu_type,
        "gpusPerReplica": 1,
        "sla": {"class": one.sla_class},
        "demand": DEMAND,
        "indicators": [{"name": DEMAND, "level": 1, "unit": "tokens/s"}],
        "capacity": {"perReplica": f"{CAPACITY:g}"},
        "leadTime": {"median": "4s"},
        "cost": {"perGpuHour": "2.50"},
    }
    if one.rate is not None:
        policy = {"type": "Pods", "value": one.rate.pods, "periodSeconds": one.rate.period_s}
        spec["behavior"] = {"scaleUp": {"policies": [policy]}}
    return _object("GPUAutoscaler", {"name": one.name, "namespace": one.namespace}, spec)


def create(url: str, fleet: FaultFleet) -> None:
    """Create the fleet in a cluster that knows Harmony's resources.

    Raises:
        httpx.HTTPStatusError: The cluster refused an object.
    """
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for path, body in manifests(fleet):
            http.post(path, json=body).raise_for_status()


def autoscaler_path(one: FleetMember) -> str:
    """Path of a workload's GPUAutoscaler."""
    return f"{GROUP_PATH}/namespaces/{one.namespace}/gpuautoscalers/{one.name}"


def _object(kind: str, metadata: Manifest, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "scaling.harmony.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def keys(members: Sequence[FleetMember]) -> list[str]:
    """Keys of some members."""
    return [one.key for one in members]
