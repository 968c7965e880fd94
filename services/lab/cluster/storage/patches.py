"""The three client-side patch formats: merge (RFC 7386), JSON patch (RFC 6902), strategic merge."""

from __future__ import annotations

from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchException
from jsonpointer import JsonPointerException

from services.lab.cluster.storage.failures import bad_request, unprocessable

MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "ports": ("containerPort",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "taints": ("key",),
    "addresses": ("type",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
}
"""Lists of built-in kinds whose entries are distinguished by a key."""

_SETS = ("finalizers", "podCIDRs")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        ApiFailure: 400 for a malformed patch, 422 for one that does not fit the object.
    """
    try:
        patch = JsonPatch(operations)
    except (InvalidJsonPatch, JsonPointerException) as error:
        raise bad_request(f"malformed JSON patch: {error}") from error
    try:
        return patch.apply(target)
    except InvalidJsonPatch as error:
        raise bad_request(f"malformed JSON patch: {error}") from error
    except (JsonPatchException, JsonPointerException) as error:
        raise unprocessable(f"the JSON patch does not fit the object: {error!s:.300}") from error


def strategic_merge(target: Any, patch: Any) -> Any:
    """Strategic merge of built-in kinds: as a merge patch, but keyed lists merge by their key."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.split("/", 1)[1]
            merged[field] = [each for each in merged.get(field) or [] if each not in value]
        elif name.startswith("$"):
            continue  # $setElementOrder and $retainKeys only order what is there
        elif value is None:
            merged.pop(name, None)
        elif isinstance(value, list):
            merged[name] = _merge_list(name, merged.get(name) or [], value)
        else:
            merged[name] = strategic_merge(merged.get(name), value)
    return merged


def _merge_list(name: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if name in _SETS:
        return [*old, *(each for each in patch if each not in old)]
    keys = MERGE_KEYS.get(name)
    if not keys or not all(isinstance(each, dict) for each in [*old, *patch]):
        return patch
    if any(each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if "$patch" not in each]
    merged = list(old)
    for each in patch:
        identity = [each.get(key) for key in keys]
        at = next(
            (i for i, one in enumerate(merged) if [one.get(key) for key in keys] == identity), None
        )
        if each.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(strategic_merge({}, each))
        else:
            merged[at] = strategic_merge(merged[at], each)
    return merged
