"""Groups of a leader and its workers."""

from __future__ import annotations

from services.lab.cluster.controllers.leader_worker_sets import (
    GROUP_LABEL,
    WORKER_LABEL,
    definition,
)
from tests.unit.lab.cluster.running_cluster import RunningCluster, is_ready, template


def test_a_leader_worker_set_runs_groups() -> None:
    cluster = RunningCluster()
    kind = cluster.define(definition())
    group = {"size": 3, "workerTemplate": template()}
    cluster.create(kind, "x", {"replicas": 2, "leaderWorkerTemplate": group})
    pods = cluster.pods()
    assert sorted(pods) == ["x-0", "x-0-0", "x-0-1", "x-1", "x-1-0", "x-1-1"]
    labels = pods["x-1-1"]["metadata"]["labels"]
    assert (labels[GROUP_LABEL], labels[WORKER_LABEL]) == ("1", "2")
    status = cluster.get(kind, "x")["status"]
    assert (status["replicas"], status["readyReplicas"]) == (2, 0)
    cluster.wait(10)
    assert cluster.get(kind, "x")["status"]["readyReplicas"] == 2
    # eight GPUs hold two groups and two pods of a third
    cluster.change(kind, "x", "spec.replicas", 3)
    cluster.wait(10)
    assert sum(map(is_ready, cluster.pods().values())) == 8
    status = cluster.get(kind, "x")["status"]
    assert (status["replicas"], status["readyReplicas"]) == (3, 2)
    cluster.change(kind, "x", "spec.replicas", 1)
    assert sorted(cluster.pods()) == ["x-0", "x-0-0", "x-0-1"]
    cluster.delete(kind, "x")
    assert cluster.pods() == {}
