"""Client of the simulated cluster: create objects, move its time, read what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from services.kernel.errors import Unavailable
from services.simulator.engine.specs import Interval

_PLURALS = {
    "Namespace": "namespaces",
    "Deployment": "deployments",
    "GPUAutoscaler": "gpuautoscalers",
    "SLAClass": "slaclasses",
    "CustomResourceDefinition": "customresourcedefinitions",
}


@dataclass(frozen=True, slots=True)
class Advance:
    """Result of an advance of the cluster's time.

    Attributes:
        intervals: Exact history of each workload since the advance before, by `namespace/name`.
        spec_replicas: Replicas in each Deployment's spec.
    """

    intervals: Mapping[str, tuple[Interval, ...]]
    spec_replicas: Mapping[str, int]


class ClusterClient:
    """Speaks HTTP to the simulated cluster."""

    def __init__(self, url: str) -> None:
        """Connect to the API server at `url`."""
        self._http = httpx.Client(base_url=url, timeout=30.0)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create one object.

        Raises:
            Unavailable: The API server refused it.
        """
        response = self._http.post(_collection(manifest), json=manifest)
        if response.status_code not in {201, 409}:
            name = manifest["metadata"]["name"]
            message = response.json().get("message", response.text)
            raise Unavailable(f"{manifest['kind']} {name} was refused: {message}")

    def advance(self, to: datetime) -> Advance:
        """Move the cluster's time to `to` and let everything until then happen."""
        body = {"to": to.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        response = self._http.post("/lab/advance", json=body)
        response.raise_for_status()
        workloads = response.json()["workloads"]
        return Advance(
            {key: _intervals(state["intervals"]) for key, state in workloads.items()},
            {key: int(state["spec"]) for key, state in workloads.items()},
        )


def _intervals(rows: Sequence[Sequence[float]]) -> tuple[Interval, ...]:
    return tuple(
        Interval(float(start), float(end), int(ready), int(bound))
        for start, end, ready, bound in rows
    )


def _collection(manifest: Mapping[str, Any]) -> str:
    api_version, plural = manifest["apiVersion"], _PLURALS[manifest["kind"]]
    root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
    namespace = manifest["metadata"].get("namespace")
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
