"""The OpenAPI document: examples that fit, errors, units in names, pages of every list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
UNPAGED = {
    "/v1/keys",
    "/v1/workloads/{namespace}/{name}/indicators",
    "/v1/workloads/{namespace}/{name}/quality",
}
"""Answers that are a plain list: bounded by what they are about."""


@pytest.fixture
def document(anonymous: AppClient) -> dict[str, Any]:
    """The document that the application serves."""
    return dict(anonymous.get("/openapi.json").json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of everything under /v1."""
    for path, by_method in document["paths"].items():
        if path.startswith("/v1"):
            for method, operation in by_method.items():
                yield path, method, operation


def test_every_schema_has_an_example_that_fits_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert len(schemas) > 60
    for name, schema in schemas.items():
        root = schema | {"components": {"schemas": schemas}}
        for example in schema["examples"]:
            errors = list(Draft202012Validator(root).iter_errors(example))
            assert not errors, (name, errors[0].message)


def test_every_route_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation.get("description"), (path, method)
        assert operation["tags"], (path, method)
        always = {"401", "403", "422", "429", "503"}
        assert always <= set(operation["responses"]), (path, method)
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_updates_take_a_version_and_posts_a_key(document: dict[str, Any]) -> None:
    without = {"/v1/keys", "/v1/keys/{key_id}/rotate", "/v1/keys/{key_id}"}
    for path, method, operation in operations(document):
        headers = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
        if method in {"post", "patch", "put"} and path not in without:
            assert "Idempotency-Key" in headers, (path, method)
        if method in {"patch", "put"}:
            assert "If-Match" in headers, (path, method)
            assert "412" in operation["responses"], (path, method)


def test_lists_are_pages(document: dict[str, Any]) -> None:
    n_pages = 0
    for path, method, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if method == "get" and schema.get("type") == "array":
            assert path in UNPAGED, path
        if "Page_" in schema.get("$ref", ""):
            n_pages += 1
            names = {p["name"] for p in operation["parameters"]}
            assert {"limit", "cursor"} <= names, path
    assert n_pages >= 17


def test_numbers_carry_their_units(document: dict[str, Any]) -> None:
    """What is a time, a price or a duration says so in its name."""
    wrong = ("_seconds", "_sec", "_dollars", "_price", "_duration", "_minutes", "_milliseconds")
    names = {
        name
        for schema in document["components"]["schemas"].values()
        for name in schema.get("properties", {})
    }
    assert not {name for name in names if name.endswith(wrong)}
    times = {
        name
        for schema in document["components"]["schemas"].values()
        for name, part in schema.get("properties", {}).items()
        if "date-time" in str(part)
    }
    assert not {name for name in times if not name.endswith(("_at", "_until")) and name != "at"}


def test_the_document_and_the_guide_name_the_same_routes(document: dict[str, Any]) -> None:
    text = DOCS.read_text()
    missing = [
        f"{method.upper()} {path}"
        for path, method, _ in operations(document)
        if f"`{method.upper()} {path}`" not in text
    ]
    assert missing == []
