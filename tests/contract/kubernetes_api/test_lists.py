"""Lists: label selectors, field selectors, pages."""

from __future__ import annotations

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest


def test_17_label_selectors(cluster: ClusterUnderTest) -> None:
    group = cluster.name("sel")
    for name, labels in (("a", {"tier": "x"}), ("b", {"tier": "y", "old": "1"}), ("c", {})):
        labels = {"group": group, **labels}
        body = cluster.config_map(f"{group}-{name}", labels=labels)
        cluster.do("POST", cluster.core("configmaps"), body)

    def found(selector: str) -> list[str]:
        text = f"group={group},{selector}" if selector else f"group={group}"
        items = cluster.do("GET", cluster.core("configmaps"), labelSelector=text)["items"]
        return [item["metadata"]["name"].removeprefix(f"{group}-") for item in items]

    assert found("") == ["a", "b", "c"]
    assert found("tier=x") == ["a"]
    assert found("tier!=x") == ["b", "c"]
    assert found("tier in (x,y)") == ["a", "b"]
    assert found("tier notin (x)") == ["b", "c"]
    assert found("tier") == ["a", "b"]
    assert found("!tier") == ["c"]
    assert found("tier,!old") == ["a"]
    cluster.refuse(400, "GET", cluster.core("configmaps"), labelSelector="tier in x")


def test_17_field_selectors(cluster: ClusterUnderTest) -> None:
    name = cluster.name("f")
    cluster.do("POST", cluster.core("configmaps"), cluster.config_map(name))
    path = cluster.core("configmaps")
    items = cluster.do("GET", path, fieldSelector=f"metadata.name={name}")["items"]
    assert [item["metadata"]["name"] for item in items] == [name]
    others = cluster.do("GET", path, fieldSelector=f"metadata.name!={name}")["items"]
    assert name not in [item["metadata"]["name"] for item in others]
    assert (
        cluster.do("GET", cluster.core("pods"), fieldSelector="spec.nodeName=nowhere")["items"]
        == []
    )
    cluster.refuse(400, "GET", path, fieldSelector="data.a=1")


def test_17_lists_come_in_pages(cluster: ClusterUnderTest) -> None:
    group = cluster.name("page")
    for i in range(5):
        body = cluster.config_map(f"{group}-{i}", labels={"group": group})
        cluster.do("POST", cluster.core("configmaps"), body)
    seen, token, n_pages = [], "", 0
    while True:
        page = cluster.do(
            "GET",
            cluster.core("configmaps"),
            labelSelector=f"group={group}",
            limit=2,
            **{"continue": token},
        )
        seen += [item["metadata"]["name"] for item in page["items"]]
        n_pages += 1
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [f"{group}-{i}" for i in range(5)]
    assert n_pages == 3
