"""The scale subresource: an `autoscaling/v1 Scale` seen through paths of the object."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.storage.failures import Cause, bad_request, internal_error, invalid
from services.lab.cluster.storage.resources import Obj, ResourceType, dig, with_value
from services.lab.cluster.storage.selection import selector_text

SCALE = ResourceType("autoscaling", "v1", "scales", "Scale")


def scale_of(rtype: ResourceType, obj: Obj) -> Obj:
    """The Scale of an object.

    Raises:
        ApiFailure: 500 when a custom object has no replicas at the path of its definition.
    """
    assert rtype.scale is not None, "the router only comes here for scalable resources"
    meta = obj["metadata"]
    replicas = dig(obj, rtype.scale.spec_replicas)
    if replicas is None and rtype.is_custom:
        path = f".{rtype.scale.spec_replicas}"
        raise internal_error(f'the spec replicas field "{path}" does not exist')
    status: dict[str, Any] = {"replicas": dig(obj, rtype.scale.status_replicas) or 0}
    if rtype.scale.selector == "*":
        status["selector"] = selector_text(obj["spec"].get("selector") or {})
    elif rtype.scale.selector and (selector := dig(obj, rtype.scale.selector)):
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def with_scale(rtype: ResourceType, obj: Obj, scale: Obj) -> Obj:
    """The object with the replicas of a Scale.

    Raises:
        ApiFailure: 400 for something that is no Scale, 422 for replicas that are no count.
    """
    assert rtype.scale is not None, "the router only comes here for scalable resources"
    if scale.get("kind") != "Scale":
        raise bad_request(f"the object provided is a {scale.get('kind')!r}, not a Scale")
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(f"Scale: spec.replicas must be an integer, got {replicas!r}")
    if replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(SCALE, obj["metadata"]["name"], [Cause("spec.replicas", why)])
    return with_value(obj, rtype.scale.spec_replicas, replicas)
