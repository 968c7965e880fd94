"""Two operators of two simulated clusters on one database: none touches what is the other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from kubernetes import client
from sqlalchemy import Engine, text

from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster, load_clusters
from services.kernel.db.session import make_engine
from services.operator.kube.client import KubeClient
from services.operator.reconcile.memory import OperatorDeps
from services.operator.wire.http import KubeHttp
from tests.integration.operator.conftest import (
    EAGER,
    GROUP_PATH,
    Bench,
    Lab,
    cluster_process,
)

pytestmark = pytest.mark.integration
OTHER = "other"


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    with cluster_process() as url:
        yield url


@pytest.fixture
def other_lab(other_url: str, lab: Lab) -> Iterator[Lab]:
    """Another cluster, with a namespace of the same name."""
    with httpx.Client(base_url=other_url, timeout=10) as http:
        there = Lab(other_url, http, lab.namespace)
        there.post("/api/v1/namespaces", {"metadata": {"name": lab.namespace}})
        yield there


@pytest.fixture
def benches(bench: Bench, other_lab: Lab) -> Iterator[tuple[Bench, Bench]]:
    """An operator of each cluster, both on one database, each with a workload `llama`."""
    with bench.engine.begin() as connection:
        add_cluster(connection, OTHER, bench.clock.now())
    url = bench.deps.settings.database_url
    mine = replace(bench, deps=operator(bench, bench.lab, "default", url))
    theirs = replace(bench, lab=other_lab, deps=operator(bench, other_lab, OTHER, url))
    theirs.engine, mine.engine = theirs.deps.engine, mine.deps.engine
    for each, replicas in ((mine, 2), (theirs, 5)):
        each.lab.deploy("llama", replicas=replicas)
        each.lab.autoscale("llama")
    yield mine, theirs
    for each in (mine, theirs):
        path = f"{GROUP_PATH}/namespaces/{each.lab.namespace}/gpuautoscalers"
        assert each.lab.http.delete(path).status_code == 200
        each.lab.http.delete(f"{GROUP_PATH}/gpubudgets")


def operator(bench: Bench, lab: Lab, cluster: str, url: str) -> OperatorDeps:
    configuration = client.Configuration()
    configuration.host = lab.url
    configuration.retries = False
    settings = bench.deps.settings.model_copy(update={"kube_url": lab.url, "cluster": cluster})
    engine = make_engine(url, cluster=cluster)
    kube = KubeClient(KubeHttp(configuration, sleep=lambda _: None))
    return OperatorDeps(engine, kube, bench.clock, settings, pace=EAGER)


def every(database: Engine, statement: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def write_budget(lab: Lab, gpus: int) -> None:
    lab.post(
        f"{GROUP_PATH}/gpubudgets",
        {
            "apiVersion": "scaling.harmony.dev/v1alpha1",
            "kind": "GPUBudget",
            "metadata": {"name": "hopper"},
            "spec": {"gpuType": "H100", "gpus": gpus},
        },
    )


def test_each_operator_registers_and_deactivates_its_own(
    benches: tuple[Bench, Bench], database: Engine
) -> None:
    for _ in range(2):
        for each in benches:
            each.reconcile()
    found = every(database, "SELECT cluster_id, shard, is_active, name FROM workloads ORDER BY id")
    assert found == [(1, 0, True, "llama"), (2, SHARDS_PER_CLUSTER, True, "llama")]
    seen = "SELECT workload_id, spec_replicas FROM replica_states ORDER BY workload_id"
    assert every(database, seen) == [(1, 2), (2, 5)]
    starts = "SELECT count(*), count(gone_at) FROM pod_starts WHERE workload_id = {}"
    mine, _ = benches
    path = f"{GROUP_PATH}/namespaces/{mine.lab.namespace}/gpuautoscalers"
    assert mine.lab.http.delete(path).status_code == 200
    for each in benches:
        each.step()
    active = every(database, "SELECT cluster_id, is_active FROM workloads ORDER BY id")
    assert active == [(1, False), (2, True)]
    (others,) = every(database, starts.format(2))
    assert others[1] == 0, "the other's pods are not gone because they cannot be seen here"


def test_each_operator_follows_the_decisions_of_its_own(benches: tuple[Bench, Bench]) -> None:
    for each in benches:
        each.reconcile()
    mine, theirs = benches
    ours = mine.decide("llama", 4)
    assert theirs.reconcile().results == {}
    assert mine.reconcile().results == {"applied": 1}
    assert mine.results() == [(ours, 1, "applied")]
    theirs.n_forecasts = mine.n_forecasts
    theirs.decide("llama", 3, current_replicas=5)
    assert mine.reconcile().results == {}
    theirs.fresh_operator()
    assert theirs.reconcile().results == {"applied": 1}
    scales = [each.lab.object("apps/v1/deployments/llama")["spec"]["replicas"] for each in benches]
    assert scales == [4, 3]


def test_each_operator_keeps_the_budgets_of_its_own(
    benches: tuple[Bench, Bench], database: Engine
) -> None:
    mine, theirs = benches
    rows = "SELECT cluster_id, gpu_type, gpus FROM gpu_budgets ORDER BY cluster_id"
    write_budget(mine.lab, 8)
    write_budget(theirs.lab, 3)
    for each in benches:
        each.reconcile()
    assert every(database, rows) == [(1, "H100", 8), (2, "H100", 3)]
    mine.lab.http.delete(f"{GROUP_PATH}/gpubudgets")
    for each in benches:  # one that is gone holds for as long as one that cannot be listed
        each.clock.advance(each.step_s * (each.deps.settings.stale_after_steps + 1))
        each.reconcile()
    assert every(database, rows) == [(2, "H100", 3)]


def test_an_open_intent_is_left_to_the_operator_of_its_cluster(
    benches: tuple[Bench, Bench], database: Engine
) -> None:
    for each in benches:
        each.reconcile()
    mine, theirs = benches
    decision_id = mine.decide("llama", 4)
    (origin_at,) = every(database, "SELECT origin_at FROM decisions")[0]
    target = {"kind": "Deployment", "api_version": "apps/v1", "target": "llama"}
    targets = [target | {"name": "", "from": 2, "to": 4, "ratio": 1.0}]
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO intents VALUES (:id, 1, :origin_at, 1, 2, 4, "
                "CAST(:targets AS jsonb), :origin_at)"
            ),
            {"id": decision_id, "origin_at": origin_at, "targets": json.dumps(targets)},
        )
    theirs.reconcile()
    assert every(database, "SELECT workload_id FROM intents") == [(1,)]
    mine.reconcile()
    assert every(database, "SELECT workload_id FROM intents") == []


def test_who_operates_a_cluster_is_seen(benches: tuple[Bench, Bench], database: Engine) -> None:
    benches[1].reconcile()
    with database.connect() as connection:
        seen = [each.operator_seen_at for each in load_clusters(connection)]
    assert seen == [None, benches[1].clock.now()]


def test_an_operator_of_a_cluster_that_is_not_there_says_how_to_add_it(bench: Bench) -> None:
    deps = operator(bench, bench.lab, "nowhere", bench.deps.settings.database_url)
    lost = replace(bench, deps=deps)
    with pytest.raises(Exception, match=r"no cluster 'nowhere'.*harmony cells add nowhere"):
        lost.reconcile()
