"""The three client-side patch formats: merge (RFC 7386), JSON patch (RFC 6902), strategic merge."""

from __future__ import annotations

from typing import Any

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
"""Lists of built-in kinds whose entries are told apart by a key."""

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
    if not isinstance(operations, list):
        raise bad_request("a JSON patch must be a list of operations")
    for operation in operations:
        if not isinstance(operation, dict) or "op" not in operation or "path" not in operation:
            raise bad_request(f"a JSON patch operation needs op and path, got {operation!r}")
        target = _apply_operation(target, operation)
    return target


def _apply_operation(target: Any, operation: dict[str, Any]) -> Any:
    verb, path = operation["op"], _pointer(operation["path"])
    if verb in ("add", "replace", "test") and "value" not in operation:
        raise bad_request(f"a JSON patch {verb} operation needs a value")
    if verb == "add":
        return _edit(target, path, operation["value"], must_exist=False)
    if verb == "replace":
        return _edit(target, path, operation["value"], must_exist=True)
    if verb == "remove":
        return _edit(target, path, _GONE, must_exist=True)
    if verb == "test":
        if _look(target, path) != operation["value"]:
            raise unprocessable(f"testing value {operation['path']} failed: test failed")
        return target
    if verb in ("copy", "move"):
        source = _pointer(operation.get("from", ""))
        value = _look(target, source)
        if verb == "move":
            target = _edit(target, source, _GONE, must_exist=True)
        return _edit(target, path, value, must_exist=False)
    raise bad_request(f"unknown JSON patch operation {verb!r}")


_GONE = object()


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise bad_request(f"JSON pointer {text!r} must start with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(values: list[Any], part: str, limit: int) -> int:
    if not part.isdigit() or int(part) >= limit:
        raise unprocessable(f"index {part!r} does not fit a list of {len(values)}")
    return int(part)


def _look(target: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(target, dict) and part in target:
            target = target[part]
        elif isinstance(target, list):
            target = target[_index(target, part, len(target))]
        else:
            raise unprocessable(f"there is no {'/' + '/'.join(path)} in the object")
    return target


def _edit(target: Any, path: list[str], value: Any, *, must_exist: bool) -> Any:
    """A copy of `target` with the value at `path` set, or removed when it is `_GONE`."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(target, list):
        copy = list(target)
        if rest:
            i = _index(copy, first, len(copy))
            copy[i] = _edit(copy[i], rest, value, must_exist=must_exist)
        elif value is _GONE:
            del copy[_index(copy, first, len(copy))]
        elif must_exist:
            copy[_index(copy, first, len(copy))] = value
        else:
            at = len(copy) if first == "-" else _index(copy, first, len(copy) + 1)
            copy.insert(at, value)
        return copy
    if not isinstance(target, dict) or ((rest or must_exist) and first not in target):
        raise unprocessable(f"the path to {first!r} does not exist in the object")
    if rest:
        return {**target, first: _edit(target[first], rest, value, must_exist=must_exist)}
    if value is _GONE:
        return {name: each for name, each in target.items() if name != first}
    return {**target, first: value}


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
