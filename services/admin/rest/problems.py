"""Errors of routes, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from services.admin.rest.schemas import Problem


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {"description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _problem("The request cannot be read"),
    401: _problem("No valid credential"),
    403: _problem("The credential does not allow this, or not there"),
    404: _problem("The named object does not exist"),
    408: _problem("The body did not arrive in time"),
    409: _problem("The object's state does not allow this"),
    413: _problem("The body is over the limit"),
    422: _problem("A field cannot be used; `errors` names it"),
    429: _problem("Too many requests; `Retry-After` says when to come back"),
    503: _problem("A server that Harmony depends on cannot be reached"),
}
_PROBLEM_CONTENT = {"application/problem+json": {"schema": Problem.model_json_schema()}}
WRITE_PROBLEMS: dict[int | str, dict[str, Any]] = PROBLEMS | {
    412: {"description": "`If-Match` names another version", "content": _PROBLEM_CONTENT},
}
UPDATE_PROBLEMS: dict[int | str, dict[str, Any]] = WRITE_PROBLEMS | {
    428: {"description": "`If-Match` is missing", "content": _PROBLEM_CONTENT},
}
