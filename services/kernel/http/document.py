"""Parts of OpenAPI documents that are written by hand: bodies that are parsed here, problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; listed in docs/errors.md"},
        "detail": {"type": "string", "description": "Field, value, and what would be right"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of `model` without references, which a document's parts cannot follow."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    whole: dict[str, Any] = _inlined(schema, definitions)
    return whole


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(one, definitions) for name, one in part.items()}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that are problem+json."""
    content = {"application/problem+json": {"schema": _PROBLEM}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }
