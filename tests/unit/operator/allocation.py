"""Objects of dynamic resource allocation as an API server gives them, in each version."""

from __future__ import annotations

from typing import Any

NVIDIA_CLASS = (
    "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"
)
"""Selector of the class of NVIDIA's driver."""


def device_class(
    name: str = "gpu.nvidia.com", *expressions: str, version: str = "v1"
) -> dict[str, Any]:
    selectors = [{"cel": {"expression": each}} for each in expressions or (NVIDIA_CLASS,)]
    return _object("DeviceClass", version, {"name": name}, spec={"selectors": selectors})


def device(name: str, version: str = "v1", **attributes: Any) -> dict[str, Any]:
    """An H100 of NVIDIA's driver, unless told otherwise."""
    known = {"type": "gpu", "productName": "NVIDIA H100 80GB HBM3", "uuid": f"GPU-{name}"}
    values = {key: _value(each) for key, each in (known | attributes).items() if each is not None}
    body = {"attributes": values}
    return {"name": name, "basic": body} if version == "v1beta1" else {"name": name, **body}


def resource_slice(
    node: str,
    devices: list[dict[str, Any]],
    version: str = "v1",
    driver: str = "gpu.nvidia.com",
    generation: int = 1,
    n_slices: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    pool = {"name": node or "fabric", "generation": generation, "resourceSliceCount": n_slices}
    found = {"driver": driver, "pool": pool, "devices": devices} | spec
    if node and not spec:
        found["nodeName"] = node
    name = f"{node or 'fabric'}-{driver}-{generation}"
    return _object("ResourceSlice", version, {"name": name}, spec=found)


def request(version: str = "v1", name: str = "gpu", **exact: Any) -> dict[str, Any]:
    """A request for one device of the class of NVIDIA's driver, unless told otherwise."""
    body = {"deviceClassName": "gpu.nvidia.com"} | exact
    return {"name": name, **body} if version == "v1beta1" else {"name": name, "exactly": body}


def template(
    name: str, *requests: dict[str, Any], version: str = "v1", **devices: Any
) -> dict[str, Any]:
    spec = {"devices": {"requests": list(requests), **devices}}
    metadata = {"namespace": "serving", "name": name}
    return _object("ResourceClaimTemplate", version, metadata, spec={"spec": spec})


def claim(
    name: str, *allocated: tuple[str, str], version: str = "v1", **result: Any
) -> dict[str, Any]:
    """A claim that holds these devices, each by pool and name."""
    results = [
        {"request": "gpu", "driver": "gpu.nvidia.com", "pool": pool, "device": each} | result
        for pool, each in allocated
    ]
    metadata = {"namespace": "serving", "name": name}
    spec = {"devices": {"requests": [request(version)]}}
    status = {"allocation": {"devices": {"results": results}}} if allocated else {}
    return _object("ResourceClaim", version, metadata, spec=spec, status=status)


def _object(kind: str, version: str, metadata: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"apiVersion": f"resource.k8s.io/{version}", "kind": kind, "metadata": metadata, **parts}


def _value(value: Any) -> dict[str, Any]:
    kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"
    return {kind: value}
