"""The page of the Kubernetes objects: every field of the definitions that the chart installs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml


def object_page(folder: Path) -> str:
    """A table of fields for each definition in `folder`."""
    parts = ["# Kubernetes objects", "Made from the definitions in `helm/harmony/crds`."]
    for path in sorted(folder.glob("*.yaml")):
        parts += list(_definition(yaml.safe_load(path.read_text())))
    return "\n\n".join(parts) + "\n"


def _definition(definition: Mapping[str, Any]) -> Iterator[str]:
    names = definition["spec"]["names"]
    yield f"## {names['kind']}"
    short = ", ".join(f"`{name}`" for name in names.get("shortNames", ()))
    scope = definition["spec"]["scope"].lower()
    group = definition["spec"]["group"]
    yield f"Group `{group}`, {scope}" + (f", short name {short}." if short else ".")
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        rows = [row for part in ("spec", "status") for row in _fields(part, schema)]
        if rows:
            head = "| field | type | default | what |\n|---|---|---|---|\n"
            yield f"### {names['kind']} {version['name']}"
            yield head + "\n".join(rows)


def _fields(part: str, schema: Mapping[str, Any]) -> Iterator[str]:
    found = schema.get("properties", {}).get(part)
    if found is not None:
        yield from _rows(part, found)


def _rows(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in sorted(schema.get("properties", {}).items()):
        here = f"{path}.{name}"
        inner = field
        if field.get("type") == "array":
            here, inner = f"{here}[]", field.get("items", {})
        kind = _kind(field) + (", required" if name in required else "")
        default = f"`{field['default']}`" if "default" in field else ""
        yield f"| `{here}` | {kind} | {default} | {_cell(field.get('description', ''))} |"
        yield from _rows(here, inner)


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "number or text"
    kind = str(field.get("type", "any"))
    return f"list of {field.get('items', {}).get('type', 'any')}s" if kind == "array" else kind


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
