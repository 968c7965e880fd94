"""Faults of objects at the API server: a Lease, a definition or a namespace is deleted."""

from __future__ import annotations

import time
from typing import Any

from services.lab.bench.faults.acts.plain_act import PlainAct
from services.lab.bench.faults.fleet import (
    GROUP_PATH,
    FleetMember,
    autoscaler,
    deployment,
    manifests,
)
from services.lab.bench.faults.kinds import SETTLED_S
from services.lab.bench.faults.rig import LEASE_PATH, FaultRig

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_GROUP = "scaling.harmony.dev"
_GUEST = FleetMember("guest", "llm-guest", "bronze", "L4", None, 0)
_GONE = (200, 202, 404)
_MADE = (200, 201, 409)


class DeleteLease(PlainAct):
    """Somebody deletes the Lease of the operators."""

    def __init__(self) -> None:
        self._n_deleted = 0

    def begin(self, rig: FaultRig) -> bool:
        """Delete it."""
        answer = rig.cluster.delete(LEASE_PATH)
        self._n_deleted += answer.status_code == 200
        return answer.status_code in _GONE

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was there, and somebody leads again."""
        return self._n_deleted > 0 and bool(rig.lease_holder())


class DeleteDefinition(PlainAct):
    """A definition is deleted, all objects with it, and both are made again."""

    def __init__(self, plural: str) -> None:
        """Delete the definition of the resource `plural`."""
        self._plural = plural
        self._path = f"{_DEFINITIONS}/{plural}.{_GROUP}"
        self._kept: dict[str, Any] | None = None
        self._was_away = False

    def begin(self, rig: FaultRig) -> bool:
        """Delete it."""
        if self._kept is None:
            found = rig.cluster.get(self._path).raise_for_status().json()
            self._kept = {key: found[key] for key in ("apiVersion", "kind", "spec")}
            self._kept["metadata"] = {"name": found["metadata"]["name"]}
        self._excuse(rig)
        return rig.cluster.delete(self._path).status_code in _GONE

    def go_on(self, rig: FaultRig) -> bool:
        """See that nothing can be listed."""
        self._excuse(rig)
        answer = rig.cluster.get(f"{GROUP_PATH}/{self._plural}")
        self._was_away |= answer.status_code == 404
        return True

    def end(self, rig: FaultRig) -> bool:
        """Make it again, then what was in it."""
        self._excuse(rig)
        answer = rig.cluster.post(_DEFINITIONS, json=self._kept)
        if answer.status_code not in _MADE:
            return False
        return all(
            rig.cluster.post(path, json=body).status_code in _MADE
            for path, body in manifests(rig.fleet)
            if path.endswith(f"/{self._plural}")
        )

    def _excuse(self, rig: FaultRig) -> None:
        """Without their objects workloads are unknown to who takes samples."""
        if self._plural == "gpuautoscalers":
            rig.sender.unknown_until_s = time.monotonic() + SETTLED_S

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was away."""
        return self._was_away


class VanishingNamespace(PlainAct):
    """A namespace with a workload comes, and goes again with all that is in it."""

    def __init__(self) -> None:
        self._was_there = False

    def begin(self, rig: FaultRig) -> bool:
        """Make it."""
        place = f"namespaces/{_GUEST.namespace}"
        made = (
            ("/api/v1/namespaces", {"metadata": {"name": _GUEST.namespace}}),
            (f"/apis/apps/v1/{place}/deployments", deployment(_GUEST)),
            (f"{GROUP_PATH}/{place}/gpuautoscalers", autoscaler(_GUEST)),
        )
        codes = [rig.cluster.post(path, json=body).status_code for path, body in made]
        self._was_there |= all(code in _MADE for code in codes)
        return self._was_there

    def end(self, rig: FaultRig) -> bool:
        """Delete it."""
        answer = rig.cluster.delete(f"/api/v1/namespaces/{_GUEST.namespace}")
        return answer.status_code in _GONE

    def has_bitten(self, rig: FaultRig) -> bool:
        """It was there and is gone."""
        answer = rig.cluster.get(f"/api/v1/namespaces/{_GUEST.namespace}")
        return self._was_there and answer.status_code == 404
