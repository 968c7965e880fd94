"""What `kubectl get` shows: the server's tables."""

from __future__ import annotations

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest, Obj

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
