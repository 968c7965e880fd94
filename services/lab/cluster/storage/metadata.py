"""Rules about `metadata` that hold for every kind."""

from __future__ import annotations

import re

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import Cause
from services.lab.cluster.storage.resources import Obj, ResourceType

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SERVER_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "namespace", "name")


def check_kind(rtype: ResourceType, body: Obj) -> None:
    """Raises 400 when a body is of another kind than its path."""
    got = (body.get("apiVersion", rtype.api_version), body.get("kind", rtype.kind))
    if got != (rtype.api_version, rtype.kind):
        raise failures.bad_request(
            f"the object provided is {got[0]} {got[1]}, this path takes "
            f"{rtype.api_version} {rtype.kind}"
        )


def check_metadata(rtype: ResourceType, meta: Obj) -> None:
    """Raises 422 for a name or a label that is not well formed."""
    name = meta.get("name") or ""
    causes = []
    if not name:
        why = "Required value: name or generateName is required"
        causes.append(Cause("metadata.name", why, "FieldValueRequired"))
    pattern = _PATH_SEGMENT if rtype.group.startswith("rbac.") else _SUBDOMAIN
    if name and (len(name) > 253 or not pattern.fullmatch(name)):
        why = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower '
        causes.append(Cause("metadata.name", why + "case alphanumeric characters, '-' or '.'"))
    for key, value in (meta.get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            why = f"Invalid value: {value!r}: a valid label must be an empty string or consist of "
            causes.append(
                Cause("metadata.labels", f"{why}alphanumeric characters, '-', '_' or '.' ({key})")
            )
    if causes:
        raise failures.invalid(rtype, name, causes)


def check_versions(rtype: ResourceType, old: Obj, meta: Obj) -> None:
    """Raises 409 when a write was based on another version, 422 when it must name one."""
    was, name = old["metadata"], old["metadata"]["name"]
    if meta.get("uid", was["uid"]) != was["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: "
        raise failures.conflict(rtype, name, why + was["uid"])
    version = meta.get("resourceVersion")
    if version and version != was["resourceVersion"]:
        raise failures.conflict(rtype, name)
    if not version and (rtype.is_custom or rtype.needs_version_to_replace):
        why = "Invalid value: 0: must be specified for an update"
        raise failures.invalid(rtype, name, [Cause("metadata.resourceVersion", why)])


def with_new_spec(rtype: ResourceType, old: Obj, body: Obj) -> Obj:
    """`body` with what the server owns taken from the object as it was."""
    was = old["metadata"]
    meta = {**(body.get("metadata") or {})}
    for name in _SERVER_OWNED:
        if name in was:
            meta[name] = was[name]
        else:
            meta.pop(name, None)
    check_metadata(rtype, meta)
    added = set(meta.get("finalizers") or ()) - set(was.get("finalizers") or ())
    if was.get("deletionTimestamp") and added:
        why = "Forbidden: no new finalizers can be added if the object is being deleted"
        cause = Cause("metadata.finalizers", why, "FieldValueForbidden")
        raise failures.invalid(rtype, was["name"], [cause])
    new = {**body, "metadata": meta, "apiVersion": rtype.api_version, "kind": rtype.kind}
    if rtype.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _bare(obj: Obj) -> Obj:
    skipped = ("resourceVersion", "managedFields")
    meta = {k: v for k, v in obj["metadata"].items() if k not in skipped}
    return {**obj, "metadata": meta}


def is_held(obj: Obj) -> bool:
    """Check whether a deletion has to wait.

    A namespace has finalizers in its specification too, and a pod that was told to end has a grace.
    """
    if obj["metadata"].get("finalizers"):
        return True
    if obj["kind"] == "Pod":
        return bool(obj["metadata"].get("deletionGracePeriodSeconds"))
    return obj["kind"] == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def is_same(old: Obj, new: Obj) -> bool:
    """Check whether a write would change nothing but bookkeeping."""
    if old.keys() != new.keys() or any(old[k] != new[k] for k in old if k != "metadata"):
        return False
    return bool(_bare(old)["metadata"] == _bare(new)["metadata"])


def has_new_spec(rtype: ResourceType, old: Obj, new: Obj) -> bool:
    """Check whether something else is asked for, so that `generation` counts one up."""
    skipped = ("metadata", "status") if rtype.has_status else ("metadata",)
    if any(old.get(k) != new.get(k) for k in old.keys() | new.keys() if k not in skipped):
        return True
    # A Deployment counts its annotations as part of what is asked for.
    return rtype.kind == "Deployment" and old["metadata"].get("annotations") != new["metadata"].get(
        "annotations"
    )
