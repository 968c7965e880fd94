"""Values that the simulated cluster takes and gives: node, start-up, deployment, counts, events."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from services.simulator.engine.needs import GPU, NO_NEEDS, Needs, NodeLabel, NodeTaint

ANY_GPU_TYPE = ""
"""A deployment with this `gpu_type` is placed on any node."""


def _require(is_right: bool, name: str, value: object, wanted: str) -> None:
    if not is_right:
        raise ValueError(f"{name}={value!r} must be {wanted}")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node and its GPUs.

    Attributes:
        resource: Name by which its GPUs are asked for.
    """

    name: str
    gpu_type: str
    gpus: int
    labels: tuple[NodeLabel, ...] = ()
    taints: tuple[NodeTaint, ...] = ()
    resource: str = GPU

    def __post_init__(self) -> None:
        _require(bool(self.name), "name", self.name, "a non-empty node name")
        _require(self.gpus >= 0, "gpus", self.gpus, ">= 0")


@dataclass(frozen=True, slots=True)
class StartupSpec:
    """Law of the time from placement on a node to Ready: a lognormal, in seconds.

    With `fail_probability` the first start crashes at its end; the pod starts once more after
    `restart_s`, so a failed start is one longer start.
    """

    median_s: float
    sigma: float = 0.0
    min_s: float = 1.0
    fail_probability: float = 0.0
    restart_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("median_s", "sigma", "min_s", "restart_s"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, name, value, "finite and >= 0")
        p = self.fail_probability
        _require(0.0 <= p <= 1.0, "fail_probability", p, "in [0, 1]")


@dataclass(frozen=True, slots=True)
class DrainSpec:
    """How a ready pod ends that scaling down takes; it holds its GPUs until it has.

    Attributes:
        busy_s: Seconds until its last request is done.
        grace_s: Seconds after which it is killed, with the requests that it still has.
    """

    busy_s: float = 0.0
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("busy_s", "grace_s"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, name, value, "finite and >= 0")

    @property
    def lasts_s(self) -> float:
        """Seconds until it is gone."""
        return min(self.busy_s, self.grace_s)

    @property
    def is_killed(self) -> bool:
        """True where its grace ends before its last request."""
        return self.busy_s > self.grace_s


AT_ONCE = DrainSpec()


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """A set of identical pods, each a gang of `gpus_per_pod` GPUs on one node.

    Attributes:
        key: `namespace/name`; with the seed and the pod's ordinal it fixes every start-up draw.
        gpu_type: Which nodes will do; `ANY_GPU_TYPE` for all.
        gpus_per_pod: GPUs that one pod holds from being placed until it is deleted.
        startup: Start-up time of each pod.
        replicas: Pods at the start.
        is_warm: The pods of the start that find a node are ready at once.
        needs: What the pods need of a node beyond GPUs.
        drain: How its pods end.
        is_gated: Its pods are held, and placed once they are let go (`ClusterEngine.release`).
    """

    key: str
    gpu_type: str
    gpus_per_pod: int
    startup: StartupSpec
    replicas: int
    is_warm: bool = True
    needs: Needs = NO_NEEDS
    drain: DrainSpec = AT_ONCE
    is_gated: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.key), "key", self.key, "namespace/name")
        _require(self.gpus_per_pod >= 0, "gpus_per_pod", self.gpus_per_pod, ">= 0")
        _require(self.replicas >= 0, "replicas", self.replicas, ">= 0")

    def with_replicas(self, replicas: int) -> DeploymentSpec:
        """The same with another number of pods."""
        return replace(self, replicas=replicas)


class PodEventKind(StrEnum):
    """Kinds of events of a pod."""

    CREATED = "created"
    GATED = "gated"
    UNSCHEDULABLE = "unschedulable"
    SCHEDULED = "scheduled"
    CRASHED = "crashed"
    RESTARTED = "restarted"
    READY = "ready"
    TOLD = "told"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class PodEvent:
    """Something that happened to the pod `ordinal` of the deployment `key` at `at_s`.

    `node` is None while the pod has no node. One that is deleted `is_killed` where its grace ended
    before its last request did. A pod is told to end only where that takes time.
    """

    at_s: float
    kind: PodEventKind
    key: str
    ordinal: int
    node: str | None = None
    is_killed: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """Replicas of a deployment now.

    Attributes:
        spec: Asked for.
        ready: Serving.
        starting: On a node, not ready.
        pending: Without a node.
        start_ages_s: Seconds since creation of each starting pod, oldest first.
        pending_ages_s: Seconds since creation of each pending pod, oldest first.
    """

    spec: int
    ready: int
    starting: int
    pending: int
    start_ages_s: tuple[float, ...] = ()
    pending_ages_s: tuple[float, ...] = ()

    @property
    def bound(self) -> int:
        """Pods that hold GPUs."""
        return self.ready + self.starting


@dataclass(frozen=True, slots=True)
class Interval:
    """`ready` and `bound` (ready, starting and ending) pods from `start_s` until `end_s`."""

    start_s: float
    end_s: float
    ready: int
    bound: int
