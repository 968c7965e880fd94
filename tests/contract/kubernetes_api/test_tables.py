"""What `kubectl get` shows: the server's tables."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import POD_IMAGE, ClusterUnderTest, Obj

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def table(cluster: ClusterUnderTest, path: str, **options: str) -> Obj:
    return cluster.do("GET", path, headers={"Accept": TABLE}, **options)


def test_the_columns_of_a_definition_are_shown(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("t")
    body = gadgets.gadget(name, size=7, parts=[{"name": "b"}, {"name": "a", "weight": 5}])
    gadgets.do("POST", gadgets.gadgets(), body)
    found = table(gadgets, gadgets.gadgets(), fieldSelector=f"metadata.name={name}")
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = [(c["name"], c["priority"]) for c in found["columnDefinitions"]]
    assert columns == [("Name", 0), ("Size", 0), ("Note", 1), ("Heavy", 0), ("Age", 0)]
    (row,) = found["rows"]
    *cells, age = row["cells"]
    assert cells == [name, 7, None, 5]
    assert age[-1] in "smhd"
    assert row["object"]["metadata"]["name"] == name
    one = table(gadgets, gadgets.gadgets(name))
    assert [r["cells"][0] for r in one["rows"]] == [name]


def test_plain_json_comes_to_who_asks_for_nothing_else(gadgets: ClusterUnderTest) -> None:
    assert gadgets.do("GET", gadgets.gadgets())["kind"] == "GadgetList"


def columns(found: Obj, priority: int) -> list[str]:
    return [c["name"] for c in found["columnDefinitions"] if c["priority"] == priority]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("pods", ["Name", "Ready", "Status", "Restarts", "Age"]),
        ("events", ["Last Seen", "Type", "Reason", "Object", "Message"]),
        ("configmaps", ["Name", "Data", "Age"]),
    ],
)
def test_built_in_kinds_have_columns_of_their_own(
    cluster: ClusterUnderTest, kind: str, shown: list[str]
) -> None:
    assert columns(table(cluster, cluster.core(kind)), 0) == shown


@pytest.mark.parametrize(
    ("kind", "shown", "wide"),
    [
        (
            "deployments",
            ["Name", "Ready", "Up-to-date", "Available", "Age"],
            ["Containers", "Images", "Selector"],
        ),
        (
            "replicasets",
            ["Name", "Desired", "Current", "Ready", "Age"],
            ["Containers", "Images", "Selector"],
        ),
        ("statefulsets", ["Name", "Ready", "Age"], ["Containers", "Images"]),
    ],
)
def test_workloads_show_their_replicas(
    cluster: ClusterUnderTest, kind: str, shown: list[str], wide: list[str]
) -> None:
    found = table(cluster, cluster.apps(kind))
    assert (columns(found, 0), columns(found, 1)) == (shown, wide)


def test_a_deployment_shows_how_many_are_ready(cluster: ClusterUnderTest) -> None:
    name = cluster.name("d")
    cluster.do("POST", cluster.apps("deployments"), cluster.deployment(name, 2))
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)

    def cells() -> list[object]:
        row = table(cluster, cluster.apps("deployments", name))["rows"][0]
        return list(row["cells"])

    cluster.eventually(lambda: cells()[1] == "2/2")
    assert cells()[:4] == [name, "2/2", 2, 2]
    assert cells()[5:] == ["main", POD_IMAGE, f"app={name}"]
    pods = table(cluster, cluster.core("pods"), labelSelector=f"app={name}")["rows"]
    assert [row["cells"][1:4] for row in pods] == [["1/1", "Running", restarts(pods)]] * 2
    cluster.do("DELETE", cluster.apps("deployments", name))


def restarts(rows: list[Obj]) -> object:
    """None yet: a text on newer servers, a number on older ones."""
    assert str(rows[0]["cells"][3]) == "0"
    return rows[0]["cells"][3]


def test_a_watch_gives_tables_to_who_asks_for_them(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("t")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name, size=4))
    events = gadgets.watch(
        gadgets.gadgets(),
        headers={"Accept": TABLE},
        resourceVersion=version,
        fieldSelector=f"metadata.name={name}",
    )
    (event,) = events
    assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
    assert event["object"]["rows"][0]["cells"][:2] == [name, 4]
