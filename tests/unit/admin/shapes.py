"""Shapes of what the API takes and returns: which fields come through, are needed, may be null."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError


def through(model: type[BaseModel], body: dict[str, Any]) -> dict[str, Any]:
    """What a client reads of `body`: a field that the model lacks is not in it."""
    return model.model_validate(body).model_dump(mode="json")


def nullable(model: type[BaseModel], body: dict[str, Any]) -> set[str]:
    """Fields of `body` that may be null."""
    return {name for name in body if is_fit(model, body | {name: None})}


def optional(model: type[BaseModel], body: dict[str, Any]) -> set[str]:
    """Fields of `body` that may be left out."""
    shorter = {name: {k: v for k, v in body.items() if k != name} for name in body}
    return {name for name in body if is_fit(model, shorter[name])}


def is_fit(model: type[BaseModel], body: dict[str, Any]) -> bool:
    """Says that a body is of the model's shape."""
    try:
        model.model_validate(body)
    except ValidationError:
        return False
    return True


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """The first example of each field that has one, as the OpenAPI document shows them."""
    fields = model.model_json_schema()["properties"]
    return {name: field["examples"][0] for name, field in fields.items() if "examples" in field}
