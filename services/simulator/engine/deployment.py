"""The pods of one simulated deployment, with their counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.simulator.engine.pod import EnginePod
from services.simulator.engine.specs import DeploymentSpec, ReplicaCounts
from services.simulator.engine.timeline import Timeline


@dataclass(slots=True)
class EngineDeployment:
    """State of one deployment.

    Attributes:
        pods: By ordinal, without those that were told to end.
        ending: Those that were, until they are gone.
        n_bound: Pods on a node, without those that are ending.
    """

    spec: DeploymentSpec
    timeline: Timeline
    pods: dict[int, EnginePod] = field(default_factory=dict)
    ending: dict[int, EnginePod] = field(default_factory=dict)
    n_created: int = 0
    n_ready: int = 0
    n_bound: int = 0

    def on_nodes(self) -> list[EnginePod]:
        """Pods on nodes, those that are ending too."""
        return [p for p in (*self.pods.values(), *self.ending.values()) if p.node is not None]

    def counts(self, now_s: float) -> ReplicaCounts:
        """Replicas now."""
        n_pods = len(self.pods)
        waiting = (
            [pod for pod in self.pods.values() if pod.ready_s is None]
            if n_pods > self.n_ready
            else []
        )
        return ReplicaCounts(
            spec=self.spec.replicas,
            ready=self.n_ready,
            starting=self.n_bound - self.n_ready,
            pending=n_pods - self.n_bound,
            start_ages_s=tuple(now_s - p.created_s for p in waiting if p.node is not None),
            pending_ages_s=tuple(now_s - p.created_s for p in waiting if p.node is None),
        )

    def record(self, now_s: float) -> None:
        """Note the counts that hold from now on; pods that are ending hold their GPUs."""
        self.timeline.record(now_s, self.n_ready, self.n_bound + len(self.ending))
