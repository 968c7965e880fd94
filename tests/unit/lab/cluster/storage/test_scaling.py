"""The scale subresource of built-in and custom kinds."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import DEPLOYMENTS, ResourceType, ScalePaths
from services.lab.cluster.storage.scaling import scale_of, with_scale

POOLS = ResourceType(
    "example.dev",
    "v1",
    "pools",
    "Pool",
    is_custom=True,
    scale=ScalePaths("spec.servers", "status.servers", "status.selector"),
)
META = {"name": "x", "namespace": "team", "uid": "u", "labels": {"a": "b"}}


def test_a_deployment_as_a_scale() -> None:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}}
    scale = scale_of(DEPLOYMENTS, {"metadata": META, "spec": spec, "status": {"replicas": 2}})
    assert scale["metadata"] == {"name": "x", "namespace": "team", "uid": "u"}
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "app=x"}


def test_a_custom_object_is_read_at_the_paths_of_its_definition() -> None:
    found = {"metadata": META, "spec": {"servers": 4}, "status": {"selector": "app=x"}}
    scale = scale_of(POOLS, found)
    assert (scale["spec"], scale["status"]) == (
        {"replicas": 4},
        {"replicas": 0, "selector": "app=x"},
    )
    with pytest.raises(ApiFailure) as failure:
        scale_of(POOLS, {"metadata": META, "spec": {}})
    assert failure.value.code == 500


def test_a_scale_is_written_at_the_path() -> None:
    old = {"metadata": META, "spec": {"servers": 4, "other": 1}}
    new = with_scale(POOLS, old, {"kind": "Scale", "spec": {"replicas": 9}})
    assert new["spec"] == {"servers": 9, "other": 1}
    assert old["spec"]["servers"] == 4


@pytest.mark.parametrize(
    ("scale", "code"),
    [
        ({"kind": "Pool"}, 400),
        ({"kind": "Scale", "spec": {"replicas": "3"}}, 400),
        ({"kind": "Scale", "spec": {"replicas": True}}, 400),
        ({"kind": "Scale", "spec": {"replicas": -1}}, 422),
    ],
)
def test_what_is_no_scale_is_refused(scale: dict[str, Any], code: int) -> None:
    with pytest.raises(ApiFailure) as failure:
        with_scale(POOLS, {"metadata": META, "spec": {}}, scale)
    assert failure.value.code == code
