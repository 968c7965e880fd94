"""Custom resource definitions: endpoints, schemas and rules that they bring."""

from __future__ import annotations

import re
from typing import Any

from services.lab.cluster.admission.rules import RuleError, Rules
from services.lab.cluster.admission.schemas import SchemaValidator, prune, with_defaults
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import Cause
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.ownership import ListKeys, Path
from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    Obj,
    Registry,
    ResourceType,
    ScalePaths,
)

_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class DefinitionAdmission:
    """Checks a CustomResourceDefinition itself."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The definition with its names and scope checked and defaulted."""
        spec = new.get("spec") or {}
        names = spec.get("names") or {}
        name = new["metadata"]["name"]
        causes = [
            Cause(f"spec.{path}", "Required value", "FieldValueRequired")
            for path, value in (
                ("group", spec.get("group")),
                ("scope", spec.get("scope")),
                ("names.plural", names.get("plural")),
                ("names.kind", names.get("kind")),
                ("versions", spec.get("versions")),
            )
            if not value
        ]
        wanted = f"{names.get('plural')}.{spec.get('group')}"
        if not causes and name != wanted:
            why = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
            causes.append(Cause("metadata.name", why))
        if not causes and sum(bool(v.get("storage")) for v in spec["versions"]) != 1:
            why = "Invalid value: must have exactly one version marked as storage version"
            causes.append(Cause("spec.versions", why))
        causes += [c for i, v in enumerate(spec.get("versions") or ()) for c in _flaws(i, v)]
        if causes:
            raise failures.invalid(rtype, name, causes)
        kind = names["kind"]
        defaults = {"singular": kind.lower(), "listKind": f"{kind}List"}
        spec = {
            **spec,
            "names": defaults | names,
            "conversion": spec.get("conversion") or {"strategy": "None"},
        }
        return {**new, "spec": spec}

    def list_keys(self) -> ListKeys:
        """Lists of a definition are replaced whole."""
        return lambda path: None


def _flaws(i: int, version: Obj) -> list[Cause]:
    path = f"spec.versions[{i}].schema.openAPIV3Schema"
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        why = 'Required value: schemas are required, with type "object" at the root'
        return [Cause(path, why, "FieldValueRequired")]
    try:
        Rules(schema)
    except RuleError as error:
        where = error.path.replace("openAPIV3Schema", path, 1)
        return [Cause(where, f"Invalid value: {error.why}")]
    return []


class CustomAdmission:
    """Pruning, defaults, schema and rules of custom objects, per version."""

    def __init__(self, schemas: dict[str, dict[str, Any]]) -> None:
        self._schemas = schemas
        self._validators = {name: SchemaValidator(schema) for name, schema in schemas.items()}
        self._rules = {name: Rules(schema) for name, schema in schemas.items()}
        self._keys: dict[Path, tuple[str, ...]] = {}
        for schema in schemas.values():
            _find_keyed_lists(schema, (), self._keys)

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The object as it will be stored."""
        schema = self._schemas[rtype.version]
        pruned, unknown = prune(new, schema)
        if unknown:
            texts = [f'unknown field "{path}"' for path in unknown]
            if write.is_strict:
                raise failures.bad_request(
                    f"{rtype.kind} in version {rtype.version!r} cannot be handled as a "
                    f"{rtype.kind}: strict decoding error: {', '.join(texts)}"
                )
            write.warnings.extend(texts)
        obj: Obj = with_defaults(pruned, schema)
        causes = self._validators[rtype.version].causes(obj)
        if not causes:
            causes = self._rules[rtype.version].check(obj, old)
        if causes:
            raise failures.invalid(rtype, obj["metadata"]["name"], causes)
        return obj

    def list_keys(self) -> ListKeys:
        """Keyed lists are those that the schema says are maps."""
        return lambda path: self._keys.get(tuple(p for p in path if p.startswith("f:")))


def _find_keyed_lists(
    schema: dict[str, Any], path: Path, found: dict[Path, tuple[str, ...]]
) -> None:
    if schema.get("x-kubernetes-list-type") == "map":
        found[path] = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    for name, each in (schema.get("properties") or {}).items():
        _find_keyed_lists(each, (*path, f"f:{name}"), found)
    if isinstance(schema.get("items"), dict):
        _find_keyed_lists(schema["items"], path, found)


class Definitions:
    """Serves what the stored definitions define."""

    def __init__(self, objects: Objects, registry: Registry) -> None:
        self._objects = objects
        self._registry = registry
        self._specs: dict[str, Obj] = {}
        objects.admissions[CUSTOM_RESOURCE_DEFINITIONS.storage_key] = DefinitionAdmission()
        objects.listeners.append(self.on_write)

    def on_write(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        """Follow the definitions."""
        if rtype is not CUSTOM_RESOURCE_DEFINITIONS:
            return
        if new is None:
            if old is not None:
                self._withdraw(old)
        elif new["metadata"].get("deletionTimestamp"):
            self._clean(new)
        elif self._specs.get(new["metadata"]["name"]) != new["spec"]:
            self._serve(new)

    def _serve(self, definition: Obj) -> None:
        spec = definition["spec"]
        names = spec["names"]
        self._registry.remove(spec["group"], names["plural"])
        served = [version for version in spec["versions"] if version.get("served")]
        for version in served:
            self._registry.add(_custom_type(spec, version))
        schemas = {v["name"]: v["schema"]["openAPIV3Schema"] for v in served}
        self._objects.admissions[spec["group"], names["plural"]] = CustomAdmission(schemas)
        self._specs[definition["metadata"]["name"]] = spec
        at = self._objects.now()
        conditions = [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", at),
            _condition("Established", "InitialNamesAccepted", "the names have been accepted", at),
        ]
        status = {
            "conditions": conditions,
            "acceptedNames": names,
            "storedVersions": [v["name"] for v in spec["versions"] if v.get("storage")],
        }
        # Deleting a definition waits until its objects are gone.
        meta = definition["metadata"]
        finalizers = [*(meta.get("finalizers") or ())]
        if _FINALIZER not in finalizers:
            finalizers.append(_FINALIZER)
        meta = {**meta, "finalizers": finalizers}
        self._objects.write(
            CUSTOM_RESOURCE_DEFINITIONS, {**definition, "metadata": meta, "status": status}
        )

    def _clean(self, definition: Obj) -> None:
        """Delete the objects of a definition that is going; then let it go."""
        spec = definition["spec"]
        rtype = next(
            (
                t
                for t in self._registry
                if t.storage_key == (spec["group"], spec["names"]["plural"])
            ),
            None,
        )
        if rtype is not None:
            write = Write("kube-apiserver", self._objects.now())
            for stored in list(self._objects.store.each(rtype)):
                meta = stored.obj["metadata"]
                # each one that goes calls this again, which deletes those that follow
                if self._objects.store.get(rtype, meta.get("namespace", ""), meta["name"]):
                    self._objects.delete(rtype, stored.obj, {}, write)
            if any(True for _ in self._objects.store.each(rtype)):
                return
        meta = definition["metadata"]
        left = [name for name in meta.get("finalizers") or () if name != _FINALIZER]
        if left != (meta.get("finalizers") or []):
            fresh = {**definition, "metadata": {**meta, "finalizers": left}}
            self._objects.write(CUSTOM_RESOURCE_DEFINITIONS, fresh)

    def on_custom_removed(self, rtype: ResourceType) -> None:
        """A custom object is gone: perhaps its definition waited for that."""
        name = f"{rtype.plural}.{rtype.group}"
        definition = self._objects.store.get(CUSTOM_RESOURCE_DEFINITIONS, "", name)
        if definition is not None and definition["metadata"].get("deletionTimestamp"):
            self._clean(definition)

    def _withdraw(self, definition: Obj) -> None:
        spec = definition["spec"]
        plural = spec["names"]["plural"]
        self._registry.remove(spec["group"], plural)
        self._objects.admissions.pop((spec["group"], plural), None)
        self._specs.pop(definition["metadata"]["name"], None)


def _condition(kind: str, reason: str, message: str, at: str) -> Obj:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


def _custom_type(spec: Obj, version: Obj) -> ResourceType:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    paths = None
    if scale is not None:
        paths = ScalePaths(
            _without_dot(scale["specReplicasPath"]),
            _without_dot(scale["statusReplicasPath"]),
            _without_dot(scale.get("labelSelectorPath") or ""),
        )
    return ResourceType(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        is_namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        singular=names["singular"],
        has_status="status" in subresources,
        scale=paths,
        has_generation=True,
        is_custom=True,
        field_labels=tuple(
            _without_dot(field["jsonPath"]) for field in version.get("selectableFields") or ()
        ),
    )


def _without_dot(path: str) -> str:
    return re.sub(r"^\.", "", path)
