"""Kubernetes objects of a fleet: namespaces, Deployments with GPUs, GPUAutoscalers in Auto mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kernel.domain import IndicatorSpec
from services.simulator.fleet import FleetWorkload, NodePool, ScaledFleet
from services.simulator.request_meters import GOAL, THRESHOLD_S
from services.simulator.served_fleet import GOOD_SHARE

GROUP = "scaling.harmony.dev"
SLA_CLASS = "silver"
Manifest = dict[str, Any]


def nodes_argument(pools: Sequence[NodePool]) -> str:
    """Value of the cluster's `--nodes`: `H100=8x8,L4=10x4` (nodes x GPUs each)."""
    return ",".join(f"{pool.gpu_type}={pool.n_nodes}x{pool.gpus_per_node}" for pool in pools)


def deployment(workload: FleetWorkload, replicas: int) -> Manifest:
    """The workload's Deployment; annotations tell the simulated cluster its start-up time."""
    labels = {"app": workload.name}
    startup = workload.startup
    annotations = {
        "lab.harmony.dev/startup-median": f"{startup.median_s:.3f}s",
        "lab.harmony.dev/startup-sigma": f"{startup.sigma:.6f}",
        "lab.harmony.dev/startup-fail-probability": f"{startup.fail_probability:.6f}",
        "lab.harmony.dev/start-warm": "true",  # the rivals' first replicas are ready too
        "lab.harmony.dev/startup-restart": f"{startup.restart_s:.3f}s",
    }
    container = {
        "name": "server",
        "image": f"example.test/{workload.kind}:1",
        "resources": {"limits": {"nvidia.com/gpu": str(workload.gpus_per_replica)}},
    }
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": workload.gpu_type},
            "containers": [container],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": workload.namespace, "name": workload.name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def sla_class(epsilon: float) -> Manifest:
    """The class that every service names; each states its own promise beside it."""
    risk = {"epsilon": f"{epsilon:g}", "kind": "TimeFraction", "window": "1d"}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "SLAClass",
        "metadata": {"name": SLA_CLASS},
        "spec": {"description": "The demo's services", "risk": risk, "priority": 100},
    }


def gpu_autoscaler(
    scaled: ScaledFleet,
    service: int,
    indicators: Sequence[IndicatorSpec],
    *,
    has_objective: bool = False,
) -> Manifest:
    """The GPUAutoscaler of a service: what a user would write.

    Args:
        scaled: The fleet.
        service: Index of the service.
        indicators: All its indicators.
        has_objective: Whether it says what requests are to feel; the counts are pushed.
    """
    workload = scaled.services.workloads[service]
    spec: Manifest = {
        "mode": "Auto",
        "minReplicas": workload.min_replicas,
        "maxReplicas": workload.max_replicas,
        "sla": {
            "class": SLA_CLASS,
            "risk": {"epsilon": f"{workload.epsilon:g}", "kind": "TimeFraction", "window": "1d"},
        },
        "demand": workload.demand,
        "indicators": [_indicator(indicator) for indicator in indicators],
        "capacity": {"perReplica": f"{workload.capacity_per_replica:.9g}"},
        "leadTime": {
            "median": f"{max(1, round(workload.startup.median_s))}s",
            "sigma": f"{workload.startup.sigma:.3f}",
        },
    }
    targets = [scaled.targets.workloads[target] for target in scaled.targets_of(service)]
    if scaled.has_pools(service):
        names = [scaled.pools[target] for target in scaled.targets_of(service)]
        spec["pools"] = [_pool(name, target) for name, target in zip(names, targets, strict=True)]
        spec["capacity"]["alsoBoundBy"] = [
            {"indicator": one.demand, "perReplica": f"{one.capacity_per_replica:.9g}"}
            for one in targets[1:]
        ]
    else:
        spec |= _hardware(targets[0])
    if has_objective:
        spec["sla"]["objective"] = {
            "goals": [{"metric": GOAL, "threshold": f"{round(1000 * THRESHOLD_S)}ms"}],
            "share": f"{GOOD_SHARE:g}",
        }
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "GPUAutoscaler",
        "metadata": {"namespace": workload.namespace, "name": workload.name},
        "spec": spec,
    }


def _hardware(target: FleetWorkload) -> Manifest:
    """What is scaled, the GPUs that it takes and their price."""
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target.name},
        "gpuType": target.gpu_type,
        "gpusPerReplica": target.gpus_per_replica,
        "cost": {"currency": "USD", "perGpuHour": f"{target.price_usd_per_gpu_hour:g}"},
    }


def _pool(name: str, target: FleetWorkload) -> Manifest:
    return {
        "name": name,
        **_hardware(target),
        "minReplicas": target.min_replicas,
        "maxReplicas": target.max_replicas,
        "boundBy": [target.demand],
    }


def _indicator(indicator: IndicatorSpec) -> Manifest:
    entry: Manifest = {"name": indicator.name, "level": indicator.level}
    if indicator.unit:
        entry["unit"] = indicator.unit
    return entry


def fleet_manifests(
    scaled: ScaledFleet,
    closed_loop: Sequence[IndicatorSpec],
    replicas: Sequence[int],
    *,
    has_objective: bool = False,
) -> list[Manifest]:
    """Everything to create, in order.

    Args:
        scaled: W services, V targets.
        closed_loop: Indicators added to each service's own.
        replicas: (V,) initial replicas.
        has_objective: Whether each service says what its requests are to feel.
    """
    targets, services = scaled.targets.workloads, scaled.services.workloads
    namespaces = sorted({target.namespace for target in targets})
    objects: list[Manifest] = [sla_class(max(one.epsilon for one in services))]
    objects += [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces
    ]
    objects += [deployment(target, n) for target, n in zip(targets, replicas, strict=True)]
    objects += [
        gpu_autoscaler(scaled, i, [*service.indicators, *closed_loop], has_objective=has_objective)
        for i, service in enumerate(services)
    ]
    return objects
