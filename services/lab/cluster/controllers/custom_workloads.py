"""Custom kinds that run pods: a Deployment behind each object, as many an operator makes.

A CustomResourceDefinition that has a scale subresource and the annotation
`lab.harmony.dev/controller: deployment` gets it: the object's `spec.template` is the pod template,
and the paths of the scale subresource say where its replicas, their count and their selector are.
"""

from __future__ import annotations

from services.lab.cluster.controllers.publishing import owner_reference
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    Obj,
    Registry,
    ResourceType,
    dig,
    with_value,
)
from services.lab.cluster.storage.selection import selector_text

CONTROLLER_ANNOTATION = "lab.harmony.dev/controller"


class CustomWorkloads:
    """Keeps the Deployments of custom objects, and their statuses."""

    def __init__(self, objects: Objects, registry: Registry) -> None:
        self._objects = objects
        self._store = objects.store
        self._registry = registry
        objects.listeners.append(self.on_write)

    def on_write(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        """Follow custom objects and the Deployments behind them."""
        if new is None:
            return
        if rtype.is_custom and rtype.scale is not None and self._is_run(rtype):
            if old is None or old["spec"] != new["spec"]:
                self._reconcile(rtype, new)
        elif rtype is DEPLOYMENTS:
            self._publish(new)

    def _is_run(self, rtype: ResourceType) -> bool:
        name = f"{rtype.plural}.{rtype.group}"
        found = self._store.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)
        annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
        return bool(annotations.get(CONTROLLER_ANNOTATION) == "deployment")

    def _reconcile(self, rtype: ResourceType, owner: Obj) -> None:
        assert rtype.scale is not None, "only scalable kinds come here"
        meta, template = owner["metadata"], owner["spec"]["template"]
        spec = {
            "replicas": dig(owner, rtype.scale.spec_replicas) or 0,
            "selector": {"matchLabels": template["metadata"]["labels"]},
            "template": template,
        }
        old = self._store.get(DEPLOYMENTS, meta["namespace"], meta["name"])
        if old is not None:
            fresh = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
            changed = {**old, "metadata": fresh, "spec": {**old["spec"], **spec}}
            self._objects.write(DEPLOYMENTS, changed)
            return
        reference = {"ownerReferences": [owner_reference(owner)]}
        namespace, name = meta["namespace"], meta["name"]
        body = self._objects.born(DEPLOYMENTS, namespace, name, metadata=reference, spec=spec)
        self._objects.write(DEPLOYMENTS, body)

    def _publish(self, deployment: Obj) -> None:
        """Tell the owner how many pods there are, and which."""
        meta = deployment["metadata"]
        for reference in meta.get("ownerReferences") or ():
            rtype = self._registry.of_kind(reference["apiVersion"], reference["kind"])
            if rtype is None or not rtype.is_custom or rtype.scale is None:
                continue
            owner = self._store.get(rtype, meta["namespace"], reference["name"])
            if owner is None:
                continue
            count = (deployment.get("status") or {}).get("replicas", 0)
            reported = with_value(owner, rtype.scale.status_replicas, count)
            if rtype.scale.selector:
                text = selector_text(deployment["spec"]["selector"])
                reported = with_value(reported, rtype.scale.selector, text)
            self._objects.write_status(rtype, owner, reported["status"])
