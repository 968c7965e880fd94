"""Structural schemas: pruning of unknown fields, defaults, validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson

from services.lab.cluster.storage.failures import Cause

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_KEPT_WORDS = (
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "uniqueItems",
)
_BOUNDS = {
    "minimum": "greater than or equal to",
    "maximum": "less than or equal to",
}
_COUNTS = {
    "minLength": "should be at least {0} chars long",
    "maxLength": "may not be more than {0} bytes",
    "minItems": "should have at least {0} items",
    "maxItems": "must have at most {0} items",
    "minProperties": "should have at least {0} properties",
    "maxProperties": "must have at most {0} properties",
    "multipleOf": "should be a multiple of {0}",
    "pattern": "should match '{0}'",
    "uniqueItems": "shouldn't contain duplicates",
}
_TYPE_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
}


def prune(value: Any, schema: dict[str, Any]) -> tuple[Any, list[str]]:
    """The value without fields that the schema does not know, and the paths of those.

    Metadata, apiVersion and kind at the top are the server's own and stay.
    """
    unknown: list[str] = []
    return _pruned(value, schema, "", unknown), unknown


def _pruned(value: Any, schema: dict[str, Any], path: str, unknown: list[str]) -> Any:
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [_pruned(each, items, f"{path}[{i}]", unknown) for i, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    is_kept = bool(schema.get(_PRESERVE)) or others is True
    if schema.get("x-kubernetes-embedded-resource"):
        properties = {"apiVersion": {}, "kind": {}, "metadata": {_PRESERVE: True}} | properties
    kept = {}
    for name, each in value.items():
        inner = f"{path}.{name}" if path else name
        if not path and name in ("apiVersion", "kind", "metadata"):
            kept[name] = each
        elif name in properties:
            kept[name] = _pruned(each, properties[name], inner, unknown)
        elif isinstance(others, dict):
            kept[name] = _pruned(each, others, inner, unknown)
        elif is_kept:
            kept[name] = each
        else:
            unknown.append(inner)
    return kept


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """The value with the schema's defaults filled in, also inside what is there."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        other_schema = others if isinstance(others, dict) else {}
        filled = {
            name: with_defaults(each, properties.get(name, other_schema))
            for name, each in value.items()
        }
        for name, each in properties.items():
            is_lacking = name not in filled
            # A null that may not be null counts as absent.
            if not is_lacking and filled[name] is None and not each.get("nullable"):
                is_lacking = "default" in each
            if is_lacking and "default" in each:
                filled[name] = with_defaults(each["default"], each)
        return filled
    if isinstance(value, list):
        return [with_defaults(each, schema.get("items") or {}) for each in value]
    return value


def to_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as draft-4 JSON schema, where bounds are excluded by a boolean."""
    out: dict[str, Any] = {word: schema[word] for word in _KEPT_WORDS if word in schema}
    if schema.get(_INT_OR_STRING):
        out["type"] = ["integer", "string"]
    elif "type" in schema:
        out["type"] = schema["type"]
    if schema.get("nullable") and "type" in out:
        types = out["type"] if isinstance(out["type"], list) else [out["type"]]
        out["type"] = [*types, "null"]
        if "enum" in out:
            out["enum"] = [*out["enum"], None]
    if "properties" in schema:
        out["properties"] = {n: to_json_schema(s) for n, s in schema["properties"].items()}
    for word in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(word), dict):
            out[word] = to_json_schema(schema[word])
    for word in ("allOf", "anyOf", "oneOf"):
        if word in schema:
            out[word] = [to_json_schema(each) for each in schema[word]]
    return out


class SchemaValidator:
    """Says what is wrong with objects, in the API server's words."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = jsonschema.Draft4Validator(to_json_schema(schema))
        self._schema = schema

    def causes(self, obj: Any) -> list[Cause]:
        """Every violation, none when the object is right."""
        found = [c for error in self._validator.iter_errors(obj) for c in _causes(error)]
        return found + list(_list_causes(obj, self._schema, ""))


def _path(parts: Any, *more: str) -> str:
    text = ""
    for part in [*parts, *more]:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _causes(error: Any) -> Iterator[Cause]:
    word, wanted, got = error.validator, error.validator_value, error.instance
    path = _path(error.absolute_path)
    where = path or "<root>"
    if word == "required":
        # jsonschema reports each missing name in an error of its own, in its message only.
        name = re.match(r"'(.*)' is a required property", error.message)
        yield Cause(
            _path(error.absolute_path, name[1] if name else "?"),
            "Required value",
            "FieldValueRequired",
        )
        return
    shown = '"object"' if isinstance(got, dict) else orjson.dumps(got).decode()
    if word == "enum":
        allowed = ", ".join(orjson.dumps(each).decode() for each in wanted if each is not None)
        message = f"Unsupported value: {shown}: supported values: {allowed}"
        yield Cause(path, message, "FieldValueNotSupported")
    elif word == "type":
        types = "/".join(wanted) if isinstance(wanted, list) else wanted
        named = _TYPE_NAMES.get(type(got), "null")
        message = f'Invalid value: "{named}": {where} in body must be of type {types}: "{named}"'
        yield Cause(path, message, "FieldValueTypeInvalid")
    elif word in _BOUNDS:
        is_strict = error.schema.get("exclusive" + word.capitalize(), False)
        bound = _BOUNDS[word].replace(" or equal to", "") if is_strict else _BOUNDS[word]
        yield Cause(path, f"Invalid value: {shown}: {where} in body should be {bound} {wanted}")
    elif word in _COUNTS:
        bound = _COUNTS[word].format(wanted)
        yield Cause(path, f"Invalid value: {shown}: {where} in body {bound}")
    else:
        yield Cause(path, f"Invalid value: {shown}: {where} in body {error.message}")


def _list_causes(value: Any, schema: dict[str, Any], path: str) -> Iterator[Cause]:
    """Duplicates in lists that are sets or maps."""
    if isinstance(value, dict):
        for name, each in (schema.get("properties") or {}).items():
            if name in value:
                yield from _list_causes(value[name], each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        items = schema.get("items") or {}
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        is_unique = schema.get("x-kubernetes-list-type") in ("set", "map")
        seen = set()
        for i, each in enumerate(value):
            if is_unique:
                identity = [each.get(k) for k in keys] if isinstance(each, dict) else each
                shown = orjson.dumps(identity)
                if shown in seen:
                    message = f"Duplicate value: {orjson.dumps(each).decode()}"
                    yield Cause(f"{path}[{i}]", message, "FieldValueDuplicate")
                seen.add(shown)
            yield from _list_causes(each, items, f"{path}[{i}]")
