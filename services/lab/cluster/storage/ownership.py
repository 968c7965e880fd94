"""Ownership of fields by managers: `metadata.managedFields` and server-side apply.

A field is a path of elements in the `FieldsV1` notation: `f:name` for a field, `k:{...}` for the
entry of a keyed list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from services.lab.cluster.storage.failures import FieldConflict, manager_conflict
from services.lab.cluster.storage.patches import MERGE_KEYS
from services.lab.cluster.storage.resources import Obj

Path = tuple[str, ...]
ListKeys = Callable[[Path], tuple[str, ...] | None]
"""The keys that tell apart the entries of the list at a path; None for an atomic list."""

_ABSENT = object()
_UNTRACKED = {("f:apiVersion",), ("f:kind",)} | {
    ("f:metadata", f"f:{name}")
    for name in (
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    )
}


@dataclass(frozen=True, slots=True)
class Writing:
    """Manager that writes, and its way of writing."""

    manager: str
    api_version: str
    at: str
    operation: str = "Update"
    subresource: str = ""
    list_keys: ListKeys = lambda path: MERGE_KEYS.get(path[-1][2:])


def own_updates(old: Obj | None, new: Obj, writing: Writing) -> list[dict[str, Any]]:
    """`managedFields` after an update: the writer owns what it changed, alone."""
    entries = _read((old or {}).get("metadata", {}).get("managedFields"))
    before = {} if old is None else dict(_fields(old, (), writing.list_keys))
    after = dict(_fields(new, (), writing.list_keys))
    changed = {path for path, value in after.items() if before.get(path, _ABSENT) != value}
    gone = before.keys() - after.keys()
    mine = _identity(writing)
    owned = {key: paths - changed - gone for key, (paths, _) in entries.items()}
    owned[mine] = owned.get(mine, set()) | changed
    return _written(owned, entries, writing)


def apply(live: Obj | None, config: Obj, writing: Writing, *, is_forced: bool) -> Obj:
    """Server-side apply of `config` by `writing.manager`; returns the merged object.

    Raises:
        ApiFailure: 409 when another manager owns a field whose value would change.
    """
    keys = writing.list_keys
    entries = _read((live or {}).get("metadata", {}).get("managedFields"))
    wanted = set(_leaves(config, (), keys))
    mine = _identity(writing)
    clashes: dict[_Identity, set[Path]] = {}
    for key, (paths, _) in entries.items():
        if key != mine and live is not None:
            shared = {p for p in paths & wanted if _get(live, p) != _get(config, p)}
            if shared:
                clashes[key] = shared
    if clashes and not is_forced:
        raise manager_conflict(
            [
                FieldConflict(key.manager, key.api_version, _dotted(path))
                for key, paths in clashes.items()
                for path in sorted(paths)
            ]
        )
    merged = _merge(live or {}, config, (), keys)
    owned = {key: paths - clashes.get(key, set()) for key, (paths, _) in entries.items()}
    others = set().union(*(paths for key, paths in owned.items() if key != mine))
    # What holds a field that somebody still wants stays, too.
    kept = {path[:i] for path in wanted | others for i in range(1, len(path) + 1)}
    for path in sorted(owned.get(mine, set()) - kept, key=len):
        merged = _without(merged, path)
    owned[mine] = wanted
    meta = {**merged["metadata"], "managedFields": _written(owned, entries, writing)}
    return {**merged, "metadata": meta}


class _Identity(NamedTuple):
    """An entry of `managedFields`: fields written alike are kept in one."""

    manager: str
    operation: str
    api_version: str
    subresource: str


_Entries = dict[_Identity, tuple[set[Path], str]]


def _identity(writing: Writing) -> _Identity:
    return _Identity(writing.manager, writing.operation, writing.api_version, writing.subresource)


def _read(managed: list[dict[str, Any]] | None) -> _Entries:
    entries: _Entries = {}
    for entry in managed or ():
        key = _Identity(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        entries[key] = (set(_from_tree(entry.get("fieldsV1") or {}, ())), entry.get("time", ""))
    return entries


def _written(
    owned: Mapping[_Identity, set[Path]], before: _Entries, writing: Writing
) -> list[dict[str, Any]]:
    written = []
    for key, paths in owned.items():
        if not paths:
            continue
        known, at = before.get(key, (None, ""))
        entry = {
            "manager": key.manager,
            "operation": key.operation,
            "apiVersion": key.api_version,
            "time": at if known == paths else writing.at,
            "fieldsType": "FieldsV1",
            "fieldsV1": _to_tree(paths),
        }
        if key.subresource:
            entry["subresource"] = key.subresource
        written.append(entry)
    return written


def _from_tree(tree: dict[str, Any], path: Path) -> Iterator[Path]:
    if not tree:
        yield path
    for name, child in tree.items():
        if name == ".":
            yield path
        else:
            yield from _from_tree(child, (*path, name))


def _to_tree(paths: set[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths, key=len):
        node = root
        for i, name in enumerate(path):
            # A leaf that gains children keeps a mark of its own.
            if i and not node and path[:i] in paths:
                node["."] = {}
            node = node.setdefault(name, {})
    return root


def _leaves(value: Any, path: Path, keys: ListKeys) -> Iterator[Path]:
    return (leaf for leaf, _ in _fields(value, path, keys))


def _fields(value: Any, path: Path, keys: ListKeys) -> Iterator[tuple[Path, Any]]:
    """The fields that can be owned, each with what `_get` finds there."""
    if path in _UNTRACKED:
        return
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _fields(each, (*path, f"f:{name}"), keys)
    elif isinstance(value, list) and value and (names := _entry_keys(value, path, keys)):
        for each in value:
            entry = (*path, _element(each, names))
            yield entry, {}
            yield from _fields(each, entry, keys)
    elif path:
        yield path, value


def _entry_keys(values: list[Any], path: Path, keys: ListKeys) -> tuple[str, ...] | None:
    names = keys(path)
    if names and all(isinstance(v, dict) and any(n in v for n in names) for v in values):
        return names
    return None


def _element(value: dict[str, Any], names: tuple[str, ...]) -> str:
    identity = {name: value[name] for name in sorted(names) if name in value}
    return f"k:{orjson.dumps(identity).decode()}"


def _find(values: list[Any], element: str) -> int | None:
    identity = orjson.loads(element[2:])
    for i, each in enumerate(values):
        if isinstance(each, dict) and all(each.get(k) == v for k, v in identity.items()):
            return i
    return None


def _get(value: Any, path: Path) -> Any:
    for element in path:
        if element.startswith("f:"):
            if not isinstance(value, dict) or element[2:] not in value:
                return _ABSENT
            value = value[element[2:]]
        else:
            at = _find(value, element) if isinstance(value, list) else None
            if at is None:
                return _ABSENT
            value = value[at]
    # Owning an entry or an object is owning that it is there, not what is inside.
    return {} if isinstance(value, dict) else value


def _merge(live: Any, config: Any, path: Path, keys: ListKeys) -> Any:
    if isinstance(config, dict):
        merged = dict(live) if isinstance(live, dict) else {}
        for name, value in config.items():
            merged[name] = _merge(merged.get(name), value, (*path, f"f:{name}"), keys)
        return merged
    if isinstance(config, list) and isinstance(live, list):
        names = _entry_keys([*live, *config], path, keys)
        if names:
            merged_list = list(live)
            for value in config:
                element = _element(value, names)
                at = _find(merged_list, element)
                if at is None:
                    merged_list.append(value)
                else:
                    merged_list[at] = _merge(merged_list[at], value, (*path, element), keys)
            return merged_list
    return config


def _without(value: Any, path: Path) -> Any:
    first, rest = path[0], path[1:]
    if first.startswith("f:"):
        name = first[2:]
        if not isinstance(value, dict) or name not in value:
            return value
        if not rest:
            return {k: v for k, v in value.items() if k != name}
        return {**value, name: _without(value[name], rest)}
    at = _find(value, first) if isinstance(value, list) else None
    if at is None:
        return value
    inside = [_without(value[at], rest)] if rest else []
    return [*value[:at], *inside, *value[at + 1 :]]


def _dotted(path: Path) -> str:
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += f".{element[2:]}"
        else:
            text += f"[{element[2:].strip('{}').replace(':', '=', 1).replace(chr(34), '', 2)}]"
    return text
