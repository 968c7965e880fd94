"""Read dynamic resource allocation: classes, slices, claims and templates, as they are served."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from services.kernel import telemetry
from services.operator.cluster.targets import TargetState
from services.operator.devices.claims import to_claim, to_class, to_template
from services.operator.devices.seen_devices import GROUP, VERSIONS, SeenDevices
from services.operator.devices.slices import devices_of, to_slice
from services.operator.kube.client import KubeClient, Object
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_FORBIDDEN = 403
_ODD = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an object may end in whose fields are of other types."""
_CLASS, _SLICE = "DeviceClass", "ResourceSlice"
_CLAIM, _TEMPLATE = "ResourceClaim", "ResourceClaimTemplate"


def devices_of_targets(
    kube: KubeClient, targets: Iterable[TargetState], *, is_on: bool
) -> SeenDevices:
    """Devices and claims, where they are to be read and the pods of a target claim some."""
    is_claimed = any(state.claims for state in targets)
    return read_devices(kube) if is_on and is_claimed else SeenDevices(is_on)


def read_devices(kube: KubeClient) -> SeenDevices:
    """Devices and claims; what cannot be read is named with what to do, and the rest goes on."""
    try:
        version = _served(kube)
        if version is None:
            return SeenDevices(True)
        classes = [to_class(each) for each in _listed(kube, version, _CLASS)]
        slices = [to_slice(each) for each in _listed(kube, version, _SLICE)]
        claims = [to_claim(each) for each in _listed(kube, version, _CLAIM)]
        templates = [to_template(each) for each in _listed(kube, version, _TEMPLATE)]
    except KubeError as error:
        telemetry.reconcile_errors_total.labels("devices_unreadable").inc()
        log.warning("devices_unreadable", error=error.message)
        right = (
            "; grant the operator list and watch on deviceclasses, resourceslices, resourceclaims "
            "and resourceclaimtemplates of resource.k8s.io (docs/supply.md)"
        )
        remedy = right if error.status == _FORBIDDEN else ""
        return SeenDevices(True, True, problem=f"{error.message}{remedy}")
    except _ODD as error:
        telemetry.reconcile_errors_total.labels("devices_unreadable").inc()
        log.warning("devices_unreadable", error=repr(error))
        message = f"an object of {GROUP} has fields of other types ({error!r:.200})"
        return SeenDevices(True, True, problem=message)
    return SeenDevices(
        True,
        True,
        {each.name: each for each in classes},
        {each.key: each for each in templates},
        {each.key: each for each in claims},
        tuple(devices_of(slices)),
    )


def _served(kube: KubeClient) -> str | None:
    """The newest version that the cluster serves; None: it serves none of them."""
    versions = (f"{GROUP}/{version}" for version in VERSIONS)
    return next((v for v in versions if kube.find_kind(v, _SLICE) is not None), None)


def _listed(kube: KubeClient, version: str, kind: str) -> list[Object]:
    served = kube.find_kind(version, kind)
    return [] if served is None else kube.list_kind(served)
