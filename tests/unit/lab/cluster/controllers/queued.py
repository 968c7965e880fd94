"""A simulated cluster with Kueue: its definitions, a flavor of H100, and queues."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.kueue_definitions import definitions
from services.lab.cluster.storage.resources import DEPLOYMENTS, Obj, ResourceType
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.running_cluster import RunningCluster, workload

GPU, PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
COHORT = {"v1beta2": "cohortName", "v1beta1": "cohort"}


def quota_group(quota: int, **limits: Any) -> Obj:
    """A quota on H100."""
    quotas = [{"name": GPU, "nominalQuota": str(quota), **limits}]
    return {"coveredResources": [GPU], "flavors": [{"name": "h100", "resources": quotas}]}


class QueuedCluster(RunningCluster):
    """A cluster of eight H100 that serves Kueue's kinds in one version."""

    def __init__(self, version: str = "v1beta2", *nodes: NodeSpec) -> None:
        super().__init__(*nodes)
        self.version = version
        kinds = [self.define(each) for each in definitions(version)]
        self.types: dict[str, ResourceType] = {rtype.kind: rtype for rtype in kinds}
        self.create(self.types["ResourceFlavor"], "h100", {"nodeLabels": {PRODUCT: "H100"}})

    def add_queue(self, name: str, quota: int, cohort: str = "", **limits: Any) -> None:
        """A ClusterQueue on H100 with a LocalQueue of the same name."""
        spec: Obj = {"resourceGroups": [quota_group(quota, **limits)]}
        if cohort:
            spec[COHORT[self.version]] = cohort
        self.create(self.types["ClusterQueue"], name, spec)
        self.create(self.types["LocalQueue"], name, {"clusterQueue": name})

    def deploy(self, queue: str, replicas: int, app: str = "x", gpus: int = 1) -> None:
        spec = workload(replicas, app, gpus=gpus)
        spec["template"]["metadata"]["labels"][QUEUE_LABEL] = queue
        self.create(DEPLOYMENTS, app, spec)

    def held(self) -> list[Obj]:
        return [pod for pod in self.pods().values() if pod["spec"].get("schedulingGates")]

    def status(self, name: str, kind: str = "ClusterQueue") -> Obj:
        return dict(self.get(self.types[kind], name)["status"])

    def reserved(self, name: str) -> str:
        (flavor,) = self.status(name)["flavorsReservation"]
        return str(flavor["resources"][0]["total"])
