"""The OpenAPI document's examples: one whole example for every schema, from those of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

_BY_TYPE: dict[str, Any] = {
    "integer": 1,
    "number": 0.5,
    "boolean": False,
    "string": "text",
    "null": None,
    "object": {},
}
_BY_FORMAT = {"date-time": "2026-01-05T12:00:00Z"}
_PREFIX = "#/components/schemas/"


def install_examples(app: FastAPI) -> None:
    """Make the document of `app` show an example of every schema."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        document = without()
        if is_new:
            add_examples(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the extension point of FastAPI


def add_examples(document: dict[str, Any]) -> None:
    """Add `examples` to every component that has none."""
    components: Mapping[str, Any] = document["components"]["schemas"]
    made = {name: example_of(schema, components) for name, schema in components.items()}
    for name, schema in components.items():
        schema.setdefault("examples", [made[name]])


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value that fits a schema: its own example, default or constant, or made from its parts."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].removeprefix(_PREFIX)], components)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], components)
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return {name: example_of(part, components) for name, part in schema["properties"].items()}
    if kind == "array":
        return [example_of(schema["items"], components)] if "items" in schema else []
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE.get(str(kind), {}))
