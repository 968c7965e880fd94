"""Watches: order, selectors, bookmarks, expiry and their end."""

from __future__ import annotations

import threading

import pytest
from kubernetes import client, watch

from tests.contract.kubernetes_api.cluster_under_test import GROUP, MERGE, ClusterUnderTest


def test_19_list_then_watch_gives_each_change_once(gadgets: ClusterUnderTest) -> None:
    group = gadgets.name("w")
    labels = {"labels": {"group": group}}

    def make(name: str) -> None:
        body = gadgets.gadget(f"{group}-{name}")
        body["metadata"] |= labels
        gadgets.do("POST", gadgets.gadgets(), body)

    make("before")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    make("a")
    path = gadgets.gadgets(f"{group}-a")
    gadgets.do("PATCH", path, {"spec": {"size": 4}}, media_type=MERGE)
    gadgets.do("DELETE", path)
    make("b")
    events = gadgets.watch(
        gadgets.gadgets(), resourceVersion=version, labelSelector=f"group={group}"
    )
    seen = [(e["type"], e["object"]["metadata"]["name"].removeprefix(f"{group}-")) for e in events]
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


def test_19_a_watch_sees_objects_enter_and_leave_its_selector(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("w")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    for value in ("on", "off"):
        patch = {"metadata": {"labels": {name: value}}}
        gadgets.do("PATCH", gadgets.gadgets(name), patch, media_type=MERGE)
    events = gadgets.watch(gadgets.gadgets(), resourceVersion=version, labelSelector=f"{name}=on")
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]


def test_19_a_watch_without_a_version_begins_with_what_is_there(
    gadgets: ClusterUnderTest,
) -> None:
    name = gadgets.name("w")
    gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    selector = f"metadata.name={name}"
    for version in ({}, {"resourceVersion": "0"}):
        events = gadgets.watch(gadgets.gadgets(), fieldSelector=selector, **version)
        assert [event["type"] for event in events] == ["ADDED"]


def test_19_changes_arrive_while_the_watch_is_open(gadgets: ClusterUnderTest) -> None:
    name = gadgets.name("w")
    version = gadgets.do("GET", gadgets.gadgets())["metadata"]["resourceVersion"]
    api = client.CustomObjectsApi(gadgets.client)
    writer = threading.Timer(
        0.2, lambda: gadgets.do("POST", gadgets.gadgets(), gadgets.gadget(name))
    )
    writer.start()
    watcher = watch.Watch()
    for event in watcher.stream(
        api.list_namespaced_custom_object,
        GROUP,
        "v1",
        gadgets.namespace,
        "gadgets",
        resource_version=version,
        timeout_seconds=20,
    ):
        assert event["type"] == "ADDED"
        assert event["object"]["metadata"]["name"] == name
        watcher.stop()
    writer.join()


def test_19_bookmarks_tell_the_version_reached(cluster: ClusterUnderTest) -> None:
    name = cluster.name("c")
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    made = cluster.do("POST", path, cluster.config_map(name))
    # A real server sends its bookmark shortly before the end of a watch of some seconds.
    events = cluster.watch(
        path,
        resourceVersion=version,
        allowWatchBookmarks="true",
        timeoutSeconds=1 if cluster.is_lab else 65,
    )
    marks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    assert marks
    assert marks[-1]["kind"] == "ConfigMap"
    reached = int(marks[-1]["metadata"]["resourceVersion"])
    assert reached >= int(made["metadata"]["resourceVersion"])
    assert cluster.watch(path, resourceVersion=str(reached)) == []


def test_19_an_expired_version_is_told_410(cluster: ClusterUnderTest) -> None:
    (event,) = cluster.watch(cluster.core("configmaps"), resourceVersion="1")
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410
    assert event["object"]["reason"] in ("Expired", "Gone")


def test_19_the_log_is_bounded(cluster: ClusterUnderTest) -> None:
    if not cluster.is_lab:
        pytest.skip("a real server keeps its log for minutes")
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    name = cluster.name("c")
    cluster.do("POST", path, cluster.config_map(name))
    for i in range(300):
        patch = {"data": {"a": str(i)}}
        cluster.do("PATCH", f"{path}/{name}", patch, media_type=MERGE)
    (event,) = cluster.watch(path, resourceVersion=version)
    assert event["object"]["code"] == 410


def test_20_a_watch_ends_by_itself(cluster: ClusterUnderTest) -> None:
    path = cluster.core("configmaps")
    version = cluster.do("GET", path)["metadata"]["resourceVersion"]
    selector = "metadata.name=never"
    assert cluster.watch(path, resourceVersion=version, fieldSelector=selector) == []


def test_20_the_time_of_a_watch_is_a_whole_number(cluster: ClusterUnderTest) -> None:
    options = {"watch": "true", "timeoutSeconds": "300.0"}
    status = cluster.refuse(400, "GET", cluster.core("configmaps"), **options)
    assert "300.0" in status["message"]
