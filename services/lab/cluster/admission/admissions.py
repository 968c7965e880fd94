"""Defaults and checks of the built-in kinds that the cluster acts on."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.devices import resource_of
from services.lab.cluster.controllers.manifests import deployment_spec
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import Cause
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.ownership import ListKeys
from services.lab.cluster.storage.patches import MERGE_KEYS
from services.lab.cluster.storage.resources import DEPLOYMENTS, REPLICA_SETS, Obj, ResourceType
from services.lab.cluster.storage.selection import matches_label_selector

_POD_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
}
_CONTAINER_DEFAULTS = {
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
_DEPLOYMENT_DEFAULTS = {
    "replicas": 1,
    "revisionHistoryLimit": 10,
    "progressDeadlineSeconds": 600,
    "strategy": {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    },
}
_STATEFUL_DEFAULTS = {
    "replicas": 1,
    "revisionHistoryLimit": 10,
    "podManagementPolicy": "OrderedReady",
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
}


def _keys(path: tuple[str, ...]) -> tuple[str, ...] | None:
    return MERGE_KEYS.get(path[-1][2:])


class BuiltInAdmission:
    """Lets everything pass."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The object as it is."""
        return new

    def list_keys(self) -> ListKeys:
        """Keyed lists of the built-in kinds."""
        return _keys


class NodeAdmission(BuiltInAdmission):
    """Nodes need a whole number of GPUs."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The node, with a specification even when it is empty."""
        allocatable = (new.get("status") or {}).get("allocatable") or {}
        name = new["metadata"]["name"]
        try:
            resource = resource_of(allocatable)
        except ValueError as error:
            cause = Cause("status.allocatable", f"Invalid value: {error}")
            raise failures.invalid(rtype, name, [cause]) from error
        quantity = str(allocatable.get(resource, "0"))
        if not quantity.isdigit():
            why = f'Invalid value: "{quantity}": must be a whole number'
            path = f"status.allocatable[{resource}]"
            raise failures.invalid(rtype, name, [Cause(path, why)])
        return {**new, "spec": new.get("spec") or {}}


class WorkloadAdmission(BuiltInAdmission):
    """Deployments and StatefulSets."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The workload with its defaults."""
        spec = new.get("spec") or {}
        template = spec.get("template") or {}
        causes = list(_workload_flaws(spec, template))
        if old is not None and old["spec"].get("selector") != spec.get("selector"):
            causes.append(Cause("spec.selector", "Invalid value: field is immutable"))
        if causes:
            raise failures.invalid(rtype, new["metadata"]["name"], causes)
        defaults: dict[str, Any] = (
            _DEPLOYMENT_DEFAULTS if rtype is DEPLOYMENTS else _STATEFUL_DEFAULTS
        )
        if rtype is REPLICA_SETS:
            defaults = {"replicas": 1}
        pod = {**_POD_DEFAULTS, **template["spec"]}
        pod["containers"] = [{**_CONTAINER_DEFAULTS, **each} for each in pod["containers"]]
        filled = {**defaults, **{k: v for k, v in spec.items() if v is not None}}
        return {**new, "spec": {**filled, "template": {**template, "spec": pod}}}


def _workload_flaws(spec: Obj, template: Obj) -> list[Cause]:
    selector = spec.get("selector")
    labels = (template.get("metadata") or {}).get("labels") or {}
    containers = (template.get("spec") or {}).get("containers")
    causes = []
    if not selector:
        causes.append(Cause("spec.selector", "Required value", "FieldValueRequired"))
    elif not matches_label_selector(selector, labels):
        why = f"Invalid value: {labels}: `selector` does not match template `labels`"
        causes.append(Cause("spec.template.metadata.labels", why))
    if not containers:
        path = "spec.template.spec.containers"
        causes.append(Cause(path, "Required value", "FieldValueRequired"))
    replicas = spec.get("replicas", 1)
    if replicas is not None and (not isinstance(replicas, int) or replicas < 0):
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        causes.append(Cause("spec.replicas", why))
    try:
        deployment_spec("namespace/name", template, is_warm=False)
    except ValueError as error:
        causes.append(Cause("spec.template", f"Invalid value: {error}"))
    return causes


class PodAdmission(BuiltInAdmission):
    """A pod that nothing schedules waits."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The pod, Pending when it is new."""
        if old is None:
            return {**new, "status": {"phase": "Pending", "qosClass": "BestEffort"}}
        return new
