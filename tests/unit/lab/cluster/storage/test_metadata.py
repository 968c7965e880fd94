"""Rules about `metadata` that hold for every kind."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.metadata import (
    check_kind,
    check_metadata,
    check_versions,
    has_new_spec,
    is_held,
    is_same,
    with_new_spec,
)
from services.lab.cluster.storage.resources import CLUSTER_ROLES, DEPLOYMENTS, LEASES

OLD: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "x", "namespace": "team", "uid": "u", "resourceVersion": "7"},
    "spec": {"replicas": 1},
    "status": {"replicas": 1},
}


def test_a_body_has_to_be_of_the_kind_of_its_path() -> None:
    check_kind(DEPLOYMENTS, {})
    check_kind(DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment"})
    with pytest.raises(ApiFailure) as failure:
        check_kind(DEPLOYMENTS, {"apiVersion": "v1", "kind": "Pod"})
    assert failure.value.code == 400


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"name": "Upper"},
        {"name": "a" * 254},
        {"name": "x", "labels": {"k": "-"}},
        {"name": "x", "labels": {"k": "a" * 64}},
        {"name": "x", "labels": {"k": 1}},
    ],
)
def test_names_and_labels_that_are_not_well_formed(meta: dict[str, Any]) -> None:
    with pytest.raises(ApiFailure) as failure:
        check_metadata(DEPLOYMENTS, meta)
    assert failure.value.code == 422


def test_names_of_roles_may_have_more_characters() -> None:
    check_metadata(DEPLOYMENTS, {"name": "a.b-1", "labels": {"k": "", "l": "A.b_1"}})
    check_metadata(CLUSTER_ROLES, {"name": "system:Node"})


def test_a_write_may_name_the_version_it_is_based_on() -> None:
    check_versions(DEPLOYMENTS, OLD, {})
    check_versions(DEPLOYMENTS, OLD, {"uid": "u", "resourceVersion": "7"})
    for meta in ({"uid": "v"}, {"resourceVersion": "6"}):
        with pytest.raises(ApiFailure) as failure:
            check_versions(DEPLOYMENTS, OLD, meta)
        assert failure.value.code == 409
    assert LEASES.needs_version_to_replace
    with pytest.raises(ApiFailure) as failure:
        check_versions(LEASES, OLD, {})
    assert failure.value.code == 422


def test_the_server_keeps_what_it_owns() -> None:
    body = {"metadata": {"name": "y", "generation": 99, "labels": {"a": "b"}}, "status": {}}
    new = with_new_spec(DEPLOYMENTS, OLD, body | {"spec": {"replicas": 2}})
    assert new["metadata"] == {
        "name": "x",
        "namespace": "team",
        "uid": "u",
        "labels": {"a": "b"},
    }
    assert (new["spec"], new["status"]) == ({"replicas": 2}, {"replicas": 1})


def test_an_object_that_goes_takes_no_new_finalizer() -> None:
    meta = OLD["metadata"] | {"deletionTimestamp": "now", "finalizers": ["a"]}
    going = OLD | {"metadata": meta}
    kept = with_new_spec(DEPLOYMENTS, going, {"metadata": {"finalizers": ["a"]}})
    assert is_held(kept)
    with pytest.raises(ApiFailure) as failure:
        with_new_spec(DEPLOYMENTS, going, {"metadata": {"finalizers": ["a", "b"]}})
    assert failure.value.code == 422


def test_a_namespace_is_held_by_finalizers_of_its_specification() -> None:
    namespace = {"kind": "Namespace", "metadata": {}, "spec": {"finalizers": ["kubernetes"]}}
    assert is_held(namespace)
    assert not is_held(namespace | {"spec": {}})
    assert not is_held(OLD)


def test_bookkeeping_is_no_change() -> None:
    newer = OLD | {"metadata": OLD["metadata"] | {"resourceVersion": "8", "managedFields": []}}
    assert is_same(OLD, newer)
    assert not is_same(OLD, OLD | {"spec": {"replicas": 2}})
    assert not is_same(OLD, OLD | {"metadata": OLD["metadata"] | {"labels": {"a": "b"}}})


def test_the_generation_counts_what_is_asked_for() -> None:
    annotated = OLD | {"metadata": OLD["metadata"] | {"annotations": {"a": "b"}}}
    assert has_new_spec(DEPLOYMENTS, OLD, annotated)
    assert has_new_spec(DEPLOYMENTS, OLD, OLD | {"spec": {"replicas": 2}})
    assert not has_new_spec(DEPLOYMENTS, OLD, OLD | {"status": {"replicas": 2}})
